"""Delivery status notifications: what became of a message, told to its sender (RFC 3464, 3461, 6522, 6533).

Builds the whole report from facts that are given in; knows no queue and no clock. Remote replies, addresses and names
come from strangers, so everything passes ``writer.py``. Whether a report may be sent at all (never to the null
reverse-path, NOTIFY=NEVER) is decided where the queue is.
"""

import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from mailcore.message.dates import format_date
from mailcore.message.dsn_actions import Action
from mailcore.message.dsn_words import Words, in_language
from mailcore.message.headers import header_end
from mailcore.message.writer import HeaderWriter, printable

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
# QCHAR of RFC 6533 section 3; everything else in an internationalized address is written \x{…} where only ASCII can go.
_NOT_QCHAR: Final = re.compile(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]")
_ESCAPED: Final = "\\x"
_DIAGNOSTIC_LIMIT: Final = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """One recipient's part of a notification. Times are in seconds since 1970-01-01T00:00:00Z."""

    address: str
    action: Action
    status: str  # enhanced status code, such as 5.1.1
    original: str = ""  # ORCPT decoded, with its type: "rfc822;bob@example.com"
    remote_mta: str = ""
    diagnostic: str = ""  # the remote reply, such as "550 5.1.1 No such user"; or our own words
    diagnostic_is_smtp: bool = True  # otherwise no Diagnostic-Code is written
    last_attempt: int | None = None
    retry_until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """All that a report says. Times are in seconds since 1970-01-01T00:00:00Z."""

    reporting_mta: str
    recipient: str  # the reverse-path of the message that this is about
    sender: str  # who the report says it is from; its envelope sender is the null reverse-path
    message_id: str  # of the report, with angle brackets
    at: int
    offset: int = 0  # minutes east of UTC
    reports: tuple[RecipientReport, ...]
    original: bytes  # the message, or its header
    return_full: bool = False  # RET=FULL: give back the message, not only its header
    envelope_id: str = ""  # ENVID decoded
    arrived_at: int | None = None
    language: str = "en"  # what people read; one that is not there is English
    utf8: bool = False  # the message came with SMTPUTF8, so its sender can read such mail

    @property
    def smtputf8(self) -> bool:
        """Whether the report can only be sent with SMTPUTF8 (RFC 6531)."""
        return not self.recipient.isascii() or (self.utf8 and not all(r.address.isascii() for r in self.reports))


def build(notification: Notification) -> bytes:
    """Write the report as a message, CRLF line ends.

    Raises ``ValueError`` if an address, the message id or our own name could break out of its place; strangers' words
    are made harmless instead.
    """
    utf8 = notification.smtputf8
    words = in_language(notification.language)[0]
    parts = [_explanation(notification), _status(notification), _returned(notification)]
    boundary = _boundary(notification, parts)
    kind = "global-delivery-status" if utf8 else "delivery-status"
    gravest = min((report.action for report in notification.reports), key=list(Action).index, default=Action.FAILED)
    header = (
        HeaderWriter(utf8=utf8)
        .mailbox("From", notification.sender, words.sender)
        .mailbox("To", notification.recipient)
        .structured("Date", format_date(notification.at, notification.offset))
        .structured("Message-ID", notification.message_id)
        .text("Subject", words.subjects[gravest])
        .structured("Auto-Submitted", "auto-replied")
        .structured("MIME-Version", "1.0")
        .structured("Content-Type", f'multipart/report; report-type={kind}; boundary="{boundary}"')
        .to_bytes()
    )
    delimiter = b"--" + boundary.encode()
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts)
    return header + b"\r\n" + body + delimiter + b"--\r\n"


def _boundary(notification: Notification, parts: list[bytes]) -> str:
    """Make a boundary that is in no part, without dice: the same facts give the same report."""
    seed = notification.message_id.encode() + notification.original
    while True:
        seed = hashlib.sha256(seed).digest()
        boundary = f"=_report_{seed.hex()[:32]}"
        if not any(boundary.encode() in part for part in parts):
            return boundary


def _part(content_type: str, description: str, content: bytes, encoding: str = "") -> bytes:
    header = HeaderWriter().structured("Content-Type", content_type).text("Content-Description", description)
    if encoding:
        header.structured("Content-Transfer-Encoding", encoding)
    return header.to_bytes() + b"\r\n" + content


def _explanation(notification: Notification) -> bytes:
    """Write the part for people, in each language one after the other."""
    text = "\n\n".join(_in_words(notification, words) for words in in_language(notification.language)) + "\n"
    charset = "us-ascii" if text.isascii() else "utf-8"
    content, encoding = _encoded_text(text.encode(), eight_bit=notification.smtputf8)
    return _part(f"text/plain; charset={charset}", "Notification", content, encoding)


def _in_words(notification: Notification, words: Words) -> str:
    lines = [words.this_is.format(host=notification.reporting_mta)]
    for action, explanation in words.explanations.items():
        reports = [report for report in notification.reports if report.action is action]
        if reports:
            lines += ["", *explanation.split("\n")]
        for report in reports:
            lines += ["", f"  <{printable(report.address)}>", *_reason(report, words)]
            if report.retry_until is not None:
                lines.append("    " + words.until.format(time=format_date(report.retry_until, notification.offset)))
    what = words.whole if notification.return_full else words.header
    return "\n".join([*lines, "", words.details, what])


