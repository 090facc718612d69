"""A session with a stranger: each mistake is counted before it is answered, and the place is given back at the end."""

import dataclasses

import pytest
from smtp_talk import MX, NO_SPACE, STRANGER, SUBMISSION, Talk, answer_kindly, talk

from mailcore.dialogue import Ask, UnavailableError
from mailcore.message.envelope import Reply
from mailcore.smtp.questions import BeginSession, CheckSender, CountError, EndSession

ENVELOPE = b"EHLO c.example\r\nMAIL FROM:<a@example.net>\r\n"
DIALOGUES = [
    b"EHLO c.example\r\nNONSENSE\r\nNOOP\r\n",
    b"RCPT TO:<a@example.com>\r\nMAIL FROM:<a@example.net>\r\nQUIT\r\n",
    ENVELOPE + b"RCPT TO:<no@example.com>\r\nRCPT TO:<bob@example.com>\r\nRCPT TO:<nope@example.com>\r\nRCPT TO:x\r\n",
    ENVELOPE + b"RCPT TO:<bob@example.com>\r\nDATA\r\na\rb\r\n.\r\nNOOP\r\n",
    ENVELOPE + b"RCPT TO:<bob@example.com>\r\nBDAT 2\r\n\rxBDAT 1 LAST\r\nyNOOP\r\n",
    ENVELOPE + b"BDAT 3 LAST\r\nabcNOOP\r\n",
    ENVELOPE + b"BDAT x\r\nNOOP\r\n",
    b"X" * 5000 + b"\r\nNOOP\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n",
    b"NONSENSE\r\n" * 30,
    ENVELOPE + b"RCPT TO:<no@example.com>\r\n" * 30 + b"NOOP\r\n",
    b"EHLO c.example\r\nSTARTTLS\r\n",
]


@pytest.mark.parametrize("dialogue", DIALOGUES)
def test_a_stranger_hears_the_same_as_anybody_else(dialogue):
    assert talk(dialogue, policy=STRANGER).said == talk(dialogue, policy=MX).said


@pytest.mark.parametrize("dialogue", DIALOGUES[:7])
@pytest.mark.parametrize("step", [1, 7])
def test_a_cut_anywhere_in_the_stream_changes_nothing(dialogue, step):
    pieces = [dialogue[at : at + step] for at in range(0, len(dialogue), step)]
    assert talk(*pieces, policy=STRANGER).said == talk(dialogue, policy=STRANGER).said


@pytest.mark.parametrize(
    ("dialogue", "numbers"),
    [
        (b"EHLO c.example\r\nNOOP\r\nRSET\r\nVRFY x\r\n", []),
        (DIALOGUES[0], [1]),
        (DIALOGUES[1], [1, 2]),
        (DIALOGUES[2], [1, 2, 3]),
        (DIALOGUES[3], [1]),
        (DIALOGUES[7], [1]),
        (b"NONSENSE\r\n" * 30, list(range(1, 21))),
    ],
)
def test_each_mistake_is_counted_before_it_is_answered(dialogue, numbers):
    told = []

    def answers(question):
        if isinstance(question, CountError):
            told.append((question.number, conversation[0].said.count(b"\r\n5") if conversation else 0))
            assert question.client.peer.address == "192.0.2.1"
        return answer_kindly(question)

    conversation = []
    one = Talk(STRANGER, answers=answers)
    conversation.append(one)
    one.feed(dialogue)
    assert told == [(number, number - 1) for number in numbers]


def test_nobody_else_is_asked_about():
    assert [type(one) for one in talk(b"NONSENSE\r\n").asked] == [BeginSession]
    assert talk(b"NONSENSE\r\n").session.lost() == []


def test_another_reply_may_take_the_place_of_the_error_and_421_closes():
    enough = Reply(421, "4.7.0", "Enough")

    def answers(question):
        return enough if isinstance(question, CountError) and question.number == 3 else answer_kindly(question)

    for dialogue in (b"NONSENSE\r\n" * 9, ENVELOPE + b"RCPT TO:<no@example.com>\r\n" * 9):
        one = talk(dialogue, policy=STRANGER, answers=answers)
        assert one.said.endswith(b"421 4.7.0 Enough\r\n<CLOSE>")
        assert one.said.count(b"\r\n5") == 2


