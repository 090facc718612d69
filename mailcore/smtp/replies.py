"""Every text that the SMTP server says by itself, once; and how a reply is written.

Enhanced status codes: RFC 3463 and RFC 2034. What intake decides about a sender or a message has texts of its own,
which come as ``Reply`` values too.
"""

from functools import lru_cache

from mailcore.message.envelope import Reply

# RFC 5321 section 4.5.3.1.5: 512 octets a reply line, code and CRLF included.
_TEXT_LIMIT = 490

OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
AUTHENTICATED = Reply(235, "2.7.0", "Authentication successful")
HELP = Reply(214, "2.0.0", "See RFC 5321")
CANNOT_VERIFY = Reply(252, "2.5.0", "Send some mail and see")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")

# Temporary
TIMED_OUT = Reply(421, "4.4.2", "You took too long, closing")
SHUTTING_DOWN = Reply(421, "4.3.2", "This server is going down, try again soon")
NO_SERVICE_NOW = Reply(421, "4.3.0", "No service at the moment, try again later")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TOO_MANY_IDLE_COMMANDS = Reply(421, "4.7.0", "Too many commands that bring no mail")
TOO_MANY_LOGIN_FAILURES = Reply(421, "4.7.0", "Too many failed logins")
NOT_NOW = Reply(451, "4.3.0", "Temporary trouble here, try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients, send the rest in another message")
LOGIN_NOT_NOW = Reply(454, "4.7.0", "Temporary authentication failure, try again later")

# Permanent, about commands
UNKNOWN_COMMAND = Reply(500, "5.5.1", "Unknown command")
NOT_TEXT = Reply(500, "5.5.2", "A command has control characters, or is not UTF-8")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "Authentication exchange line is too long")
BAD_ARGUMENT = Reply(501, "5.5.4", "This command was given a wrong argument")
TOO_FAR_AHEAD = Reply(501, "5.5.4", "Nobody may hand in mail so far ahead of time, see EHLO")
BAD_BASE64 = Reply(501, "5.5.2", "Cannot decode this response")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
BAD_SENDER_SYNTAX = Reply(501, "5.1.7", "Syntax: MAIL FROM:<address>")
BAD_RECIPIENT_SYNTAX = Reply(501, "5.1.3", "Syntax: RCPT TO:<address>")
NOT_ASCII = Reply(501, "5.5.4", "Only ASCII here")
NO_SUCH_FEATURE = Reply(502, "5.5.1", "Not available here")
BAD_SEQUENCE = Reply(503, "5.5.1", "Not now: wrong order of commands")
HELLO_FIRST = Reply(503, "5.5.1", "Say EHLO first")
LHLO_FIRST = Reply(503, "5.5.1", "Say LHLO first")
LHLO_ONLY = Reply(500, "5.5.1", "This is LMTP: say LHLO")
MAIL_FIRST = Reply(503, "5.5.1", "Give MAIL first")
RECIPIENT_FIRST = Reply(503, "5.5.1", "Give MAIL and a valid recipient first")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is active already")
AUTHENTICATED_ALREADY = Reply(503, "5.5.1", "You are authenticated already")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Unknown authentication mechanism")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Unknown parameter")
SPOKE_TOO_EARLY = Reply(554, "5.5.1", "You spoke before the greeting (RFC 5321 section 4.3.1)")
NOT_A_WEB_SERVER = Reply(554, "5.5.1", "This is a mail server")

# Permanent, about who asks
LOGIN_FIRST = Reply(530, "5.7.0", "Authentication required")
TLS_FIRST = Reply(530, "5.7.0", "Say STARTTLS first, then authenticate")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Say STARTTLS first: passwords are taken over TLS only")
NOT_OUR_NAME = Reply(550, "5.7.1", "That is the name of this server: say your own")
WRONG_LOGIN = Reply(535, "5.7.8", "Authentication credentials invalid")

# Permanent, about what was sent
TOO_BIG = Reply(552, "5.3.4", "The message is larger than is accepted here")
BARE_NEWLINE = Reply(550, "5.6.11", "The message has a CR without LF, or a LF without CR (RFC 5321 section 2.3.8)")
NUL_IN_MESSAGE = Reply(550, "5.6.0", "The message has a NUL (RFC 5322 section 2.2)")
ADDRESS_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", "An address outside of ASCII needs SMTPUTF8 (RFC 6531)")


def banner(hostname: str, protocol: str = "ESMTP") -> Reply:
    """Greet (RFC 5321 section 4.3.1)."""
    return Reply(220, "", f"{hostname} {protocol} A3Mailer")


def hello(hostname: str, capabilities: list[str]) -> Reply:
    """Answer EHLO or HELO (RFC 5321 section 4.1.1.1)."""
    return Reply(250, "", "\n".join([hostname, *capabilities]))


def chunk_taken(octets: int) -> Reply:
    """Answer a BDAT that is not the last (RFC 3030 section 2)."""
    return Reply(250, "2.0.0", f"{octets} octets received")


@lru_cache(maxsize=512)
def encode(reply: Reply) -> bytes:
    """Write a reply as it goes on the wire, one line or several (RFC 5321 section 4.2).

    What is not printable ASCII becomes ``?``: a text may quote what a client said.
    """
    code, status, text = reply.code, reply.status, reply.text
    prefix = f" {status} " if status else " "
    if text.isascii() and text.isprintable() and len(text) <= _TEXT_LIMIT:
        return f"{code}{prefix}{text}\r\n".encode("ascii")
    lines = [_printable(line) for line in text.split("\n")]
    continued = "-" + prefix[1:]
    return "".join([*(f"{code}{continued}{line}\r\n" for line in lines[:-1]), f"{code}{prefix}{lines[-1]}\r\n"]).encode(
        "ascii"
    )


def _printable(line: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in line[:_TEXT_LIMIT])
