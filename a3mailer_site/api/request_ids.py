"""The id of a request: its caller's, or a new one. It is in the answer, in errors, in log lines and in the audit."""

import re

from a3mailer_site.ids import new_id, to_text

# Ids that callers send are repeated in logs: nothing in them may surprise.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,80}")


def own_or_new(given: str) -> str:
    """Return what the caller sent as ``X-Request-ID`` if it is fit to be repeated, or a new ``req_…``."""
    return given if _REQUEST_ID.fullmatch(given) else f"req_{to_text(new_id())}"
