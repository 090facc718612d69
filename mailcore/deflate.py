"""The DEFLATE layer of a connection (RFC 1951 without any wrapping, as RFC 4978 wants it).

What comes in is inflated in slices, so that a few kilobytes on the wire never become megabytes in memory. What goes out
is deflated piece by piece, each by a compressor of its own: the pieces follow each other as blocks of one stream, no
block refers to what was before its piece, and a connection that says nothing keeps no compressor.
"""

import zlib

# Octets that are inflated at once.
SLICE = 16 * 1024

# A window of 4 KiB and 32 KiB of tables in all. IMAP's answers repeat themselves from line to line: flags become 17 %
# of what they were and headers 9 %, which is not better with zlib's own 32 KiB and 268 KiB, and a compressor is made in
# a third of the time. The lowest level takes half of the time of the usual one and leaves a tenth more.
_LEVEL = 1
_WINDOW_BITS = -12
_MEMORY_LEVEL = 5


class NotDeflatedError(ValueError):
    """What came is not a DEFLATE stream, or goes on after its end."""


def deflate(data: bytes) -> bytes:
    """Compress one piece of output, to its last octet: what was said can be read at once."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    r"""Inflates what comes in.

    >>> inflater = Inflater()
    >>> inflater.feed(deflate(b"a NOOP\r\n"))
    >>> inflater.take()
    b'a NOOP\r\n'
    """

    __slots__ = ("_data", "_stream")

    def __init__(self) -> None:
        # The window is the other side's to choose: up to 32 KiB.
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = b""  # not yet inflated

    def feed(self, data: bytes) -> None:
        """Add what came off the wire."""
        self._data += data

    def take(self) -> bytes:
        """Return the next octets, at most ``SLICE``; nothing where more has to come first.

        Raises ``NotDeflatedError``.
        """
        if self.is_over:
            return b""
        try:
            taken = self._stream.decompress(self._data, SLICE)
        except zlib.error as error:
            raise NotDeflatedError(str(error)) from error
        self._data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        return taken

    @property
    def is_over(self) -> bool:
        """The other side has ended its stream: what comes now is not compressed."""
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        """What came and was not inflated."""
        return self._data
