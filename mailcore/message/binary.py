"""Messages with NUL, as literal8 brings them, made such that every protocol can carry them (RFC 3516 section 4).

A part that says ``Content-Transfer-Encoding: binary`` is written in base64 instead, header field and body; what is
signed as it stands would not survive that, but neither would it survive being sent as binary to anybody.
"""

import base64
import re
from typing import Final

from mailcore.message.structure import Part, scan, walk

# A field that goes on over lines beginning with white space (RFC 5322 section 2.2.3).
_FIELD: Final = re.compile(rb"(?im)^content-transfer-encoding[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*\n?")


class NotMimeError(ValueError):
    """There is NUL where none can be: in a header, or in a part that does not say that it is binary."""


def without_nul(message: bytes) -> bytes:
    """Write binary parts with NUL in them in base64; raises ``NotMimeError`` when there is NUL elsewhere."""
    pieces: list[bytes] = []
    done = 0
    for part in walk(scan(message)):
        if part.children or part.encoding.lower() != b"binary" or b"\0" not in message[part.body_start : part.end]:
            continue
        pieces += [message[done : part.start], _reencoded(message, part)]
        done = part.end
    pieces.append(message[done:])
    whole = b"".join(pieces)
    if b"\0" in whole:
        raise NotMimeError("NUL outside a binary part")
    return whole


def _reencoded(message: bytes, part: Part) -> bytes:
    header = message[part.start : part.body_start]
    body = message[part.body_start : part.end]
    # The last line end belongs to the boundary, where there is one; of a whole message it ends the last line.
    tail = b"\r\n" if part.start == 0 else b""
    encoded = base64.encodebytes(body).rstrip(b"\n").replace(b"\n", b"\r\n")
    return _FIELD.sub(b"Content-Transfer-Encoding: base64\r\n", header, count=1) + encoded + tail
