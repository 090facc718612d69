"""SMTP commands as values: paths, parameters, xtext (RFC 5321 section 4.1.2 and 4.1.3, RFC 3461, RFC 6531).

Text in, values out; raises ``CommandRefusedError`` with the reply that says what is wrong. Whether an address is
welcome is not decided here.
"""

import re
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TypeAlias

from mailcore.conversation import CommandRefusedError
from mailcore.message.envelope import Client, Envelope, Recipient, Reply
from mailcore.smtp.replies import (
    ADDRESS_NEEDS_SMTPUTF8,
    BAD_ARGUMENT,
    BAD_RECIPIENT_SYNTAX,
    BAD_SENDER_SYNTAX,
    TOO_BIG,
    TOO_FAR_AHEAD,
    UNKNOWN_PARAMETER,
)

# RFC 5321 section 4.5.3.1 asks for 64 octets of local-part, but real senders (VERP, SRS) need more. In octets: it has
# to fit into a line of our Return-Path, and into the columns of the database anyway.
ADDRESS_LIMIT = 320
_DOMAIN_LIMIT = 255
_HELLO_LIMIT = 255
_ENVID_LIMIT = 100  # RFC 3461 section 4.4
_ORCPT_LIMIT = 500  # RFC 3461 section 4.2
_PARAMETER_LIMIT = 20
# RFC 3339 section 5.6, with seconds as they are in RFC 4865.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)

_UTF8 = "\u00a1-\U0010ffff"
_ATOM = rf"[\w!#$%&'*+/=?^`{{|}}~{_UTF8}-]+"
# Dot-string = Atom *("." Atom)
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
# Quoted-string = DQUOTE *QcontentSMTP DQUOTE
_QUOTED = rf'"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*"'
# sub-domain = Let-dig [Ldh-str]; the underscore is not in the grammar, but in the world.
_LABEL = rf"(?!-)[\w{_UTF8}-]{{1,63}}(?<!-)"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
# address-literal = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"
_LITERAL = r"\[[0-9A-Za-z:.-]+\]"
# A-d-l = At-domain *( "," At-domain ): a source route, which "SHOULD be ignored" (RFC 5321 appendix C)
_ROUTE = rf"@{_DOMAIN}(?:,@{_DOMAIN})*:"

# Path = "<" [ A-d-l ":" ] Mailbox ">". The space before it is not in the grammar, but in the world.
_PATH = re.compile(
    rf" ?<(?:(?:{_ROUTE})?(?:(?P<plain>{_DOT_STRING})|(?P<quoted>{_QUOTED}))@(?P<domain>{_DOMAIN}|{_LITERAL}))?>"
    r"(?P<parameters>(?: .*)?)",
    re.ASCII,
)
_POSTMASTER = re.compile(r" ?<postmaster>(?P<parameters>(?: .*)?)", re.ASCII | re.IGNORECASE)
_IS_DOT_STRING = re.compile(_DOT_STRING, re.ASCII)
# esmtp-param = esmtp-keyword ["=" esmtp-value]
_PARAMETER = re.compile(rf"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~{_UTF8}]+))?", re.ASCII)
# xtext is any number of xchar and hexchar
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", re.ASCII)
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]+", re.ASCII)

# AUTH= says on whose behalf a trusted relay submits (RFC 4954 section 5); we trust no relay, and read it for manners.
_MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH", "REQUIRETLS"})
_LATER = frozenset({"HOLDFOR", "HOLDUNTIL"})

Parameters: TypeAlias = dict[str, str | None]


def parse_sender(argument: str) -> tuple[str, Parameters]:
    """Read what follows MAIL: ``FROM:<path> parameters``. The null reverse-path is ``""``."""
    return _parse_path("FROM:", argument, BAD_SENDER_SYNTAX)


def parse_recipient(argument: str) -> tuple[str, Parameters]:
    """Read what follows RCPT: ``TO:<path> parameters``. ``<postmaster>`` may stand without a domain, and then does."""
    if argument[:3].upper() == "TO:" and (found := _POSTMASTER.fullmatch(argument, 3)):
        return "postmaster", _parse_parameters(found["parameters"])
    address, parameters = _parse_path("TO:", argument, BAD_RECIPIENT_SYNTAX)
    if not address:
        raise CommandRefusedError(BAD_RECIPIENT_SYNTAX)
    return address, parameters


