"""What a submission server puts right in a message before it goes out (RFC 6409 section 8).

Adds Date and Message-ID when they are missing, takes Bcc out, and says who the message claims to be from. No other byte
changes: a signature over the rest stays valid, and the body is not looked at.
"""

from mailcore.message.addresses import addr_spec, is_unambiguous, is_whole, mailboxes, parse_addresses
from mailcore.message.dates import format_date
from mailcore.message.headers import BLOCK_LIMIT, FIELD_LIMIT, Headers, header_end
from mailcore.message.writer import HeaderWriter

_BLIND = frozenset({b"bcc", b"resent-bcc"})


class HeaderTooLargeError(ValueError):
    """The header has more fields or bytes than are read, so a Bcc could hide in the rest."""


def fix_up(message: bytes, *, now: int, offset: int, message_id: str) -> bytes:
    """Return the message as it should go out.

    ``now`` is in seconds since 1970-01-01T00:00:00Z, ``offset`` in minutes east of UTC, ``message_id`` has its angle
    brackets. Raises ``HeaderTooLargeError`` when the header is beyond the limits of ``headers.py``.
    """
    end, body_start = header_end(message)
    block = message[:end]
    headers = Headers(block)
    fields = list(headers)
    if end > BLOCK_LIMIT or len(fields) >= FIELD_LIMIT:
        raise HeaderTooLargeError("the header is too large")
    writer = HeaderWriter()
    if not headers.count(b"date"):
        writer.structured("Date", format_date(now, offset))
    if not headers.count(b"message-id"):
        writer.structured("Message-ID", message_id)
    added = writer.to_bytes()
    if not added and not any(headers.count(name) for name in _BLIND):
        return message
    kept = b"".join([field.raw for field in fields if field.name not in _BLIND])
    if kept and not kept.endswith(b"\n"):  # a message that is nothing but a header without its last line end
        kept += b"\r\n"
    return added + kept + (message[end:body_start] or b"\r\n") + message[body_start:]


def from_addresses(headers: Headers) -> list[str]:
    """Give the addresses of all From fields as text, ``""`` for what cannot be read, or can be read in several ways.

    The submitter must be allowed to use each of them, so an unreadable one must not be passed over.
    """
    found: list[str] = []
    for value in headers.get_all(b"from"):
        addresses = parse_addresses(value)
        found += [addr_spec(address) for address in mailboxes(addresses)]
        if not is_whole(value, addresses) or not is_unambiguous(value):
            found.append("")
    return found


def first_from(headers: Headers) -> str:
    """Give the first address of the first From field; ``""`` when there is none or it cannot be read."""
    addresses = from_addresses(headers)
    return addresses[0] if addresses else ""
