"""The client of the control socket: how any thread or command speaks with the running server, without a reactor.

    status = call("status")
    call("cut", account_id=7)

The supervisor answers on a Unix socket in the data directory, which only the server's user can open. A message is a
length (four bytes, big-endian) and so much JSON. This module knows the form only; what the commands mean is in
``mailcore/supervisor``.
"""

import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from a3mailer_site.env import current

SOCKET_NAME = "control.sock"

# More than any message of ours has; a larger one is a mistake or an attack.
LONGEST = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class ControlError(Exception):
    """The server refused a command; the message is for people."""


class ServerAwayError(ControlError):
    """No server answers on the control socket of this data directory."""


def call(command: str, *, timeout: float = 10.0, data_dir: Path | None = None, **arguments: Any) -> dict[str, Any]:
    """Send a command and return the answer.

    Raises ``ServerAwayError`` when no server runs or it does not answer in ``timeout`` seconds, and ``ControlError``
    when it refuses.
    """
    message = frame({"do": command, "id": 1, **arguments})
    try:
        with connect(data_dir or current().data_dir, timeout) as link:
            link.sendall(message)
            answer = _read(link)
    except OSError as error:
        raise ServerAwayError(f"no server answers in {data_dir or current().data_dir}: {error}") from error
    answer.pop("id", None)
    if not answer.pop("ok", False):
        raise ControlError(str(answer.get("error", "the server gave no reason")))
    return answer


def hint(command: str, **arguments: Any) -> bool:
    """Send a command that is only a hint (the truth is in the database); say whether a server took it."""
    try:
        call(command, timeout=1.0, **arguments)
    except ControlError:
        return False
    return True


def connect(data_dir: Path, timeout: float) -> socket.socket:
    """Open a connection to the control socket; raises ``OSError``."""
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(timeout)
        link.connect(short_path(directory))
    except BaseException:
        link.close()
        raise
    finally:
        os.close(directory)
    return link


def short_path(directory: int) -> str:
    """Name the socket through an open directory: the kernel takes 107 bytes, and data directories may be deep."""
    return f"/proc/self/fd/{directory}/{SOCKET_NAME}"


def frame(message: dict[str, Any]) -> bytes:
    """Write a message."""
    text = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text


class Unframer:
    """Reads messages out of a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Give the messages that are whole now. Raises ``ValueError`` for what is no message."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > LONGEST:
                raise ValueError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = json.loads(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            if not isinstance(message, dict):
                raise ValueError("a message is a JSON object")  # noqa: TRY004 - of the stream, not of an argument
            yield message


def _read(link: socket.socket) -> dict[str, Any]:
    unframer = Unframer()
    while data := link.recv(65536):
        for message in unframer.feed(data):
            return message
    raise ConnectionResetError("the server closed the connection without an answer")
