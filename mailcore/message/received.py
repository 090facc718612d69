"""The trace fields that this server puts before a message: Received, Return-Path, Delivered-To.

What a client said about itself is written so that it cannot break out of its place (RFC 5321 section 4.4).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mailcore.message.dates import format_date
from mailcore.message.headers import Headers
from mailcore.message.writer import HeaderWriter

# More hops than this are a loop (RFC 5321 section 6.3).
HOP_LIMIT: Final = 100

# What a domain or an address literal can hold; anything else that a client said in EHLO is not repeated.
_NOT_DOMAIN: Final = re.compile(r"[^A-Za-z0-9.:_\[\]\u00a1-\ud7ff\ue000-\U0010ffff-]")
_NOT_COMMENT: Final = re.compile(r"[^A-Za-z0-9.:_/+ -]")
_NOT_WORD: Final = re.compile(r"[^A-Za-z0-9.:_+-]")
# A quoted local part may hold anything else, spaces and angle brackets too.
_NOT_PATH: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """How a message came here."""

    helo: str  # as the client said it
    ip: str  # of the client
    by: str  # our name
    protocol: str  # SMTP, ESMTP, ESMTPS, ESMTPSA, LMTP, UTF8SMTPSA, … (RFC 3848, RFC 6531 section 4.3)
    queue_id: str
    at: int  # seconds since 1970-01-01T00:00:00Z
    offset: int = 0  # minutes east of UTC
    reverse_name: str = ""  # name of the address in DNS, when it was looked up and leads back
    tls: str = ""  # version and cipher, such as "TLSv1.3 TLS_AES_256_GCM_SHA384"
    recipient: str = ""  # only with a single one: the others must not learn of it


def received_line(hop: Hop) -> bytes:
    """Write the Received field. Never raises, whatever the client said."""
    literal = f"[IPv6:{hop.ip}]" if ":" in hop.ip else f"[{hop.ip}]"
    peer = f"{_NOT_DOMAIN.sub('?', hop.reverse_name[:255])} {literal}" if hop.reverse_name else literal
    first = f"Received: from {_NOT_DOMAIN.sub('?', hop.helo[:255]) or 'unknown'} ({peer})"
    second = f"\tby {_NOT_DOMAIN.sub('?', hop.by)} with {_NOT_WORD.sub('?', hop.protocol)}"
    if hop.tls:
        second += f" ({_NOT_COMMENT.sub('?', hop.tls[:100])})"
    second += f" id {_NOT_WORD.sub('?', hop.queue_id)}"
    third = f"\t{format_date(hop.at, hop.offset)}"
    if hop.recipient and not _NOT_PATH.search(hop.recipient) and len(hop.recipient) < 900:
        third = f"\tfor <{hop.recipient}>;\r\n{third}"
    else:
        second += ";"
    return f"{first}\r\n{second}\r\n{third}\r\n".encode("utf-8", "replace")


def return_path_line(address: str) -> bytes:
    """Write Return-Path; ``""`` is the null reverse-path. Raises ``ValueError`` for control characters."""
    return _path_line("Return-Path", address)


def delivered_to_line(address: str) -> bytes:
    """Write Delivered-To, which ``is_delivered_to`` finds again. Raises ``ValueError`` for control characters."""
    return _path_line("Delivered-To", address)


@lru_cache(maxsize=1024)
def _path_line(name: str, address: str) -> bytes:
    written = f"<{address}>" if name == "Return-Path" else address
    return HeaderWriter(utf8=True).structured(name, written).to_bytes()


def is_looping(headers: Headers) -> bool:
    """Say whether the message has passed more than ``HOP_LIMIT`` servers (refuse with 5.4.6)."""
    return headers.count(b"received") > HOP_LIMIT


def is_delivered_to(headers: Headers, address: str) -> bool:
    """Say whether the message was delivered to ``address`` before: forwarding it again would be a loop."""
    wanted = address.lower()
    return any(value.decode("utf-8", "replace").lower() == wanted for value in headers.get_all(b"delivered-to"))