def test_a_mistake_that_cannot_be_counted_is_answered_all_the_same():
    def answers(question):
        return UnavailableError("x") if isinstance(question, CountError) else answer_kindly(question)

    one = talk(ENVELOPE, b"NONSENSE\r\nRCPT TO:<no@example.com>\r\nNOOP\r\n", policy=STRANGER, answers=answers)
    assert [line[:3] for line in one.replies[-3:]] == [b"500", b"550", b"250"]


def test_temporary_refusals_are_no_mistakes():
    def answers(question):
        return NO_SPACE if isinstance(question, CheckSender) else answer_kindly(question)

    one = talk(ENVELOPE, policy=STRANGER, answers=answers)
    assert one.last.startswith(b"452")
    assert not any(isinstance(question, CountError) for question in one.asked)


@pytest.mark.parametrize("pieces", [(), (b"EHLO c.example\r\n",), (b"EHLO c.example\r\nSTARTTLS\r\n",), (b"QUIT\r\n",)])
def test_a_stranger_who_has_gone_gives_the_place_back(pieces):
    one = talk(*pieces, policy=STRANGER)
    (action,) = one.session.lost()
    assert isinstance(action, Ask)
    assert isinstance(action.question, EndSession)
    assert action.question.client.peer == one.asked[0].client.peer
    assert action.question.client.stranger


def test_a_stranger_is_one_inside_tls_too():
    one = talk(b"EHLO c.example\r\nSTARTTLS\r\n", ENVELOPE, policy=STRANGER)
    (asked,) = [question for question in one.asked if isinstance(question, CheckSender)]
    assert asked.envelope.client.stranger
    assert not dataclasses.replace(STRANGER, stranger=False).stranger


@pytest.mark.parametrize(
    ("name", "refuses", "code"),
    [
        (b"mx.example.com", True, b"550 5.7.1"),
        (b"MX.Example.Com.", True, b"550 5.7.1"),
        (b"mx.example.com", False, b"250"),
        (b"example.com", True, b"250"),
        (b"mx.example.com.example.net", True, b"250"),
        (b"[192.0.2.1]", True, b"250"),
    ],
)
@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
def test_nobody_elsewhere_is_this_server(verb, name, refuses, code):
    policy = dataclasses.replace(STRANGER, refuse_own_name=refuses)
    one = talk(verb + b" " + name + b"\r\n", policy=policy)
    assert one.replies[-1].startswith(code)
    said = one.feed(b"MAIL FROM:<a@example.net>\r\n").last
    assert said.startswith(b"250" if code == b"250" else b"503")
    assert one.feed(b"EHLO honest.example\r\nMAIL FROM:<a@example.net>\r\n").last.startswith(b"250 2.1.0")


TIMED = dataclasses.replace(STRANGER, begin_within=300.0, message_within=1800.0)
MESSAGE = b"RCPT TO:<bob@example.com>\r\nDATA\r\nx\r\n.\r\n"


@pytest.mark.parametrize(
    ("dialogue", "stage"),
    [
        (b"", (0, 300)),
        (b"EHLO c.example\r\n" + b"NOOP\r\nRSET\r\nVRFY x\r\nNONSENSE\r\n" * 4, (0, 300)),
        (b"EHLO c.example\r\nSTARTTLS\r\n", (0, 300)),
        (b"EHLO c.example\r\nMAIL FROM:<\r\n", (0, 300)),
        (ENVELOPE, (1, 1800)),
        (ENVELOPE + b"RSET\r\nMAIL FROM:<b@example.net>\r\nNOOP\r\n", (1, 1800)),
        (ENVELOPE + b"RCPT TO:<bob@example.com>\r\n" + b"BDAT 1\r\nx" * 50, (1, 1800)),
        (ENVELOPE + MESSAGE, (2, 1800)),
        (ENVELOPE + MESSAGE + ENVELOPE + MESSAGE + ENVELOPE, (3, 1800)),
    ],
)
def test_there_is_a_time_until_the_first_message_and_then_for_each(dialogue, stage):
    assert talk(dialogue, policy=TIMED).session.stage == stage


def test_who_logs_in_has_begun():
    policy = dataclasses.replace(SUBMISSION, begin_within=300.0, plaintext_auth_ok=True)
    assert talk(b"EHLO c.example\r\nAUTH PLAIN AGEAeA==\r\n", policy=policy).session.stage == (0, 300)
    one = talk(b"EHLO c.example\r\nAUTH PLAIN AGEAc2VjcmV0\r\n", policy=policy)
    assert one.last.startswith(b"235")
    assert one.session.stage == (1, float("inf"))
