"""Server information, health and metrics."""
