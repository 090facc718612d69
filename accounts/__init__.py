"""Users, aliases, API keys, passwords, and the one resolver of addresses."""
