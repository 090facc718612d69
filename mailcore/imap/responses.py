"""From values to the bytes of responses (RFC 3501 section 7): every text once, and quoting in one place."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from mailcore.imap import names
from mailcore.imap.questions import Refused
from mailcore.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

CRLF = b"\r\n"

# Strings that may stand in quotes as they are, once \ and " are escaped.
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')

SYSTEM_FLAG_NAMES = (
    (ANSWERED, b"\\Answered"),
    (FLAGGED, b"\\Flagged"),
    (DELETED, b"\\Deleted"),
    (SEEN, b"\\Seen"),
    (DRAFT, b"\\Draft"),
)
ALL_FLAGS = ANSWERED | FLAGGED | DELETED | SEEN | DRAFT

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


# -- Conditions -------------------------------------------------------------------------------------------------------


def ok(text: bytes, code: bytes = b"") -> bytes:
    """``OK``, for a tagged or untagged response, without CRLF."""
    return b"OK [%b] %b" % (code, text) if code else b"OK " + text


def no(text: bytes, code: bytes = b"") -> bytes:
    """``NO``: understood, not done."""
    return b"NO [%b] %b" % (code, text) if code else b"NO " + text


def bad(text: bytes) -> bytes:
    """``BAD``: not understood, or not now."""
    return b"BAD " + text


def bye(text: bytes, code: bytes = b"") -> bytes:
    """The whole untagged line that ends a connection."""
    return b"* BYE [%b] %b\r\n" % (code, text) if code else b"* BYE %b\r\n" % text


def untagged(content: bytes) -> bytes:
    """One untagged line."""
    return b"* %b\r\n" % content


# RFC 3501 section 7.1 and RFC 5530 section 3.
UNKNOWN_COMMAND = bad(b"Unknown command")
NOT_NOW = bad(b"Command is not allowed in this state")
NO_TAG = b"* BAD Missing or invalid tag\r\n"
TOO_MANY_ERRORS = bye(b"Too many errors")
LINE_TOO_LONG = bye(b"Command line is too long", b"LIMIT")
LITERAL_TOO_LONG = bye(b"Literal is too long", b"TOOBIG")
SERVER_SHUTDOWN = bye(b"Server is going down", b"UNAVAILABLE")
IDLE_TOO_LONG = bye(b"No word from you for too long")
LOGGING_OUT = bye(b"Logging out")
MAILBOX_GONE = bye(b"The selected mailbox was deleted", b"UNAVAILABLE")
TOO_MANY_FAILURES = bye(b"Too many failed logins")

LITERAL_REFUSED = no(b"Literal is too long", b"TOOBIG")
PRIVACY_REQUIRED = no(b"Not without TLS", b"PRIVACYREQUIRED")
AUTHENTICATION_FAILED = no(b"Authentication failed", b"AUTHENTICATIONFAILED")
AUTHENTICATION_LATER = no(b"Too many attempts, try again later", b"UNAVAILABLE")
AUTHENTICATION_CANCELLED = bad(b"Authentication cancelled")
BAD_RESPONSE = bad(b"Not what the mechanism expects")
UNKNOWN_MECHANISM = no(b"Mechanism is not supported", b"CANNOT")
EXPECTED_DONE = bad(b"Expected DONE")
NO_TLS_HERE = bad(b"TLS is not available")
TLS_ALREADY = bad(b"TLS is active already")
READ_ONLY = no(b"Mailbox is read-only", b"READ-ONLY")
BAD_CHARSET = no(b"Charset is not supported", b"BADCHARSET (US-ASCII UTF-8)")
EXPUNGE_ISSUED = no(b"Some of the messages no longer exist", b"EXPUNGEISSUED")
INBOX_STAYS = no(b"INBOX cannot be deleted", b"CANNOT")
NUL_IN_LITERAL = bad(b"NUL is not allowed")
MESSAGE_TOO_BIG = no(b"Message is too big", b"TOOBIG")
TOO_MANY_MESSAGES = no(b"Too many messages at once", b"LIMIT")
EMPTY_MESSAGE = no(b"A message of no octets is not stored", b"CANNOT")
TOO_MUCH_TO_SEARCH = no(b"Too many search keys", b"LIMIT")
TOO_MANY_PATTERNS = no(b"Too many patterns", b"LIMIT")
TEMPORARY_FAILURE = no(b"Temporary problem, try again later", b"UNAVAILABLE")

_REFUSED = {
    Refused.NO_SUCH_MAILBOX: no(b"No such mailbox", b"NONEXISTENT"),
    Refused.MAILBOX_EXISTS: no(b"Mailbox exists already", b"ALREADYEXISTS"),
    Refused.NAME_NOT_ALLOWED: no(b"Mailbox name is not allowed", b"CANNOT"),
    Refused.HAS_CHILDREN: no(b"Mailbox has children", b"HASCHILDREN"),
    Refused.TRY_CREATE: no(b"No such mailbox", b"TRYCREATE"),
    Refused.OVER_QUOTA: no(b"Quota exceeded", b"OVERQUOTA"),
    Refused.TOO_BIG: MESSAGE_TOO_BIG,
    Refused.LIMIT: no(b"Limit reached", b"LIMIT"),
    Refused.EXPUNGED: EXPUNGE_ISSUED,
    Refused.UNAVAILABLE: TEMPORARY_FAILURE,
}


def refused(reason: Refused) -> bytes:
    """Say why something was not done."""
    return _REFUSED[reason]


def completed(command: bytes, code: bytes = b"") -> bytes:
    """``OK … completed``."""
    return ok(command + b" completed", code)


# -- Data -------------------------------------------------------------------------------------------------------------


def string(octets: bytes) -> bytes:
    """Write ``string``: in quotes where that is possible and short, otherwise as a literal."""
    if len(octets) <= 1000 and _QUOTABLE.fullmatch(octets):
        return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return literal(octets)


def nstring(octets: bytes | None) -> bytes:
    """Write ``nstring``."""
    return b"NIL" if octets is None else string(octets)


def literal(octets: bytes) -> bytes:
    """Write a literal."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def astring(octets: bytes) -> bytes:
    """Write ``astring``: bare where that is possible. NIL in quotes, lest it be taken for nothing."""
    if _ATOM.fullmatch(octets) and octets.upper() != b"NIL":
        return octets
    return string(octets)


