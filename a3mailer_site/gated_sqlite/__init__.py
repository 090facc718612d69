"""Django's SQLite backend behind a fair write gate; see `base.py`."""
