"""Management commands of the mail core."""
