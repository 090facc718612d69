"""SASL mechanisms (RFC 4422): bytes in, credentials out."""
