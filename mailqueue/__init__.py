"""Accepted messages, the outbound queue, and the timeline of every message."""
