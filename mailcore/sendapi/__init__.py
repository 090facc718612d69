"""Sending mail over HTTP, by the rules of submission."""
