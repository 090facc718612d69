"""Two people who change the same thing at once: the second is told, instead of undoing what the first did.

An ETag stands for what callers can change of a thing, not for what moves by itself (how full a mailbox is). GET gives
it out; a change that names it in ``If-Match`` is done only while it still holds (RFC 9110 section 13.1.1). The
comparison belongs into the transaction of the change, with the row locked: otherwise two changes could both be first.

    with transaction.atomic():
        thing = locked(pk)
        check_unchanged(request, etag_of({...}))
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.request import Request

from a3mailer_site.api.errors import ChangedSinceError

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of the state that this is meant for, or `*`. If there is another state by now: 412.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that is known already. If it still holds: 304."
)
ETAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="Stands for everything in the object that a caller can change.",
)

NOT_MODIFIED = OpenApiResponse(description="It is as the ETag in If-None-Match says.")


def etag_of(facts: Mapping[str, Any]) -> str:
    """Return the strong ETag of these facts; nobody can read them out of it."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def check_unchanged(request: Request, etag: str) -> None:
    """Raise ``ChangedSinceError`` (412) when the caller's ``If-Match`` names another state."""
    # Strong comparison: a tag that begins with W/ never matches (RFC 9110 section 8.8.3.2).
    if (given := request.headers.get("If-Match")) is not None and not {"*", etag}.intersection(parse_etags(given)):
        raise ChangedSinceError


def is_known(request: Request, etag: str) -> bool:
    """Say whether the caller has this state already, so that 304 is the answer (RFC 9110 section 13.1.2)."""
    given = request.headers.get("If-None-Match")
    known = {tag.removeprefix("W/") for tag in parse_etags(given)} if given is not None else set()
    return bool({"*", etag}.intersection(known))
