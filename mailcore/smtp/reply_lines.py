"""Reads what an SMTP server says: bytes in, ``Reply`` values out (RFC 5321 section 4.2).

The other direction, our own replies as a server, is ``replies.py``. The remote is a stranger: what it says is cut to a
bounded size and cleaned of control characters here, because it goes into logs, reports and the database.
"""

import re

from mailcore.message.envelope import Reply

# RFC 5321 section 4.5.3.1.5 allows 512 octets a line. We keep more than that and read on to its end, to a point.
LINE_KEPT = 2048
LINE_LIMIT = 64 * 1024
LINES_LIMIT = 100

# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
# A reply code is %x32-35 %x30-35 %x30-39; some servers go beyond 5 in the middle, and it means nothing.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
# status-code = class "." subject "." detail (RFC 3463 section 2)
_STATUS = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


class GarbageError(Exception):
    """What the server said is no reply. The text says why, in words for a log."""


class ReplyReader:
    """Collects bytes and gives whole replies."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer that have no line feed
        self._code = b""
        self._lines: list[str] = []

    @property
    def pending(self) -> bool:
        """Whether there is anything that no reply has taken yet."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> None:
        """Take bytes; raises ``GarbageError`` when more comes than any reply has."""
        self._buffer += data
        if len(self._buffer) > LINES_LIMIT * LINE_LIMIT:
            raise GarbageError("a flood of replies")

    def next(self) -> Reply | None:
        """Return the next whole reply, ``None`` until there is one. Raises ``GarbageError``."""
        while (line := self._next_line()) is not None:
            found = _LINE.fullmatch(line)
            if found is None:
                raise GarbageError(f"no SMTP reply: {_clean(line)[:100]}")
            code, separator, text = found.groups()
            if self._code and code != self._code:
                raise GarbageError("a reply with two codes")
            self._code = code
            self._lines.append(_clean(text or b""))
            if separator != b"-":
                return self._finish()
            if len(self._lines) >= LINES_LIMIT:
                raise GarbageError(f"a reply of more than {LINES_LIMIT} lines")
        return None

    def _next_line(self) -> bytes | None:
        """Take one line. A bare line feed ends it, too: replies carry no content that could be smuggled."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > LINE_LIMIT:
                raise GarbageError("a reply line without an end")
            return None
        line = bytes(self._buffer[: min(end, LINE_KEPT)])
        del self._buffer[: end + 1]
        self._searched = 0
        return line.removesuffix(b"\r")

    def _finish(self) -> Reply:
        code, lines = int(self._code), self._lines
        self._code, self._lines = b"", []
        found = _STATUS.match(lines[0])
        # A status of another class than the code contradicts it; the code decides (RFC 2034 section 4).
        if found is None or found[1][0] != str(code)[0]:
            return Reply(code, "", "\n".join(lines))
        status = found[1]
        return Reply(code, status, "\n".join(line.removeprefix(status).lstrip(" ") for line in lines))


def _clean(text: bytes) -> str:
    return "".join(
        letter if letter.isprintable() else "?" for letter in text.decode("utf-8", "replace").replace("\t", " ")
    )