def _parse_path(keyword: str, argument: str, wrong: Reply) -> tuple[str, Parameters]:
    length = len(keyword)
    found = _PATH.fullmatch(argument, length) if argument[:length].upper() == keyword else None
    if found is None:
        raise CommandRefusedError(wrong)
    parameters = found["parameters"]
    domain = found["domain"]
    if domain is None:
        return "", _parse_parameters(parameters) if parameters else {}
    local = found["plain"] or _unquoted_where_possible(found["quoted"])
    domain = _checked_literal(domain, wrong) if domain[0] == "[" else domain.lower()
    address = f"{local}@{domain}"
    if len(address.encode()) > ADDRESS_LIMIT or len(domain) > _DOMAIN_LIMIT:
        raise CommandRefusedError(wrong)
    return address, _parse_parameters(parameters) if parameters else {}


def _unquoted_where_possible(quoted: str) -> str:
    """Give every local-part one form: needless quotes and backslashes go (RFC 5321 section 4.1.2)."""
    content = re.sub(r"\\(.)", r"\1", quoted[1:-1])
    if _IS_DOT_STRING.fullmatch(content):
        return content
    return '"' + re.sub(r'(["\\])', r"\\\1", content) + '"'


def _checked_literal(literal: str, wrong: Reply) -> str:
    """Accept addresses of IPv4 and IPv6; nothing else is registered (RFC 5321 section 4.1.3)."""
    content = literal[1:-1]
    try:
        if content[:5].upper() == "IPV6:":
            return f"[IPv6:{IPv6Address(content[5:])}]"
        return f"[{IPv4Address(content)}]"
    except AddressValueError:
        raise CommandRefusedError(wrong) from None


def _parse_parameters(text: str) -> Parameters:
    """Read ``*(SP esmtp-param)``: names in upper case, values as they are, ``None`` where there is no value."""
    words = text.split()
    if len(words) > _PARAMETER_LIMIT:
        raise CommandRefusedError(BAD_ARGUMENT)
    parameters: Parameters = {}
    for word in words:
        found = _PARAMETER.fullmatch(word)
        if found is None or found[1].upper() in parameters:
            raise CommandRefusedError(BAD_ARGUMENT)
        parameters[found[1].upper()] = found[2]
    return parameters


def parse_hello(argument: str) -> str:
    """Read the name after EHLO or HELO: one word of ASCII. It is often nonsense and decides nothing."""
    name = argument.strip(" ")
    if not name or " " in name or len(name) > _HELLO_LIMIT or not name.isascii():
        raise CommandRefusedError(BAD_ARGUMENT)
    return name


def parse_size(value: str | None, limit: int) -> int:
    """Read SIZE= in octets (RFC 1870); refuses what is above ``limit``."""
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise CommandRefusedError(BAD_ARGUMENT)
    size = int(value)
    if size > limit:
        raise CommandRefusedError(TOO_BIG)
    return size


def parse_chunk(argument: str) -> tuple[int, bool]:
    """Read what follows BDAT: the octets of the chunk, and whether it is the last (RFC 3030 section 2)."""
    size, _, last = argument.partition(" ")
    if not (size.isascii() and size.isdigit()) or len(size) > 19 or last.upper() not in {"", "LAST"}:
        raise CommandRefusedError(BAD_ARGUMENT)
    return int(size), bool(last)


def parse_body_type(value: str | None) -> str:
    """Read BODY= (RFC 6152). BINARYMIME is not offered."""
    body_type = (value or "").upper()
    if body_type not in {"7BIT", "8BITMIME"}:
        raise CommandRefusedError(BAD_ARGUMENT)
    return body_type


def parse_ret(value: str | None) -> str:
    """Read RET= (RFC 3461 section 4.3)."""
    ret = (value or "").upper()
    if ret not in {"FULL", "HDRS"}:
        raise CommandRefusedError(BAD_ARGUMENT)
    return ret


def parse_envid(value: str | None) -> str:
    """Read ENVID= (RFC 3461 section 4.4), decoded."""
    if not value or len(value) > _ENVID_LIMIT:
        raise CommandRefusedError(BAD_ARGUMENT)
    return decode_xtext(value)


def parse_notify(value: str | None) -> frozenset[str]:
    """Read NOTIFY= (RFC 3461 section 4.1): NEVER alone, or a list of the others."""
    words = (value or "").upper().split(",")
    notify = frozenset(words)
    if notify != {"NEVER"} and not notify <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise CommandRefusedError(BAD_ARGUMENT)
    return notify


