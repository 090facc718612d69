"""Fuzz a whole IMAP session: ``python tests/fuzz/imap.py --seconds 600``.

The first octet of an input says in which state the client is, and how its octets are cut; the rest is what it sends.
Whatever that is, the session raises nothing, says whole lines, keeps little, and takes little time.
"""

import re

import fuzzing

with fuzzing.instrumented():
    from imap_model import MESSAGE, MIXED, Client, Store

    from mailcore.imap.session import COMMANDS, LINE_LIMIT, LITERALS_LIMIT

ENABLED = (b"", b"IMAP4rev2", b"UTF8=ACCEPT", b"CONDSTORE", b"IMAP4rev2 UTF8=ACCEPT CONDSTORE")
PIECES = (1, 7, 100, 10**6)

SEEDS = [
    b"\x00a CAPABILITY\r\nb LOGIN bob {6+}\r\nsecret\r\nc SELECT INBOX\r\nd LOGOUT\r\n",
    b"\x00a AUTHENTICATE PLAIN\r\nAGJvYgBzZWNyZXQ=\r\nb ENABLE IMAP4rev2\r\nc UNAUTHENTICATE\r\n",
    b'\x01a LIST (SUBSCRIBED RECURSIVEMATCH) "" (a* %/b) RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))\r\n',
    b'\x01a CREATE "a/b"\r\nb RENAME a/b &AOk-\r\nc SUBSCRIBE Work\r\nd LSUB "" %\r\ne DELETE Work\r\nf NAMESPACE\r\n',
    b'\x01a APPEND INBOX (\\Seen $x) " 1-Jan-2024 00:00:00 +0000" {3+}\r\nabc UTF8 (~{4+}\r\n\xc3\xa9\r\n)\r\n',
    b'\x01a ID ("name" NIL {1+}\r\nx "y")\r\nb ENABLE CONDSTORE\r\nc COMPRESS DEFLATE\r\nd IDLE\r\nDONE\r\n',
    b"\x02a FETCH 1:* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (a b)]<0.5> MODSEQ) (CHANGEDSINCE 1)\r\n",
    b"\x02a UID FETCH 1,3:* (ENVELOPE BODYSTRUCTURE BODY[TEXT] RFC822 INTERNALDATE RFC822.SIZE UID)\r\n",
    b"\x02a STORE 1,2 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\\Deleted $Junk)\r\nb UID STORE 2 FLAGS \\Seen x\r\n",
    b"\x02a COPY 1:2 Work\r\nb UID MOVE 2 Work\r\nc EXPUNGE\r\nd UID EXPUNGE 1:*\r\ne CLOSE\r\nf CHECK\r\n",
    b'\x02a SEARCH RETURN (MIN MAX COUNT) CHARSET UTF-8 OR (NOT SEEN 1:2) FROM "x" SINCE 1-Jan-2024\r\n',
    b'\x02a UID SEARCH MODSEQ "/flags/\\\\draft" all 7 HEADER {2+}\r\nto "" UID 1:* KEYWORD $x LARGER 5\r\n',
    b"\x02a IDLE\r\nDONE\r\nb STATUS INBOX (MESSAGES SIZE HIGHESTMODSEQ)\r\nc EXAMINE Work (CONDSTORE)\r\n",
]
WORDS = [
    *COMMANDS,
    *rb"""INBOX Work {3} {3+} ~{3+} {0} {4096+} {99999999999999999999} ( ) [ ] < > { } " \ * % $ , : . - + ~ & NIL UID
    FLAGS FLAGS.SILENT +FLAGS -FLAGS ENVELOPE BODY BODY[] BODY.PEEK[ BODYSTRUCTURE INTERNALDATE RFC822 RFC822.SIZE
    MODSEQ HEADER HEADER.FIELDS HEADER.FIELDS.NOT TEXT MIME CHANGEDSINCE UNCHANGEDSINCE CONDSTORE RETURN MIN MAX ALL
    COUNT CHARSET UTF-8 OR NOT SEEN UNSEEN FROM SUBJECT BEFORE SENTSINCE KEYWORD LARGER OLD NEW 1-Jan-2024 1:*
    4294967295 4294967296 9223372036854775807 SUBSCRIBED CHILDREN RECURSIVEMATCH SPECIAL-USE STATUS MESSAGES \Seen
    \Deleted \Recent \Answered $Forwarded UTF8 IMAP4rev2 UTF8=ACCEPT DEFLATE PLAIN LOGIN DONE AGJvYgBzZWNyZXQ=
    &AOk- &- &Jjo""".split(),
    b"\r\n",
    b"\r\na ",
    b" ",
    b"\x00",
    b"\xc3\xa9",
    b"\xff",
    b'"01-Jan-2024 00:00:00 +0000"',
]
# One line of what a server may say; literals are taken out before.
LINE = re.compile(rb"(?:\* |\+ ?|[^ +*(){%\"\\\x00-\x20\x7f-\xff]+ (?:OK|NO|BAD) )[^\r\n]*|\+", re.DOTALL)
LITERAL = re.compile(rb"~?\{([0-9]+)\}\r\n")


class FuzzStore(Store):
    """Finds nothing: what is sought is not what is fuzzed."""

    def search_messages(self, question):
        return []


def one_input(data):
    if not data:
        return None
    state, data = data[0], data[1:]
    store = FuzzStore("Work", "a/b", "é")
    store.inbox.add(MESSAGE)
    store.inbox.add(MIXED)
    client = Client(store, log_in=state % 3 > 0, select=b"INBOX" if state % 3 == 2 else None)
    if state % 3 and (enabled := ENABLED[state // 3 % len(ENABLED)]):
        client.do(b"0 ENABLE " + enabled)
    client.read()
    step = PIECES[state // 15 % len(PIECES)]
    for at in range(0, len(data), step):
        client.send(data[at : at + step])
        kept = len(client.session._lines) + len(client.session._collector.text)
        assert kept <= LINE_LIMIT + LITERALS_LIMIT
    client.send(b"\r\nz NOOP\r\n")
    outcome = outline(client.read())
    if not client.closed:
        client.take(client.session.timed_out())
        assert client.closed
    client.session.lost()
    assert all(body.abandoned for body in client.bodies)
    return outcome


def outline(said):
    """Check the form of what was said; return its words without what is different each time."""
    lines, at = [], 0
    while at < len(said):
        line = b""
        while True:
            end = said.index(b"\r\n", at)
            line += said[at:end]
            literal = LITERAL.search(said, at, end + 2)
            if not literal or literal.end() != end + 2:
                break
            at = end + 2 + int(literal[1])
            assert at <= len(said)
        at = end + 2
        assert LINE.fullmatch(line), line
        lines.append(b" ".join(re.sub(rb"[^A-Z* ]", b"", line).split()[:4]))
    return tuple(lines)


if __name__ == "__main__":
    fuzzing.main(one_input, SEEDS, WORDS)
