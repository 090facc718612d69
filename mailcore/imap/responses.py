"""From values to the bytes of responses (RFC 3501 section 7): every text once, and quoting in one place."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from mailcore.imap import names
from mailcore.imap.questions import Refused
from mailcore.store.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from mailcore.store.rights import settable

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
NO_COMPRESSION_SO = bad(b"Unknown compression")
COMPRESSED_ALREADY = bad(b"DEFLATE is active already")
NO_TLS_HERE = bad(b"TLS is not available")
TLS_ALREADY = bad(b"TLS is active already")
# RFC 9586 section 3.
UID_REQUIRED = b"BAD [UIDREQUIRED] Message numbers are switched off"
# RFC 5465 sections 3.1 and 5.8.
BAD_EVENT = no(
    b"No such event",
    b"BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange "
    b"ServerMetadataChange)",
)
TOO_MUCH_TO_NOTIFY = no(b"Too many mailboxes", b"NOTIFICATIONOVERFLOW")
NOTIFICATION_OVERFLOW = b"* OK [NOTIFICATIONOVERFLOW] Too many mailboxes\r\n"
READ_ONLY = no(b"Mailbox is read-only", b"READ-ONLY")
BAD_CHARSET = no(
    b"Charset is not supported",
    b"BADCHARSET (US-ASCII UTF-8 ISO-8859-1 ISO-8859-15 WINDOWS-1252 KOI8-R GB18030 BIG5 SHIFT_JIS EUC-JP EUC-KR)",
)
EXPUNGE_ISSUED = no(b"Some of the messages no longer exist", b"EXPUNGEISSUED")
QUOTA_IS_NOT_SET_HERE = no(b"Quotas are set in the administration", b"NOPERM")
UNKNOWN_CTE = no(b"Content-Transfer-Encoding cannot be undone", b"UNKNOWN-CTE")
INBOX_STAYS = no(b"INBOX cannot be deleted", b"CANNOT")
NUL_IN_LITERAL = bad(b"NUL is not allowed")
MESSAGE_TOO_BIG = no(b"Message is too big", b"TOOBIG")
TOO_MANY_MESSAGES = no(b"Too many messages at once", b"LIMIT")
NO_SUCH_MESSAGE = no(b"No such message", b"NONEXISTENT")
EMPTY_MESSAGE = no(b"A message of no octets is not stored", b"CANNOT")
TOO_MUCH_TO_SEARCH = no(b"Too many search keys", b"LIMIT")
TOO_MANY_MAILBOXES = no(b"Too many mailbox names", b"LIMIT")
TOO_MANY_PATTERNS = no(b"Too many patterns", b"LIMIT")
TEMPORARY_FAILURE = no(b"Temporary problem, try again later", b"UNAVAILABLE")

# Octets in a value (RFC 5464 section 5).
METADATA_VALUE_LIMIT = 32 * 1024

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
    Refused.UNKNOWN_CTE: UNKNOWN_CTE,
    Refused.NO_PERMISSION: no(b"Permission denied", b"NOPERM"),
    Refused.NO_SUCH_IDENTIFIER: no(b"No such user or group"),
    Refused.OWNER_RIGHTS: no(b"The owner of a mailbox has all rights in it", b"CANNOT"),
    Refused.USE_NOT_ALLOWED: no(b"Mailbox cannot have this use", b"USEATTR"),
    Refused.TOO_MANY_ENTRIES: no(b"Too many entries", b"METADATA TOOMANY"),
    Refused.VALUE_TOO_LONG: no(b"Value is too long", b"METADATA MAXSIZE %d" % METADATA_VALUE_LIMIT),
    Refused.NO_SUCH_QUOTA_ROOT: no(b"No such quota root", b"NONEXISTENT"),
    Refused.UNAVAILABLE: TEMPORARY_FAILURE,
}


def refused(reason: Refused) -> bytes:
    """Say why something was not done."""
    return _REFUSED[reason]


def in_progress(tag: bytes, progress: tuple[int, int] | None) -> bytes:
    """Write the untagged line that says how far a command is (RFC 9585 section 4). ``progress``: done, to be done."""
    name = b"NIL" if b"]" in tag else string(tag)  # no "]" may be inside a response code
    if progress is None or progress[1] <= 0:
        return untagged(ok(b"Still at it", b"INPROGRESS (%b NIL NIL)" % name))
    done, goal = progress
    return untagged(ok(b"Still at it", b"INPROGRESS (%b %d %d)" % (name, min(done, goal - 1), goal)))


# url-resp-text = 1*(%x01-09 / %x0B-0C / %x0E-5B / %x5D-FE) (RFC 4469 section 5), less what clients stumble over
_NOT_IN_URL = re.compile(rb"[^\x21-\x5b\x5e-\x7e]")


def bad_url(url: bytes) -> bytes:
    """Say which URL of a CATENATE leads nowhere."""
    return no(b"No such message or part", b"BADURL " + (_NOT_IN_URL.sub(b"?", url[:1000]) or b"?"))


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


def literal8(octets: bytes) -> bytes:
    """Write a literal, as ``literal8`` where there is NUL in it (RFC 3516 section 4.2)."""
    return b"~{%d}\r\n%b" % (len(octets), octets) if b"\0" in octets else b"{%d}\r\n%b" % (len(octets), octets)


def astring(octets: bytes) -> bytes:
    """Write ``astring``: bare where that is possible. NIL in quotes, lest it be taken for nothing."""
    if _ATOM.fullmatch(octets) and octets.upper() != b"NIL":
        return octets
    return string(octets)


def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """Write a mailbox name, in modified UTF-7 or for a client that has asked for it in UTF-8."""
    if utf8 and not name.isascii():
        # utf8-quoted of RFC 6855 section 3, quoted of RFC 9051 section 9; a name has no control characters.
        return b'"%b"' % name.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8")
    return astring(name.encode("ascii") if utf8 else names.encode(name))


def listed(attributes: bytes, name: bytes, old: bytes = b"") -> bytes:
    """Write a LIST response. ``old``: how the mailbox was called before, or just now by the client.

    Names are as ``mailbox`` writes them; OLDNAME is of RFC 9051 section 6.3.9.7.
    """
    extra = b' ("OLDNAME" (%b))' % old if old else b""
    return b'* LIST (%b) "/" %b%b\r\n' % (attributes, name, extra)


def mailbox_id(mailbox: int) -> bytes:
    """Write MAILBOXID: it goes with a mailbox through every RENAME and is never given again (RFC 8474 section 4)."""
    return b"MAILBOXID (F%d)" % mailbox


@lru_cache(maxsize=64)
def permanent_flags(rights: str, keywords: tuple[str, ...] = ()) -> bytes:
    """Write PERMANENTFLAGS: what may be changed with these rights (RFC 4314 section 5.1.1)."""
    listed = flag_list(settable(rights) & ALL_FLAGS, keywords if "w" in rights else ())
    if "w" in rights:
        listed = listed[:-1] + b" \\*)"
    return ok(b"Flags that are kept", b"PERMANENTFLAGS " + listed)


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
    return " ".join(map(str, values)).encode("ascii")
