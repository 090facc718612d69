"""Fuzz a whole POP3 session: ``python tests/fuzz/pop3.py --seconds 600``.

The first octet of an input says whether somebody is logged in and how the octets are cut; the rest is what is sent.
"""

import fuzzing

with fuzzing.instrumented():
    from test_pop3_session import CLEAR, LOGIN, SECURE, Talk

    from mailcore.pop3.session import Policy

PIECES = (1, 7, 100, 10**6)
LINES_LIMIT = 64 * 1024

SEEDS = [
    b"\x00CAPA\r\nSTLS\r\nUSER bob@example.com\r\nPASS secret\r\nSTAT\r\nQUIT\r\n",
    b"\x00AUTH PLAIN AGJvYkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\nUIDL\r\nLIST\r\nQUIT\r\n",
    b"\x02AUTH LOGIN\r\nYm9i\r\nc2VjcmV0\r\nNOOP\r\n",
    b"\x01STAT\r\nLIST 1\r\nUIDL 2\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nDELE 3\r\nQUIT\r\n",
]
WORDS = [
    *b"USER PASS AUTH PLAIN LOGIN CAPA STLS STAT LIST UIDL RETR TOP DELE RSET NOOP QUIT UTF8 LANG APOP GET".split(),
    *b"* = 0 1 2 3 4".split(),
    b"-1",
    b"99999999999999999999",
    b"\r\n",
    b"\n",
    b" ",
    b"\x00",
    b"\xff",
    b"AGJvYkBleGFtcGxlLmNvbQBzZWNyZXQ=",
]


def one_input(data):
    if not data:
        return None
    state, data = data[0], data[1:]
    policy = Policy(tls_available=True, plaintext_auth_ok=bool(state & 4))
    talk = Talk(policy=policy, peer=CLEAR if state & 2 else SECURE)
    if state & 1:
        talk.feed(LOGIN)
    step = PIECES[state // 8 % len(PIECES)]
    for at in range(0, len(data), step):
        if talk.closed:
            break
        talk.feed(data[at : at + step])
        assert len(talk.session._lines) <= LINES_LIMIT
    if not talk.closed:
        talk.feed(b"\r\nNOOP\r\n")
    said = talk.said.replace(b"<TLS>", b"").removesuffix(b"<CLOSE>")
    assert not said or said.endswith(b"\r\n")
    talk.session.lost()
    return tuple(line[:12] for line in said.splitlines() if line[:1] in {b"+", b"-"})


if __name__ == "__main__":
    fuzzing.main(one_input, SEEDS, WORDS)
