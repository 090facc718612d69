"""URLs of messages and of parts of them, as CATENATE takes them: relative to this server (RFC 5092, RFC 4469).

    /Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2/;PARTIAL=0.1024
    ;UID=20/;SECTION=HEADER

The second form is about the selected mailbox. URLs with a server in them are refused, even if it is this one.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from mailcore.imap import names
from mailcore.imap.fetch_items import WantedSection, take_section
from mailcore.imap.grammar import NUMBER_LIMIT, Parser, SyntaxRefusedError
from mailcore.imap.questions import Section

# RFC 5092 section 11: imailbox-ref "/" iuid ["/" isection] ["/" ipartial], where imailbox-ref is
# enc-mailbox [";UIDVALIDITY=" nz-number], iuid is ";UID=" nz-number, isection is ";SECTION=" enc-section and
# ipartial is ";PARTIAL=" number ["." nz-number]. bchar = achar / ":" / "@" / "/", and achar has no ";".
_FORM = re.compile(
    rb"(?:/(?P<mailbox>[^;\x00-\x20\x7f-\xff]+?)(?:;UIDVALIDITY=(?P<uidvalidity>[1-9][0-9]{0,9}))?/)?"
    rb";UID=(?P<uid>[1-9][0-9]{0,9})"
    rb"(?:/;SECTION=(?P<section>[^;\x00-\x20\x7f-\xff]+?))?"
    rb"(?:/;PARTIAL=(?P<first>[0-9]{1,10})(?:\.(?P<most>[1-9][0-9]{0,9}))?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """A message, and what of it is meant."""

    mailbox: str | None  # None: the selected one
    uidvalidity: int | None
    uid: int
    wanted: WantedSection


def read_url(url: bytes) -> MessageUrl:
    """Read a URL. Raises ``SyntaxRefusedError``."""
    match = _FORM.fullmatch(url)
    if match is None:
        raise SyntaxRefusedError("Not the URL of a message here")
    partial = None
    if match["first"]:
        partial = int(match["first"]), int(match["most"] or NUMBER_LIMIT)
    uidvalidity = int(match["uidvalidity"]) if match["uidvalidity"] else None
    numbers = (int(match["uid"]), uidvalidity or 0, *(partial or ()))
    if max(numbers) > NUMBER_LIMIT:
        raise SyntaxRefusedError("Number out of range")
    mailbox = _mailbox(match["mailbox"]) if match["mailbox"] else None
    return MessageUrl(mailbox, uidvalidity, numbers[0], WantedSection(_section(match["section"]), b"", partial))


def _mailbox(encoded: bytes) -> str:
    """Read ``enc-mailbox``: UTF-8, percent-encoded, whatever form names have in commands (RFC 5092 section 11).

    It may be written in any form that is normalised to the name of the mailbox (RFC 9051 section 5.1).
    """
    try:
        return names.canonical(names.decode_utf8(unquote_to_bytes(encoded)))
    except names.NameRefusedError as error:
        raise SyntaxRefusedError(str(error)) from error


def _section(encoded: bytes | None) -> Section:
    if not encoded:
        return Section()
    parser = Parser(unquote_to_bytes(encoded) + b"]")
    section = take_section(parser)
    parser.end()
    return section
