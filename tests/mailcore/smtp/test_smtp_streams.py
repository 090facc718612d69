"""Whatever the cuts and whatever comes: the same answers, no exception, no message that was not ended properly."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_talk import MX, SUBMISSION, TLS, MemoryBody, Talk, answer_kindly

from mailcore.dialogue import Peer, Question
from mailcore.message.envelope import BodySink, Reply
from mailcore.smtp.questions import AcceptMessage, CheckRecipients

DIALOGUE = (
    b"EHLO c.example\r\nMAIL FROM:<alice@example.org> SIZE=9\r\n"
    b"RCPT TO:<bob@example.com>\r\nRCPT TO:<no@example.com>\r\nRCPT TO:<ann@example.com> NOTIFY=NEVER\r\n"
    b"DATA\r\nSubject: x\r\n\r\n..dot\r\n.x\r\n\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\na\nb\n.\nMAIL\r.\r\r\n.\r\n"
    b"FOO\r\nNOOP " + b"x" * 4100 + b"\r\nGR\xc3\xbcN\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.com>\r\n"
    b"BDAT 7\r\n\r\n.\r\nabBDAT 1\r\n\rBDAT 3 LAST\r\n\n.\rRSET\r\n"
    b"MAIL FROM:<a@example.org>\r\nRCPT TO:<bob@example.com>\r\nBDAT 4\r\na\r\nbBDAT 2 LAST\r\n\r\nQUIT\r\nNOOP\r\n"
)
LOGIN = (
    b"EHLO c.example\r\nAUTH PLAIN\r\n*\r\nAUTH LOGIN\r\nYm9i\r\nd3Jvbmc=\r\nAUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"
    b"MAIL FROM:<bob@example.com>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\n\r\n.\r\nQUIT\r\n"
)
INJECTED = b"EHLO c.example\r\nSTARTTLS\r\nEHLO injected\r\nMAIL FROM:<evil@example.org>\r\n"


def transcript(conversation: Talk) -> tuple[object, ...]:
    """What must not depend on the cuts: recipients may be asked about in one question or in several."""
    asked: list[Question | object] = []
    for question in conversation.asked:
        match question:
            case CheckRecipients(recipients=recipients):
                asked.extend(recipients)
            case AcceptMessage(envelope=envelope):
                asked.append(envelope)
            case _:
                asked.append(question)
    return conversation.said, asked, conversation.messages, [body.abandoned for body in conversation.bodies]


def run(policy, peer, *pieces: bytes) -> Talk:
    conversation = Talk(policy, peer, handshake=False)
    for piece in pieces:
        conversation.feed(piece)
    return conversation


CLEAR = Peer("192.0.2.1", 4000)
SECURE = Peer("192.0.2.1", 4000, TLS)
SHORT = replace(MX, message_limit=10_000)
SCENES = [(SHORT, CLEAR, DIALOGUE), (SUBMISSION, SECURE, LOGIN), (MX, CLEAR, INJECTED)]


@pytest.mark.parametrize(("policy", "peer", "stream"), SCENES)
def test_a_cut_anywhere_in_the_stream_changes_nothing(policy, peer, stream):
    whole = transcript(run(policy, peer, stream))
    for cut in range(1, len(stream)):
        assert transcript(run(policy, peer, stream[:cut], stream[cut:])) == whole, f"cut at {cut}"


@pytest.mark.parametrize(("policy", "peer", "stream"), SCENES)
def test_octet_by_octet_is_as_good(policy, peer, stream):
    octets = [stream[at : at + 1] for at in range(len(stream))]
    assert transcript(run(policy, peer, *octets)) == transcript(run(policy, peer, stream))


def test_the_dialogue_above_does_what_it_is_meant_to():
    conversation = run(SHORT, CLEAR, DIALOGUE)
    assert [body for _, body in conversation.messages] == [b"Subject: x\r\n\r\n.dot\r\nx\r\n\r\n", b"a\r\nb\r\n"]
    assert conversation.closed


WORDS = st.sampled_from(
    [
        *(b"EHLO c.example\r\n", b"HELO c\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.com>\r\n"),
        *(b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"BDAT 5\r\n", b"BDAT 5 LAST\r\n", b"BDAT 0 LAST\r\n", b"RSET\r\n"),
        *(b"NOOP\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN Ym9i\r\n"),
        *(
            b"AGJvYgBzZWNyZXQ=\r\n",
            b"*\r\n",
            b"\r",
            b"\n",
            b".",
            b"\0",
            b"\xff",
            b" ",
            b"x" * 5000,
            b"hello",
            b"RCPT TO:<no@example.com>\r\n",
        ),
    ]
)
STREAMS = st.lists(WORDS | st.binary(max_size=8), max_size=30)


@settings(max_examples=300)
@given(STREAMS, st.booleans())
def test_whatever_comes_nothing_is_raised_and_the_cuts_do_not_matter(pieces, submission):
    policy, peer = (SUBMISSION, SECURE) if submission else (SHORT, CLEAR)
    in_pieces = run(policy, peer, *pieces)
    assert transcript(in_pieces) == transcript(run(policy, peer, b"".join(pieces)))
    in_pieces.session.timed_out()
    in_pieces.session.lost()
    handed_over = len(in_pieces.messages)
    assert sum(not body.abandoned for body in in_pieces.bodies) == handed_over


@settings(max_examples=200)
@given(STREAMS)
def test_a_message_is_never_acknowledged_unless_it_was_accepted(pieces):
    numbers = iter(range(10_000))

    def accept(question):
        if isinstance(question, AcceptMessage):
            return Reply(250, "2.0.0", f"queued as {next(numbers)}")
        return answer_kindly(question)

    conversation = Talk(SHORT, CLEAR, accept).feed(b"".join([b"EHLO c.example\r\n", *pieces]))
    acknowledged = re.findall(rb"queued as \d+", conversation.said)
    assert len(acknowledged) == len(conversation.messages)
    # After 354 there is nothing but a refusal, a goodbye or an acknowledgement: never a bare Ok.
    for answer in re.findall(rb"354 [^\r]*\r\n(\d\d\d [^\r]*)", conversation.said):
        assert answer.startswith(b"250 2.0.0 queued as ") or answer[:1] in b"45"


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"x", b"\0", b".\r\n"]), max_size=30).map(b"".join))
def test_what_is_accepted_is_exactly_what_stands_before_the_first_true_end(wire):
    end = (b"\r\n" + wire + b"\r\n.\r\n").find(b"\r\n.\r\n")
    expected = (b"\r\n" + wire + b"\r\n")[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
    before = b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
    conversation = run(MX, CLEAR, before + wire + b"\r\n.\r\n")
    clean = re.fullmatch(rb"(?:[^\r\n\0]|\r\n)*", expected) is not None
    assert [body for _, body in conversation.messages[:1]] == ([expected] if clean else [])


def test_the_memory_sink_is_a_sink():
    sink: BodySink = MemoryBody()
    sink.write(b"x")
    assert sink.size == 1
