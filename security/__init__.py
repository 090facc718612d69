"""Audit log, login failures, and who may not come in."""
