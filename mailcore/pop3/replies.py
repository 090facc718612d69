"""Every text that the POP3 server says, once, without CRLF.

Response codes in brackets: RFC 2449 section 8 and RFC 3206.
"""

from collections.abc import Iterable

from mailcore.pop3.languages import LANGUAGES, translate
from mailcore.sasl.mechanisms import MECHANISMS

OK = b"+OK"
GREETING = b"+OK POP3 ready"
BYE = b"+OK Bye"
PASSWORD_PLEASE = b"+OK Now the password"
READY_FOR_TLS = b"+OK Begin TLS"
UTF8 = b"+OK UTF-8 it is"
LANGUAGES_FOLLOW = b"+OK Languages"
MECHANISMS_FOLLOW = b"+OK"

UNKNOWN_COMMAND = b"-ERR Unknown command"
BAD_ARGUMENT = b"-ERR Wrong argument"
LINE_TOO_LONG = b"-ERR Line too long"
LOGIN_FIRST = b"-ERR Log in first"
LOGGED_IN_ALREADY = b"-ERR You are logged in already"
USER_FIRST = b"-ERR Say USER first"
TLS_FIRST = b"-ERR Say STLS first: passwords are taken over TLS only"
TLS_ALREADY = b"-ERR TLS is active already"
NO_TLS = b"-ERR No TLS here"
NO_SUCH_LANGUAGE = b"-ERR No such language"
UNKNOWN_MECHANISM = b"-ERR Unknown authentication mechanism"
BAD_RESPONSE = b"-ERR Cannot decode this response"
AUTH_CANCELLED = b"-ERR Authentication cancelled"
# The same for an unknown login and a wrong password.
WRONG_LOGIN = b"-ERR [AUTH] Wrong login or password"
LOGIN_NOT_NOW = b"-ERR [SYS/TEMP] Cannot check logins now, try again later"
MAILDROP_IN_USE = b"-ERR [IN-USE] Another session has this maildrop"
ACCOUNT_GONE = b"-ERR [SYS/PERM] This account has been deleted"
NOT_NOW = b"-ERR [SYS/TEMP] Temporary trouble here, try again later"
NOT_DELETED = b"-ERR [SYS/TEMP] The messages could not be deleted"
NO_SUCH_MESSAGE = b"-ERR No such message"
SHUTTING_DOWN = b"-ERR [SYS/TEMP] This server is going down, try again soon"
NOT_A_WEB_SERVER = b"-ERR This is a mail server"

# A line of LIST: number and size.
SCAN_LISTING = b"%d %d"


def maildrop(count: int, octets: int) -> bytes:
    """Say what there is, after a login."""
    return b"+OK %d messages (%d octets)" % (count, octets)


def statistics(count: int, octets: int) -> bytes:
    """Answer STAT: its form is fixed (RFC 1939 section 5)."""
    return b"+OK %d %d" % (count, octets)


def octets(size: int) -> bytes:
    """Begin to answer RETR."""
    return b"+OK %d octets" % size


def unique_id_listing(uidvalidity: int) -> bytes:
    """Return the form of a line of UIDL, for number and UID; what it says is never used again (RFC 1939 section 7).

    At most 21 characters, of the 70 that are allowed.
    """
    return b"%%d %d.%%d" % uidvalidity


def many(first: bytes, lines: Iterable[bytes]) -> bytes:
    """Write an answer of several lines, without the last CRLF. No line of ours begins with a dot."""
    return b"\r\n".join([first, *lines, b"."])


def language_chosen(tag: str) -> bytes:
    """Answer LANG: the tag, then a sentence in that language (RFC 6856 section 3.1)."""
    _, _, sentence = translate(b"+OK Responses are in English now", tag).partition(b" ")
    return b"+OK %s %s" % (tag.encode("ascii"), sentence)


def languages() -> bytes:
    """List the languages: tag, and the name in the language itself (RFC 6856 section 3.1)."""
    return many(LANGUAGES_FOLLOW, (f"{tag} {name}".encode() for tag, name in LANGUAGES.items()))


def mechanisms() -> bytes:
    """Answer AUTH without a mechanism, as programs from before CAPA ask which there are."""
    return many(MECHANISMS_FOLLOW, (name.encode("ascii") for name in MECHANISMS))


def capabilities(*, stranger: bool, may_login: bool, may_start_tls: bool) -> bytes:
    """Answer CAPA (RFC 2449 section 6). What the client may not do now is not named.

    Strangers are not told what we are; nobody which version (RFC 2449 section 6.9 leaves that to us). No APOP: it
    needs passwords in clear text on the server, and its digest is broken MD5.
    """
    lines = [b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE NEVER", b"LOGIN-DELAY 0"]
    lines.append(b"LANG")
    if stranger:
        # RFC 6856 section 2: names and passwords may be UTF-8, too.
        lines.append(b"UTF8 USER")
    if may_login:
        lines += [b"USER", b"SASL " + " ".join(MECHANISMS).encode("ascii")]
    if may_start_tls:
        lines.append(b"STLS")
    if not stranger:
        lines.append(b"IMPLEMENTATION A3Mailer")
    return many(b"+OK", lines)
