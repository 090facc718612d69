"""A message on its way out after DATA: pieces in, the same with transparency dots out (RFC 5321 section 4.5.2)."""


class BareNewlineError(Exception):
    """The message has a CR without LF or an LF without CR: it must not leave (RFC 5321 section 2.3.8).

    A server that takes such an end of line for one could be made to see a second message in the first.
    """


class DotStuffer:
    """Doubles each dot at the beginning of a line; any cut into pieces is as good as any other."""

    def __init__(self) -> None:
        self._line_begins = True
        self._held = b""  # a CR at the end of the last piece: its LF must come first

    def piece(self, data: bytes) -> bytes:
        """Return what to send for the next bytes of the message; raises ``BareNewlineError``."""
        data = self._held + data
        self._held = b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        if not data:
            return b""
        ends = data.count(b"\r\n")
        if data.count(b"\n") != ends or data.count(b"\r") != ends:
            raise BareNewlineError
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if self._line_begins and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_begins = data.endswith(b"\r\n")
        return stuffed

    def end(self) -> bytes:
        """Return the line that ends the message, after completing its last line. Raises ``BareNewlineError``."""
        if self._held:
            raise BareNewlineError
        return b".\r\n" if self._line_begins else b"\r\n.\r\n"
