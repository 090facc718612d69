"""Lines and transparency dots: what SMTP, POP3 and IMAP have in common on the wire.

No protocol's grammar is here, only where a line ends, and how a body is kept from looking like the end of itself.
"""


class LineTooLongError(ValueError):
    """A line is longer than allowed. It has been dropped, or will be as it comes; the next line is read as usual."""


class LineBuffer:
    r"""Bytes that came in, taken off the front by line or by count.

    >>> buffer = LineBuffer()
    >>> buffer.feed(b"NOOP\r\nQU")
    >>> buffer.next_line(512), buffer.next_line(512)
    (b'NOOP', None)
    """

    __slots__ = ("_at", "_data", "_skipping")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._skipping = False  # inside a line that was too long

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add what came off the wire."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next_line(self, limit: int) -> bytes | None:
        """Take one line off the front, without its CRLF; ``None`` until it is whole.

        Only CRLF ends a line. A bare LF or CR is data: treating it as an end would let one message smuggle a second
        one in (RFC 5321 section 2.3.8). ``limit`` is in octets and counts the CRLF; ``LineTooLongError`` is raised
        once for each line above it, as soon as that is certain.
        """
        end = self._data.find(b"\r\n", self._at)
        if self._skipping:
            if end < 0:
                self._drop_all_but_a_last_cr()
                return None
            self._skipping = False
            self._at = end + 2
            end = self._data.find(b"\r\n", self._at)
        if end < 0:
            waiting = len(self._data) - self._at
            if waiting + (1 if self._data.endswith(b"\r") else 2) > limit and waiting:
                self._skipping = True
                self._drop_all_but_a_last_cr()
                raise LineTooLongError
            return None
        line = self._data[self._at : end]
        self._at = end + 2
        if len(line) + 2 > limit:
            raise LineTooLongError
        return line

    def peek_line(self, limit: int) -> bytes | None:
        """Return the next line without taking it; ``None`` if it is not whole or longer than ``limit``."""
        end = self._data.find(b"\r\n", self._at, self._at + limit)
        return None if end < 0 or self._skipping else self._data[self._at : end]

    def peek(self, count: int) -> bytes:
        """Return up to ``count`` octets from the front and leave them there."""
        return self._data[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        """Take up to ``count`` octets off the front."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def take_all(self) -> bytes:
        """Take everything."""
        taken = self._data[self._at :]
        self._data = b""
        self._at = 0
        return taken

    def put_back(self, data: bytes) -> None:
        """Put octets before what is left, because they were taken too much."""
        self._data = data + self._data[self._at :]
        self._at = 0

    def clear(self) -> None:
        """Forget everything (before TLS begins: RFC 3207 section 4.2)."""
        self._data = b""
        self._at = 0
        self._skipping = False

    def _drop_all_but_a_last_cr(self) -> None:
        self._data = b"\r" if self._data.endswith(b"\r") and len(self) else b""
        self._at = 0


class DotStuffer:
    """Makes a message transparent for SMTP's DATA and POP3's multi-line answers, slice by slice.

    RFC 5321 section 4.5.2, RFC 1939 section 3: a line that begins with a dot gets another; a dot alone ends it all.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\r\n"  # the two octets before the next slice; the beginning is the beginning of a line

    def stuff(self, data: bytes) -> bytes:
        """Return the slice as it goes on the wire."""
        joined = self._last + data
        self._last = joined[-2:]
        if b"\r\n." not in joined:
            return data
        return joined.replace(b"\r\n.", b"\r\n..")[2:]

    def end(self) -> bytes:
        """Return what ends the message. One that does not end in CRLF gets it here, on the wire only."""
        return b".\r\n" if self._last == b"\r\n" else b"\r\n.\r\n"


class DotUnstuffer:
    """Finds the end of a dot-stuffed message and takes the dots away, whatever the cuts (RFC 5321 section 4.5.2).

    Only CRLF, dot, CRLF is the end. A bare CR or LF beside a dot is data, and whoever uses this decides what to think
    of it: servers that took such a thing for the end made SMTP smuggling possible.
    """

    __slots__ = ("_started", "_tail", "rest")

    END = b"\r\n.\r\n"

    def __init__(self) -> None:
        # What may be the beginning of END is held back. Before the first line we imagine a CRLF, never handed on.
        self._tail = b"\r\n"
        self._started = False
        self.rest: bytes | None = None  # what came after the end; None before the end

    def unstuff(self, data: bytes) -> bytes:
        """Return the octets of the message that are certain by now. A piece never ends between CR and LF."""
        data = self._tail + data
        dot = data.find(b"\r\n.")  # the first line that begins with a dot; most messages have only the last one
        end = data.find(self.END, dot) if dot >= 0 else -1
        if end >= 0:
            self.rest = data[end + 5 :]
            piece = data[: end + 2]
        else:
            held = self._held(data)
            self._tail = data[len(data) - held :]
            piece = data[: len(data) - held]
        if not piece:
            return b""
        if dot != end:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if not self._started:
            self._started = True
            return piece[2:]
        return piece

    def _held(self, data: bytes) -> int:
        """Count the octets at the end that may belong to END."""
        for length in (4, 3, 2, 1):
            if data.endswith(self.END[:length]):
                return length
        return 0