def parse_orcpt(value: str | None) -> str:
    """Read ORCPT= (RFC 3461 section 4.2): ``type;address``, decoded. The type utf-8 (RFC 6533) stays as it is."""
    kind, semicolon, address = (value or "").partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(kind) or len(value or "") > _ORCPT_LIMIT or not address:
        raise CommandRefusedError(BAD_ARGUMENT)
    return f"{kind};{address if kind.lower() == 'utf-8' else decode_xtext(address)}"


def decode_xtext(text: str) -> str:
    """Decode xtext (RFC 3461 section 4). Control characters are refused: this ends up in header fields."""
    if not _XTEXT.fullmatch(text):
        raise CommandRefusedError(BAD_ARGUMENT)
    decoded = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)
    if not (decoded.isascii() and decoded.isprintable()):
        raise CommandRefusedError(BAD_ARGUMENT)
    return decoded


def check_ascii(address: str, smtputf8: bool) -> None:
    """Refuse an address outside of ASCII unless the transaction has SMTPUTF8 (RFC 6531 section 3.5)."""
    if not smtputf8 and not address.isascii():
        raise CommandRefusedError(ADDRESS_NEEDS_SMTPUTF8)


def parse_hold_for(value: str | None, longest: int) -> int:
    """Read HOLDFOR= in seconds (RFC 4865 section 4), at most ``longest``."""
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise CommandRefusedError(BAD_ARGUMENT)
    seconds = int(value)
    if seconds > longest:
        raise CommandRefusedError(TOO_FAR_AHEAD)
    return seconds


def parse_hold_until(value: str | None) -> int:
    """Read HOLDUNTIL=, a date-time of RFC 3339 (RFC 4865 section 4); returns Unix time."""
    if value is None or not _DATE_TIME.fullmatch(value.upper()):
        raise CommandRefusedError(BAD_ARGUMENT)
    try:
        return int(datetime.fromisoformat(value.upper()).timestamp())
    except (ValueError, OverflowError):
        raise CommandRefusedError(BAD_ARGUMENT) from None


def make_envelope(client: Client, sender: str, parameters: Parameters, limit: int, longest_hold: int = 0) -> Envelope:
    """Put the beginning of an envelope together from MAIL's parameters.

    ``limit`` is the largest message in octets, ``longest_hold`` how many seconds ahead it may be handed in.
    """
    if not parameters:
        check_ascii(sender, False)
        return Envelope(client, sender)
    if not parameters.keys() <= (_MAIL_PARAMETERS | _LATER if longest_hold else _MAIL_PARAMETERS):
        raise CommandRefusedError(UNKNOWN_PARAMETER)
    smtputf8 = "SMTPUTF8" in parameters
    requiretls = "REQUIRETLS" in parameters
    if requiretls and client.tls is None:
        raise CommandRefusedError(UNKNOWN_PARAMETER)  # it is offered inside TLS alone (RFC 8689 section 2)
    if parameters.get("SMTPUTF8") or parameters.get("REQUIRETLS"):
        raise CommandRefusedError(BAD_ARGUMENT)
    check_ascii(sender, smtputf8)
    if parameters.keys() >= _LATER:
        raise CommandRefusedError(BAD_ARGUMENT)  # one or the other
    return Envelope(
        client,
        sender,
        size=parse_size(parameters["SIZE"], limit) if "SIZE" in parameters else 0,
        body_type=parse_body_type(parameters["BODY"]) if "BODY" in parameters else "7BIT",
        smtputf8=smtputf8,
        ret=parse_ret(parameters["RET"]) if "RET" in parameters else "",
        envid=parse_envid(parameters["ENVID"]) if "ENVID" in parameters else "",
        requiretls=requiretls,
        hold_for=parse_hold_for(parameters["HOLDFOR"], longest_hold) if "HOLDFOR" in parameters else 0,
        hold_until=parse_hold_until(parameters["HOLDUNTIL"]) if "HOLDUNTIL" in parameters else 0,
    )


def make_recipient(address: str, parameters: Parameters) -> Recipient:
    """Put a recipient together with its parameters; refuses those that are unknown (RFC 5321 section 4.1.1.11)."""
    if not parameters:
        return Recipient(address)
    if not parameters.keys() <= {"NOTIFY", "ORCPT"}:
        raise CommandRefusedError(UNKNOWN_PARAMETER)
    notify = parse_notify(parameters["NOTIFY"]) if "NOTIFY" in parameters else frozenset()
    orcpt = parse_orcpt(parameters["ORCPT"]) if "ORCPT" in parameters else ""
    return Recipient(address, notify, orcpt)
