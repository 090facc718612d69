"""The id of a request: its caller's, or a new one. It is in the answer, in errors, in log lines and in the audit."""

import re
import secrets

# Ids that callers send are repeated in logs: nothing in them may surprise.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,80}")


def own_or_new(given: str) -> str:
    """Return what the caller sent as ``X-Request-ID`` if it is fit to be repeated, or a new ``req_…``."""
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"
