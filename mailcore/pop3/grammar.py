"""POP3's arguments, and the part of a message that TOP wants (RFC 1939)."""

from mailcore.conversation import CommandRefusedError
from mailcore.pop3.replies import BAD_ARGUMENT

_NUMBER_DIGITS = 10


def parse_number(text: str) -> int:
    """Read a message number or a count of lines: 0 or more, at most ten digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > _NUMBER_DIGITS:
        raise CommandRefusedError(BAD_ARGUMENT)
    return int(text)


def parse_top(argument: str) -> tuple[int, int]:
    """Read TOP's two numbers: the message, and how many lines of its body."""
    words = argument.split()
    if len(words) != 2:
        raise CommandRefusedError(BAD_ARGUMENT)
    return parse_number(words[0]), parse_number(words[1])


class Top:
    """Cuts a message after its header and so many lines of its body, slice by slice."""

    __slots__ = ("_in_header", "_lines", "_tail", "is_complete")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._in_header = True
        self._tail = b"\r\n"  # the last octets before the next slice: a message that begins with CRLF has no header
        self.is_complete = False

    def cut(self, data: bytes) -> bytes:
        """Return what of the next slice belongs to the top. Once it ``is_complete``, nothing does."""
        if self.is_complete:
            return b""
        start = 0
        if self._in_header:
            joined = self._tail + data
            blank = joined.find(b"\r\n\r\n")
            if blank < 0:
                self._tail = joined[-3:]
                return data
            self._in_header = False
            start = blank + 4 - len(self._tail)
        while self._lines:
            newline = data.find(b"\n", start)
            if newline < 0:
                return data
            start = newline + 1
            self._lines -= 1
        self.is_complete = True
        return data[:start]
