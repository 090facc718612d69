"""What comes in goes out again, octet for octet; and what cannot be kept so is refused, not mended."""

import random

import pytest
from running import deliver, without_trace

from wire import Smtp

pytestmark = pytest.mark.flow

HEAD = b"From: friend@example.net\r\nSubject: bytes\r\nMessage-ID: <bytes@example.net>\r\n\r\n"


def lines_of(size, seed=7):
    """About so many octets of lines that are not alike, 8-bit and dots included."""
    maker = random.Random(seed)
    alphabet = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")
    block = b"\r\n".join(bytes(maker.choices(alphabet, k=maker.randrange(0, 120))) for _ in range(1000)) + b"\r\n"
    return (block * (size // len(block) + 1))[: size - 2].rstrip(b"\r") + b"\r\n"


KEPT = {
    "dots": HEAD + b".\r\n..\r\n.x\r\n...\r\n . \r\n\r\n.\r\n",
    "8-bit": HEAD + bytes(octet for octet in range(1, 256) if octet not in b"\r\n") + b"\r\n",
    "UTF-8 in the header": b"Subject: " + "Grüße, 你好".encode() + b"\r\n\r\nx\r\n",
    "broken UTF-8 and latin-1": HEAD + b"\xc3\x28 \xff\xfe caf\xe9\r\n",
    "a line of 5,000 octets": HEAD + b"x" * 5000 + b"\r\ny\r\n",
    "a header line of 5,000 octets": b"X-Long: " + b"h" * 5000 + b"\r\n" + HEAD + b"y\r\n",
    "trailing spaces and tabs": HEAD + b"one \r\ntwo\t\t\r\n   \r\n \r\n",
    "From lines": HEAD + b"From me to you\r\n>From you\r\n\r\nFrom \r\n",
    "no body, no empty line": b"Subject: header only\r\n",
    "an empty body": HEAD,
    "no header": b"\r\nbody\r\n",
    "nothing at all": b"",
    "empty lines at the end": HEAD + b"x\r\n\r\n\r\n\r\n",
    "control characters": HEAD + b"\x01\x07\x08\x0b\x0c\x1a\x1b[2J\x7f\r\n",
    "what looks like the end": HEAD + b"QUIT\r\n.\r\nMAIL FROM:<>\r\n+OK\r\n* BYE\r\n)\r\n{5}\r\n",
    "300 KiB": HEAD + lines_of(300 * 1024),
    "5 MiB": HEAD + lines_of(5 * 1024 * 1024),
}


@pytest.mark.parametrize("name", KEPT)
def test_data_is_kept_octet_for_octet(any_server, person, name):
    sent = KEPT[name]
    reply = deliver(any_server, person, sent)
    assert reply.startswith(b"250 2.0.0"), reply
    (read,) = person.mail()
    assert without_trace(read) == sent
    with person.pop3() as pop3:
        assert pop3.say(b"STAT") == b"+OK 1 %d" % len(read)
        assert pop3.say(b"LIST 1") == b"+OK 1 %d" % len(read)
        assert pop3.retrieve(1) == read
    with person.imap() as imap:
        ((text, literals),) = imap.fine(
            b"UID FETCH 1 (RFC822.SIZE BODY.PEEK[]<10.100> BODY.PEEK[HEADER] BODY.PEEK[TEXT])"
        )
        assert b"RFC822.SIZE %d" % len(read) in text
        assert literals[0] == read[10:110]
        assert b"".join(literals[1:]) == read


@pytest.mark.parametrize("size", [0, 1, 1000, 300 * 1024])
def test_bdat_keeps_a_message_without_final_newline(any_server, person, size):
    sent = HEAD + (b".\r\n" + b"x" * size)
    with Smtp(any_server.ports["smtp"]) as smtp:
        smtp.envelope("friend@example.net", person.address, parameters=b" BODY=8BITMIME")
        half = len(sent) // 2
        assert smtp.chunk(sent[:half], last=False).startswith(b"250")
        assert smtp.chunk(sent[half:]).startswith(b"250 2.0.0 Ok: queued as")
    (read,) = person.mail()
    assert without_trace(read) == sent


def test_append_keeps_what_it_is_given(any_server, person):
    for content in (KEPT["dots"], KEPT["8-bit"], HEAD + b"no end", KEPT["300 KiB"]):
        with person.imap() as imap:
            assert imap.append(b"INBOX", content).startswith(b"OK [APPENDUID ")
            assert list(imap.bodies().values())[-1] == content


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (HEAD + b"a\0b\r\n", b"550 5.6.0"),
        (b"Subject: a\0b\r\n\r\n", b"550 5.6.0"),
        (HEAD + b"bare\nLF\r\n", b"550 5.6.11"),
        (HEAD + b"bare\rCR\r\n", b"550 5.6.11"),
        (HEAD + b"x\n.\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<x@example.test>\r\n", b"550 5.6.11"),
        (HEAD + b"x\r\n.\nMAIL FROM:<evil@example.net>\r\n", b"550 5.6.11"),
        (HEAD + b"x\n.\r\nMAIL FROM:<evil@example.net>\r\n", b"550 5.6.11"),
        (HEAD + b"x\r.\rMAIL FROM:<evil@example.net>\r\n", b"550 5.6.11"),
    ],
    ids=["NUL", "NUL in the header", "bare LF", "bare CR", "LF.LF", "CRLF.LF", "LF.CRLF", "CR.CR"],
)
def test_what_could_not_be_kept_is_refused_and_nothing_is_smuggled(server, person, content, reply):
    with Smtp(server.ports["smtp"]) as smtp:
        smtp.envelope("friend@example.net", person.address)
        smtp.say(b"DATA")
        smtp.send(content + b".\r\n")
        assert smtp.reply().startswith(reply)
        # One reply for one message, and the conversation goes on.
        assert smtp.say(b"NOOP").startswith(b"250")
        smtp.envelope("friend@example.net", person.address)
        assert smtp.chunk(content).startswith(reply)
        assert smtp.say(b"NOOP").startswith(b"250")
    assert person.mail() == []