def _reason(report: RecipientReport, words: Words) -> list[str]:
    """Say why: in plain words, and in those of the other server."""
    said = _one_line(report.diagnostic)
    lines = []
    if report.action in {Action.FAILED, Action.DELAYED} and (plain := words.reason(report.status)):
        lines.append(f"    {plain}")
    if said and report.remote_mta:
        lines += ["    " + words.said.format(host=printable(report.remote_mta)), f"    {said}"]
    elif said:
        lines.append(f"    {said}")
    elif report.action is Action.FAILED:
        lines.append("    " + words.status.format(status=printable(report.status)))
    return lines


def _one_line(diagnostic: str) -> str:
    return printable(" ".join(diagnostic.split()), _DIAGNOSTIC_LIMIT)


def _encoded_text(text: bytes, *, eight_bit: bool) -> tuple[bytes, str]:
    """Give text with CRLF line ends, and the encoding that it needs to pass where only ASCII does."""
    text = _LINE_END.sub(b"\n", text)
    if not text.isascii() and not eight_bit:
        text, encoding = binascii.b2a_qp(text), "quoted-printable"
    else:
        encoding = "7bit" if text.isascii() else "8bit"
    return _LINE_END.sub(b"\r\n", text), encoding


def _status(notification: Notification) -> bytes:
    """Write the part for programs: a group of fields on the message, and one on each recipient."""
    utf8 = notification.smtputf8
    message = HeaderWriter(utf8=utf8)
    if notification.envelope_id:
        message.structured("Original-Envelope-Id", _field(notification.envelope_id, utf8=utf8))
    message.structured("Reporting-MTA", f"dns; {_field(notification.reporting_mta, utf8=utf8)}")
    if notification.arrived_at is not None:
        message.structured("Arrival-Date", format_date(notification.arrived_at, notification.offset))
    groups = [message, *(_recipient(report, notification) for report in notification.reports)]
    content = b"\r\n".join(group.to_bytes() for group in groups)
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    return _part(kind, "Delivery report", content, "" if content.isascii() else "8bit")


def _recipient(report: RecipientReport, notification: Notification) -> HeaderWriter:
    utf8, offset = notification.smtputf8, notification.offset
    fields = HeaderWriter(utf8=utf8)
    if report.original:
        kind, _, address = report.original.partition(";")
        fields.structured("Original-Recipient", _typed_address(_field(kind, utf8=False), address, utf8=utf8))
    fields.structured("Final-Recipient", _typed_address("rfc822", report.address, utf8=utf8))
    fields.structured("Action", report.action.value)
    fields.structured("Status", _field(report.status, utf8=False))
    if report.remote_mta:
        fields.structured("Remote-MTA", f"dns; {_field(report.remote_mta, utf8=utf8)}")
    if report.diagnostic and report.diagnostic_is_smtp:
        fields.structured("Diagnostic-Code", f"smtp; {_field(_one_line(report.diagnostic), utf8=utf8)}")
    if report.last_attempt is not None:
        fields.structured("Last-Attempt-Date", format_date(report.last_attempt, offset))
    if report.retry_until is not None and report.action is Action.DELAYED:
        fields.structured("Will-Retry-Until", format_date(report.retry_until, offset))
    return fields


def _typed_address(kind: str, address: str, *, utf8: bool) -> str:
    """Write an address with its type; beyond ASCII it has type utf-8 and, in an ASCII report, escapes (RFC 6533)."""
    address = printable(address)
    if address.isascii():
        return f"{kind}; {address}"
    if not utf8:
        address = _NOT_QCHAR.sub(lambda found: f"{_ESCAPED}{{{ord(found[0]):X}}}", address)
    return f"utf-8; {address}"


def _field(value: str, *, utf8: bool) -> str:
    value = printable(value, _DIAGNOSTIC_LIMIT)
    return value if utf8 else value.encode("ascii", "replace").decode()


def _returned(notification: Notification) -> bytes:
    """Write what is given back of the message. Line ends become CRLF: nothing may leave with a bare CR or LF."""
    original = notification.original
    utf8 = notification.smtputf8
    end, _ = header_end(original)
    if notification.return_full:
        content = _LINE_END.sub(b"\r\n", original)
        # Of message/rfc822 only its body may be other than ASCII; it allows no encoding but these (RFC 2046
        # section 5.2.1).
        kind = "message/global" if utf8 and not original[:end].isascii() else "message/rfc822"
        return _part(kind, "Undelivered message", content, "7bit" if content.isascii() else "8bit")
    header = original[:end]
    if utf8 and not header.isascii():
        content = _LINE_END.sub(b"\r\n", header)
        return _part("message/global-headers", "Message header", content, "8bit")
    content, encoding = _encoded_text(header, eight_bit=False)
    return _part("text/rfc822-headers", "Message header", content, encoding)
