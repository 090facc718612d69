"""Messages as bytes: headers, MIME structure, Received lines, DSNs. Pure code."""
