"""Reads the body of one message off the wire into its sink, by DATA or in chunks by BDAT.

A body that is refused is read to its real end all the same, so that nothing of it is ever taken for a command.
"""

from mailcore.lines import DotUnstuffer
from mailcore.message.envelope import BodyRefusedError, BodySink, Reply
from mailcore.smtp.replies import BARE_NEWLINE, NUL_IN_MESSAGE, TOO_BIG


class BodyReader:
    """Takes the octets of one message and remembers what is wrong with it."""

    __slots__ = ("_bare_newline", "_dots", "_limit", "_nul", "_refused", "_tail", "sink", "size")

    def __init__(self, sink: BodySink, limit: int) -> None:
        self.sink = sink
        self.size = 0
        self._limit = limit
        self._dots = DotUnstuffer()
        self._tail = b""  # a CR at the end of a chunk: its LF may be in the next
        self._bare_newline = False
        self._nul = False
        self._refused: Reply | None = None

    @property
    def rest(self) -> bytes | None:
        """What came after the end of DATA; ``None`` until the end has come."""
        return self._dots.rest

    @property
    def refusal(self) -> Reply | None:
        """Why the message cannot be taken, as far as it has been read.

        In one order whatever was found first, so that the answer does not depend on how the octets were cut.
        """
        if self.size > self._limit:
            return TOO_BIG
        if self._bare_newline:
            return BARE_NEWLINE
        if self._nul:
            return NUL_IN_MESSAGE
        return self._refused

    def data(self, octets: bytes) -> None:
        """Take octets after DATA (RFC 5321 section 4.1.1.4), dots and all."""
        if piece := self._dots.unstuff(octets):
            self._keep(piece)

    def chunk(self, octets: bytes) -> None:
        """Take octets of a BDAT chunk (RFC 3030 section 2)."""
        piece = self._tail + octets
        self._tail = b""
        if piece.endswith(b"\r"):
            self._tail = b"\r"
            piece = piece[:-1]
        if piece:
            self._keep(piece)

    def last_chunk(self) -> None:
        """Take note that there are no more chunks."""
        if self._tail:
            self._keep(self._tail)

    def abandon(self) -> None:
        """Let go of what was kept."""
        self.sink.abandon()

    def _keep(self, piece: bytes) -> None:
        """Write octets that do not end between CR and LF, unless something is wrong by now."""
        self.size += len(piece)
        newlines = piece.count(b"\n")
        if piece.count(b"\r\n") != newlines or piece.count(b"\r") != newlines:
            self._bare_newline = True
        if b"\0" in piece:
            self._nul = True
        if self.refusal is None:
            try:
                self.sink.write(piece)
            except BodyRefusedError as refused:
                self._refused = refused.reply
