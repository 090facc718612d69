"""Collects one command at a time out of the stream: lines, and the literals that they announce (RFC 3501 section 4.3).

It knows where a command ends, not what it says. Whether a literal is welcome, and where its octets go, the session
decides each time that one is announced. Octets of a literal are never looked at as commands, wanted or not.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from mailcore.lines import LineBuffer

# literal = "{" number64 ["+"] "}" at the end of a line: the octets follow it (RFC 7888 section 8, RFC 9051 section 9).
# literal8 = "~{" number64 ["+"] "}" may hold NUL (RFC 4466 section 6). "~" ends no word that a literal could follow.
_ANNOUNCEMENT = re.compile(rb"(~?)\{([0-9]+)(\+?)\}\Z")

# In the place of "octets still to come": none, but the literal has not been taken yet.
_EMPTY = -1


class Sink(Protocol):
    """Takes the octets of a literal."""

    def write(self, data: bytes) -> None:
        """Take some."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A command from its tag to before its last CRLF; in the place of literals there is only their announcement."""

    text: bytes
    literals: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """The line ends with the announcement of a literal, which is ``text``'s end. Call ``take`` or ``drop`` now."""

    text: bytes
    literals: tuple[Any, ...]
    size: int  # octets
    waits: bool  # the client waits for "+" before it sends them
    binary: bool = False  # a literal8


class Dropped:
    """The end of a command that was dropped with ``drop``."""


DROPPED = Dropped()


class CommandCollector:
    """Give it nothing; it takes from the buffer. ``next`` returns what happened, or ``None`` for lack of bytes."""

    __slots__ = ("_buffer", "_dropping", "_left", "_literals", "_memory", "_sink", "_text")

    def __init__(self, buffer: LineBuffer) -> None:
        self._buffer = buffer
        self.reset()

    def reset(self) -> None:
        """Begin a new command."""
        self._text = b""
        self._literals: tuple[Any, ...] = ()
        self._left = 0  # octets of a literal still to come
        self._sink: Sink | None = None
        self._memory: list[bytes] | None = None
        self._dropping = False

    @property
    def is_empty(self) -> bool:
        """Nothing of a command has come yet."""
        return not (self._text or self._dropping or len(self._buffer))

    @property
    def text(self) -> bytes:
        """The lines of the command so far."""
        return self._text

    @property
    def sinks(self) -> tuple[Any, ...]:
        """What has taken literals so far."""
        return self._literals

    def take(self, sink: Any = None) -> None:
        """Take the literal just announced: into a sink, or into memory."""
        self._sink = sink
        self._memory = [] if sink is None else None

    def drop(self) -> None:
        """Pass over the literal just announced and all that follows to the end of the command."""
        self._dropping = True
        self._text = b""
        self._literals = ()

    def next(self, limit: int) -> Whole | Announced | Dropped | None:
        """Go on. ``limit`` is for all lines of one command together, in octets.

        Raises ``LineTooLongError``.
        """
        while True:
            if self._left and not self._take_octets():
                return None
            line = self._buffer.next_line(max(limit - len(self._text), 2))
            if line is None:
                return None
            announcement = _ANNOUNCEMENT.search(line)
            if not announcement:
                whole = DROPPED if self._dropping else Whole(self._text + line, self._literals)
                self.reset()
                return whole
            # Python refuses a number of a thousand digits; nobody has that many octets.
            self._left = int(announcement[2]) if len(announcement[2]) < 20 else 10**19
            if self._dropping:
                if announcement[3]:
                    continue
                self.reset()  # the client waits for "+", which does not come
                return DROPPED
            self._text += line + b"\r\n"
            announced = Announced(
                self._text, self._literals, self._left, waits=not announcement[3], binary=bool(announcement[1])
            )
            self._left = self._left or _EMPTY
            return announced

    def _take_octets(self) -> bool:
        """Move octets of the literal where they belong; say whether it is complete."""
        if self._left == _EMPTY:
            self._left = 0
        elif self._left:
            octets = self._buffer.take(self._left)
            self._left -= len(octets)
            if self._sink is not None:
                self._sink.write(octets)
            elif self._memory is not None:
                self._memory.append(octets)
        if self._left:
            return False
        if not self._dropping:
            self._literals += (self._sink if self._memory is None else b"".join(self._memory),)
            self._sink = self._memory = None
        return True
