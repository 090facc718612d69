"""A message out of its parts, as a program gives them: text, HTML, attachments, header fields."""

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from typing import Any, Final

from domains.names import to_ascii

# Every server takes it, and nobody has to convert it on the way; but an address may need SMTPUTF8 (RFC 6532).
_SEVEN_BIT: Final = SMTP.clone(cte_type="7bit")
_UTF8: Final = SMTP.clone(cte_type="7bit", utf8=True)
# Fields that a program may set besides those that have a member of their own. Any that begin with X- it may, too.
OPEN_FIELDS: Final = frozenset(
    {
        "list-id",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "list-help",
        "precedence",
        "auto-submitted",
        "importance",
        "priority",
        "feedback-id",
        "references",
        "in-reply-to",
        "message-id",
        "comments",
        "keywords",
    }
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along; with a ``content_id`` the HTML shows it (``cid:``)."""

    filename: str
    content: bytes
    content_type: str = ""
    content_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a message is made of. Addresses may have a name: ``Jane <jane@example.org>``."""

    sender: str
    to: Sequence[str] = ()
    cc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether there is an address that only servers with SMTPUTF8 can write."""
        addresses = (self.sender, *self.to, *self.cc, *self.reply_to)
        return not all(bare(address).isascii() for address in addresses)


class LetterError(ValueError):
    """A part cannot stand in a message; ``member`` names it."""

    def __init__(self, member: str, text: str) -> None:
        super().__init__(text)
        self.member = member


def parsed(text: str) -> tuple[str, str]:
    """Return name and address of ``Jane <jane@example.org>``, the domain in A-labels.

    Raises ``ValueError`` when there is not exactly one.
    """
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable():
        raise ValueError("not one address")
    name, address = found[0]
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or address not in text:
        raise ValueError("no address")
    return name, f"{local}@{to_ascii(domain)}"


def bare(text: str) -> str:
    """Return the address alone; raises ``ValueError``."""
    return parsed(text)[1]


def write(letter: Letter) -> bytes:
    """Write the message, with CRLF; without Date and Message-ID, which submission adds. Raises ``LetterError``."""
    message = EmailMessage(policy=_UTF8 if letter.needs_smtputf8 else _SEVEN_BIT)
    for name, addresses in (
        ("From", [letter.sender]),
        ("To", letter.to),
        ("Cc", letter.cc),
        ("Reply-To", letter.reply_to),
    ):
        if addresses:
            _set(message, name, [_address(each, name) for each in addresses])
    _set(message, "Subject", letter.subject)
    for name, value in letter.headers.items():
        _set(message, name, value, "headers")
    _set_content(message, letter)
    try:
        return message.as_bytes()
    except UnicodeError as error:
        raise LetterError("headers", "a header field cannot be written") from error


def _set_content(message: EmailMessage, letter: Letter) -> None:
    """Plain text, with an HTML alternative to which its pictures belong, and with attachments."""
    inline = [each for each in letter.attachments if _is_inline(each, letter)]
    if letter.text is not None or letter.html is None:
        message.set_content(letter.text or "")
        if letter.html is not None:
            message.add_alternative(letter.html, subtype="html")
    else:
        message.set_content(letter.html, subtype="html")
    if inline:
        body: Any = message.get_body(("html",))
        for each in inline:
            body.add_related(*_typed(each), cid=f"<{each.content_id}>", disposition="inline", filename=each.filename)
    for each in letter.attachments:
        if not _is_inline(each, letter):
            _attach(message, each)


def _is_inline(attachment: Attachment, letter: Letter) -> bool:
    return bool(attachment.content_id) and letter.html is not None


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    content, main, sub = _typed(attachment)
    message.add_attachment(content, main, sub, filename=attachment.filename)


def _typed(attachment: Attachment) -> tuple[bytes, str, str]:
    kind = attachment.content_type or mimetypes.guess_type(attachment.filename)[0] or "application/octet-stream"
    main, _slash, sub = kind.lower().partition("/")
    if main in {"multipart", "message"}:  # bytes of a file are not a part with a structure
        main, sub = "application", "octet-stream"
    return attachment.content, main, sub


def _address(text: str, name: str) -> Address:
    try:
        shown, found = parsed(text)
        local, _at, domain = found.rpartition("@")
        return Address(shown, local, domain)
    except (HeaderParseError, IndexError, ValueError) as error:
        raise LetterError(name.lower().replace("-", "_"), f"{text} is no address") from error


def _set(message: EmailMessage, name: str, value: str | Iterable[Address], member: str = "") -> None:
    try:
        message[name] = value if isinstance(value, str) else list(value)
    except (ValueError, TypeError) as error:
        raise LetterError(
            member or name.lower().replace("-", "_"), f"the field {name} cannot have this value"
        ) from error
