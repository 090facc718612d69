"""Domains and their limits."""
