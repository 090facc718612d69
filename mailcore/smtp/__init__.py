"""SMTP (RFC 5321), submission (RFC 6409) and our SMTP client."""
