"""Which conversation a message belongs to, told from its own header alone.

All messages of a thread name its first one: References begins with it, and a first message has it for its own
Message-ID (RFC 5322 section 3.6.4). Whoever replies without References names the message before, which is the first
one in most cases; a longer thread of such messages falls apart. In return the answer never changes, whatever else
comes or goes, and is the same in every mailbox.
"""

import re

_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,998}>")
# fields = field-name ":" unstructured, and lines that begin with white space go on with it (RFC 5322 section 2.2.3).
_FIELDS = {
    name: re.compile(rb"^%b[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)" % name, re.IGNORECASE | re.MULTILINE)
    for name in (b"References", b"In-Reply-To", b"Message-ID")
}


def thread_root(lines: bytes) -> bytes | None:
    """Return the Message-ID of the first message of the thread, with its angle brackets.

    ``lines`` are header lines in which those three fields are. ``None``: the message names none at all.
    """
    for form in _FIELDS.values():
        field = form.search(lines)
        named = _MESSAGE_ID.search(field[1]) if field else None
        if named:
            return named[0]
    return None
