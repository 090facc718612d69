"""The management commands of the floor."""