def mailbox(name: str) -> bytes:
    """Write a mailbox name."""
    return astring(names.encode(name))


@lru_cache(maxsize=4096)
def flag_list(flags: int, keywords: tuple[str, ...] = (), recent: bool = False) -> bytes:
    r"""Write the flags of a message with their parentheses; ``\Recent`` too where it is asked for."""
    written = [name for bit, name in SYSTEM_FLAG_NAMES if flags & bit]
    written += [keyword.encode("ascii") for keyword in keywords]
    if recent:
        written.append(b"\\Recent")
    return b"(%b)" % b" ".join(written)


_MINUTES = tuple(b" %02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60))
_SECONDS = tuple(b'%02d +0000"' % second for second in range(60))


@lru_cache(maxsize=4096)
def _day(number: int) -> bytes:
    at = datetime.fromtimestamp(number * 86400, UTC)
    return b'"%02d-%b-%04d' % (at.day, _MONTHS[at.month - 1], at.year)


def date_time(seconds: int) -> bytes:
    """Write seconds since 1970 as ``date-time``, in UTC. ``strftime`` would be slower and would obey the locale."""
    minute, second = divmod(seconds, 60)
    return _day(minute // 1440) + _MINUTES[minute % 1440] + _SECONDS[second]


def numbers(values: Iterable[int]) -> bytes:
    """Write numbers with spaces between."""
    return b" ".join([b"%d" % value for value in values])
