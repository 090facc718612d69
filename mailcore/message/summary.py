r"""All that delivery keeps of a message, computed once when it arrives.

>>> summarize(b"Subject: hello\r\n\r\nbody\r\n").subject
'hello'
"""

from dataclasses import dataclass
from typing import Final

from mailcore.message import imapform
from mailcore.message.addresses import mailboxes, parse_addresses
from mailcore.message.dates import parse_date
from mailcore.message.headers import Headers, Octets
from mailcore.message.structure import scan

# The fields that clients ask for in their overviews; ``Summary.fields`` holds their lines.
CACHED_FIELDS: Final = frozenset(
    {
        b"autocrypt", b"auto-submitted", b"bcc", b"cc", b"content-class", b"content-description",
        b"content-disposition", b"content-language", b"content-transfer-encoding", b"content-type", b"date", b"from",
        b"importance", b"in-reply-to", b"list-archive", b"list-help", b"list-id", b"list-owner", b"list-post",
        b"list-subscribe", b"list-unsubscribe", b"list-unsubscribe-post", b"mail-followup-to", b"message-id",
        b"mime-version", b"newsgroups", b"precedence", b"priority", b"references", b"reply-to", b"resent-date",
        b"resent-from", b"resent-to", b"sender", b"subject", b"thread-topic", b"to", b"user-agent", b"x-mailer",
        b"x-msmail-priority", b"x-priority", b"x-spam-flag",
    }
)  # fmt: skip

SUBJECT_LIMIT: Final = 998
MESSAGE_ID_LIMIT: Final = 998


@dataclass(frozen=True, slots=True)
class Summary:
    """What is kept beside a message. Sizes are in bytes."""

    size: int
    header_size: int  # the blank line included
    envelope: bytes  # IMAP's ENVELOPE value
    bodystructure: bytes  # IMAP's BODYSTRUCTURE value
    fields: bytes  # the lines of CACHED_FIELDS, in their order, without a blank line
    sent_at: int | None  # seconds since 1970-01-01T00:00:00Z, by the Date field
    message_id: str  # as written, with its angle brackets; "" when missing
    subject: str  # decoded; at most SUBJECT_LIMIT characters
    received_count: int
    from_count: int  # mailboxes in all From fields


def summarize(message: Octets) -> Summary:
    """Compute the summary of a message. Never raises; time is linear in its size."""
    root = scan(message)
    headers = root.headers
    date = headers.get(b"date")
    sent = parse_date(date) if date else None
    return Summary(
        size=len(message),
        header_size=root.body_start,
        envelope=imapform.envelope(headers),
        bodystructure=imapform.bodystructure(root),
        fields=_cached(headers),
        sent_at=sent.epoch if sent else None,
        message_id=(headers.get(b"message-id") or b"").decode("utf-8", "replace")[:MESSAGE_ID_LIMIT],
        subject=headers.text(b"subject")[:SUBJECT_LIMIT],
        received_count=headers.count(b"received"),
        from_count=count_from(headers),
    )


def _cached(headers: Headers) -> bytes:
    fields = headers.lines(CACHED_FIELDS)
    return fields + b"\r\n" if fields and not fields.endswith(b"\n") else fields


def count_from(headers: Headers) -> int:
    """Count the mailboxes in all From fields; honest messages have one, RFC 5322 section 3.6.2 allows more."""
    return sum(len(mailboxes(parse_addresses(value))) for value in headers.get_all(b"from"))
