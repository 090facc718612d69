"""What the questions of an IMAP session mean here, one file a family of questions."""
