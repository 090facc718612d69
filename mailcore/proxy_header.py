"""The PROXY protocol, versions 1 and 2: how a load balancer says who is at the other end.

The header comes before everything else, TLS included. As the specification of 2020/03/05 by HAProxy's authors has it:
section 2.1 for lines that people can read, 2.2 for binary ones. Of the additions in binary headers (TLV) two are of
interest here: the name that the client asked for, and what was agreed where the balancer itself speaks TLS.
"""

import ipaddress
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from mailcore.dialogue import Peer, TlsFacts

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_PREFACE: Final = b"PROXY "
# Section 2.1: the longest line has 107 characters, its CRLF included.
_LINE_LIMIT: Final = 107
# A binary header may have 64 KiB; what balancers send has some hundred bytes.
_ADDITIONS_LIMIT: Final = 4096
_BEFORE_ADDRESSES: Final = 16

_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([0-9A-Fa-f.:]+) [0-9A-Fa-f.:]+ ([0-9]{1,5}) [0-9]{1,5})\r\n"
)
_PORT_LIMIT: Final = 65535

# Family and transport, by their byte: how an address is packed, and where the ports begin.
_FAMILIES: Final = {0x11: 4, 0x21: 16}
_UNSPECIFIED: Final = 0x00
_LOCAL, _PROXY = 0x20, 0x21

# Types of additions.
_AUTHORITY, _TLS, _TLS_VERSION, _TLS_CIPHER = 0x02, 0x20, 0x21, 0x23
_CLIENT_USED_TLS: Final = 0x01


class ProxyHeaderError(ValueError):
    """What came is no PROXY header, or one that no mail connection can have."""


class ProxyHeader(NamedTuple):
    """What a header says, and how many octets it has."""

    peer: Peer | None  # ``None``: the balancer speaks for itself, to see whether we are there
    size: int


def read_header(data: bytes) -> ProxyHeader | None:
    r"""Read the header that ``data`` begins with; ``None`` while it is not complete. Raises ``ProxyHeaderError``.

    >>> read_header(b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\nEHLO").peer
    Peer(address='192.0.2.7', port=40000, tls=None)
    """
    if data.startswith(_PREFACE[: len(data)]):
        return _read_line(data)
    if data.startswith(SIGNATURE[: len(data)]):
        return _read_binary(data)
    raise ProxyHeaderError("a PROXY header was expected")


def _read_line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, _LINE_LIMIT) + 1
    if not end:
        if len(data) >= _LINE_LIMIT:
            raise ProxyHeaderError("the line is too long")
        return None
    line = _LINE.fullmatch(data, 0, end)
    if line is None:
        raise ProxyHeaderError("the line is not understood")
    family, address, port = line.groups()
    return ProxyHeader(_peer(address.decode("ascii"), int(family), int(port)) if family else None, end)


def _peer(text: str, family: int, port: int) -> Peer:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ProxyHeaderError("there is an address that is none") from error
    if address.version != family or port > _PORT_LIMIT:
        raise ProxyHeaderError("there is an address that is none")
    return Peer(str(address), port)


def _read_binary(data: bytes) -> ProxyHeader | None:
    if len(data) < _BEFORE_ADDRESSES:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(SIGNATURE))
    if command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError("the version or the command is not known")
    if length > _ADDITIONS_LIMIT:
        raise ProxyHeaderError("the header is too long")
    size = _BEFORE_ADDRESSES + length
    if len(data) < size:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(None, size)
    width = _FAMILIES.get(family)
    if width is None or length < 2 * width + 4:
        raise ProxyHeaderError("it is no TCP connection")
    address = ipaddress.ip_address(data[_BEFORE_ADDRESSES : _BEFORE_ADDRESSES + width])
    after = _BEFORE_ADDRESSES + 2 * width
    (port,) = struct.unpack_from("!H", data, after)
    return ProxyHeader(Peer(str(address), port, _tls(data[after + 4 : size])), size)


def _tls(additions: bytes) -> TlsFacts | None:
    """Say what the balancer agreed on with the client, if they speak TLS (section 2.2.6)."""
    found = dict(_additions(additions))
    inside = found.get(_TLS, b"")
    if not inside or not inside[0] & _CLIENT_USED_TLS:
        return None
    of_tls = dict(_additions(inside[5:]))  # behind one byte of flags and four of the certificate's check
    version, cipher, name = of_tls.get(_TLS_VERSION, b""), of_tls.get(_TLS_CIPHER, b""), found.get(_AUTHORITY, b"")
    return TlsFacts(_text(version) or "TLS", _text(cipher), _text(name))


def _additions(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 3 > len(data):
            raise ProxyHeaderError("an addition is cut off")
        kind, length = struct.unpack_from("!BH", data, at)
        at += 3
        if at + length > len(data):
            raise ProxyHeaderError("an addition is cut off")
        yield kind, data[at : at + length]
        at += length


def _text(octets: bytes) -> str:
    text = octets.decode("ascii", "replace")
    return text if text.isprintable() else ""
