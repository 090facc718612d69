"""SPF, DKIM, DMARC, ARC: is this mail genuine? Pure code."""
