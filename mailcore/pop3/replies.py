"""Every text that the POP3 server says, once, without CRLF.

Response codes in brackets: RFC 2449 section 8 and RFC 3206.
"""

from mailcore.sasl.mechanisms import MECHANISMS

OK = b"+OK"
GREETING = b"+OK POP3 ready"
BYE = b"+OK Bye"
PASSWORD_PLEASE = b"+OK Now the password"
READY_FOR_TLS = b"+OK Begin TLS"

UNKNOWN_COMMAND = b"-ERR Unknown command"
BAD_ARGUMENT = b"-ERR Wrong argument"
LINE_TOO_LONG = b"-ERR Line too long"
LOGIN_FIRST = b"-ERR Log in first"
LOGGED_IN_ALREADY = b"-ERR You are logged in already"
USER_FIRST = b"-ERR Say USER first"
TLS_FIRST = b"-ERR Say STLS first: passwords are taken over TLS only"
TLS_ALREADY = b"-ERR TLS is active already"
NO_TLS = b"-ERR No TLS here"
UNKNOWN_MECHANISM = b"-ERR Unknown authentication mechanism"
BAD_RESPONSE = b"-ERR Cannot decode this response"
AUTH_CANCELLED = b"-ERR Authentication cancelled"
# The same for an unknown login and a wrong password.
WRONG_LOGIN = b"-ERR [AUTH] Wrong login or password"
LOGIN_NOT_NOW = b"-ERR [SYS/TEMP] Cannot check logins now, try again later"
MAILDROP_IN_USE = b"-ERR [IN-USE] Another session has this maildrop"
NOT_NOW = b"-ERR [SYS/TEMP] Temporary trouble here, try again later"
NOT_DELETED = b"-ERR [SYS/TEMP] The messages could not be deleted"
NO_SUCH_MESSAGE = b"-ERR No such message"
SHUTTING_DOWN = b"-ERR [SYS/TEMP] This server is going down, try again soon"
NOT_A_WEB_SERVER = b"-ERR This is a mail server"


def maildrop(count: int, octets: int) -> bytes:
    """Say what there is, after a login."""
    return b"+OK %d messages (%d octets)" % (count, octets)


def statistics(count: int, octets: int) -> bytes:
    """Answer STAT: its form is fixed (RFC 1939 section 5)."""
    return b"+OK %d %d" % (count, octets)


def octets(size: int) -> bytes:
    """Begin to answer RETR."""
    return b"+OK %d octets\r\n" % size


def one(number: int, what: bytes) -> bytes:
    """Answer LIST or UIDL for one message."""
    return b"+OK %d %s" % (number, what)


def many(first: bytes, lines: list[bytes]) -> bytes:
    """Write an answer of several lines, without the last CRLF. No line of ours begins with a dot."""
    return b"\r\n".join([first, *lines, b"."])


def capabilities(*, may_login: bool, may_start_tls: bool) -> bytes:
    """Answer CAPA (RFC 2449 section 6). What the client may not do now is not named."""
    lines = [b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE NEVER", b"LOGIN-DELAY 0"]
    if may_login:
        lines += [b"USER", b"SASL " + " ".join(MECHANISMS).encode("ascii")]
    if may_start_tls:
        lines.append(b"STLS")
    return many(b"+OK", [*lines, b"IMPLEMENTATION A3Mailer"])
