"""Reads what other servers say of a message afterwards: delivery reports (RFC 3464, 6533) and complaints (RFC 5965).

Everything in a report is the word of whoever wrote it. Whether it is about a message of ours, and who proves that, is
asked by ``mailcore/intake/returned.py``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from mailcore.message.headers import Headers, Octets, header_end
from mailcore.message.parameters import get_parameter, parse_content_type
from mailcore.message.structure import Part, scan
from mailcore.message.transfer import decode_body
from mailcore.message.writer import printable

# More of a part than this is not read, and no more recipients than these.
_PART_LIMIT: Final = 256 * 1024
_RECIPIENT_LIMIT: Final = 100
_WORDS_LIMIT: Final = 1000
_EMPTY_LINE: Final = re.compile(rb"\r?\n[ \t]*\r?\n")
_ESCAPED: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")  # RFC 6533 section 3


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What a delivery report says of one recipient. Empty: it does not say."""

    final: str
    original: str
    action: str  # failed, delayed, delivered, relayed, expanded
    status: str  # 5.1.1
    reply: str  # the other server's words


@dataclass(frozen=True, slots=True)
class Report:
    """A report about a message that was sent before."""

    kind: Literal["delivery", "feedback"]
    recipients: tuple[ReportedRecipient, ...] = ()
    reporter: str = ""  # who wrote it: a mail server, or the program of a mailbox provider
    feedback_type: str = ""  # abuse, fraud, not-spam …
    mail_from: str = ""  # the reverse-path of the message, as the report has it
    rcpt_to: tuple[str, ...] = ()  # the recipients that complain
    message_id: str = ""  # of the message, with its angle brackets


def read_report(message: Octets) -> Report | None:
    """Read a report; ``None`` when the message is none. Never raises; time is linear in its size."""
    header = Headers(bytes(message[: header_end(message)[0]]))
    value = header.get(b"content-type") or b""
    media, subtype, parameters = parse_content_type(value)
    if (media.lower(), subtype.lower()) != (b"multipart", b"report"):
        return None
    kind = (get_parameter(parameters, b"report-type") or b"").lower()
    root = scan(message)
    if kind == b"feedback-report":
        return _feedback(message, root)
    if kind in {b"delivery-status", b"global-delivery-status"}:
        return _delivery(message, root)
    return None


def _delivery(message: Octets, root: Part) -> Report | None:
    part = _child(root, b"message", (b"delivery-status", b"global-delivery-status"))
    if part is None:
        return None
    groups = list(_groups(_content(message, part)))
    recipients = tuple(_recipient(group) for group in groups[1 : 1 + _RECIPIENT_LIMIT])
    returned = _returned(message, root)
    return Report(
        "delivery",
        recipients,
        reporter=_typed(groups[0], b"reporting-mta") if groups else "",
        mail_from=_path(returned, b"return-path"),
        message_id=_text(returned, b"message-id"),
    )


def _recipient(group: Headers) -> ReportedRecipient:
    return ReportedRecipient(
        final=_typed(group, b"final-recipient"),
        original=_typed(group, b"original-recipient"),
        action=_text(group, b"action").lower(),
        status=_text(group, b"status").split(" ")[0],
        reply=_typed(group, b"diagnostic-code"),
    )


def _feedback(message: Octets, root: Part) -> Report | None:
    part = _child(root, b"message", (b"feedback-report",))
    if part is None:
        return None
    groups = list(_groups(_content(message, part)))
    if not groups:
        return None
    fields, returned = groups[0], _returned(message, root)
    return Report(
        "feedback",
        reporter=_text(fields, b"user-agent"),
        feedback_type=_text(fields, b"feedback-type").lower(),
        mail_from=_path(fields, b"original-mail-from") or _path(returned, b"return-path"),
        rcpt_to=tuple(map(_address, fields.get_all(b"original-rcpt-to")[:_RECIPIENT_LIMIT])),
        message_id=_text(returned, b"message-id"),
    )


def _child(root: Part, media: bytes, subtypes: tuple[bytes, ...]) -> Part | None:
    for part in root.children:
        if part.media_type.lower() == media and part.subtype.lower() in subtypes:
            return part
    return None


def _content(message: Octets, part: Part) -> bytes:
    raw = bytes(message[part.body_start : min(part.end, part.body_start + _PART_LIMIT)])
    return decode_body(raw, part.encoding)


def _groups(content: bytes) -> Iterator[Headers]:
    """Give the groups of fields that empty lines separate."""
    for block in _EMPTY_LINE.split(content.strip(b"\r\n \t"), maxsplit=_RECIPIENT_LIMIT + 1):
        if block.strip():
            yield Headers(block + b"\r\n")


def _returned(message: Octets, root: Part) -> Headers:
    """Return the header of the message that the report is about, as far as it is given back."""
    for part in root.children:
        media, subtype = part.media_type.lower(), part.subtype.lower()
        if part.children and part.is_message:
            return part.children[0].headers
        if (media, subtype) in {(b"text", b"rfc822-headers"), (b"message", b"global-headers"), (b"message", b"rfc822")}:
            return Headers(_content(message, part).lstrip(b"\r\n") + b"\r\n")
    return Headers(b"")


def _text(fields: Headers, name: bytes) -> str:
    value = fields.get(name)
    # These are a stranger's words, to be shown in pages and logs.
    return printable(" ".join(value.decode("utf-8", "replace").split()), _WORDS_LIMIT) if value else ""


def _typed(fields: Headers, name: bytes) -> str:
    """Return what follows the type: ``bob@example.com`` of ``rfc822; bob@example.com``."""
    kind, semicolon, value = _text(fields, name).partition(";")
    value = value.strip() if semicolon else kind
    return _bare(_unescaped(value)) if name.endswith(b"recipient") else value


def _unescaped(text: str) -> str:
    def sign(found: re.Match[str]) -> str:
        number = int(found[1], 16)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]

    return printable(_ESCAPED.sub(sign, text))


def _path(fields: Headers, name: bytes) -> str:
    return _bare(_text(fields, name))


def _address(value: bytes) -> str:
    return _bare(printable(value.decode("utf-8", "replace")))


def _bare(text: str) -> str:
    return text.strip().removeprefix("<").removesuffix(">")[:320]
