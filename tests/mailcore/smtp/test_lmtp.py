"""LMTP (RFC 2033): what it has of SMTP, and what it has not."""

import pytest
from smtp_talk import QUEUED, Talk, answer_kindly, talk

from mailcore.dialogue import UnavailableError
from mailcore.message.envelope import Reply
from mailcore.smtp.questions import AcceptForEach, AcceptMessage
from mailcore.smtp.session import Policy

LMTP = Policy(hostname="mx.example.com", lmtp=True, tls_available=True, message_limit=1000, error_limit=8)
HELLO = b"LHLO c.example\r\n"
READY = HELLO + b"MAIL FROM:<a@example.org>\r\nRCPT TO:<ann@example.com>\r\nRCPT TO:<no@example.com>\r\n"
TWO = READY + b"RCPT TO:<bob@example.com>\r\nDATA\r\n"
FULL = Reply(452, "4.2.2", "Mailbox is full")


def lmtp(*pieces, **options):
    return talk(*pieces, policy=LMTP, **options)


def test_it_says_what_it_is_and_what_it_has():
    said = lmtp(HELLO).said
    assert said.startswith(b"220 mx.example.com LMTP ")
    offered = said.split(b"\r\n", 1)[1]
    assert b"250-PIPELINING\r\n" in offered
    assert b"ENHANCEDSTATUSCODES" in offered
    assert b"STARTTLS" in offered
    assert b"CHUNKING" not in offered
    assert b"AUTH" not in offered


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"EHLO c.example", b"500 5.5.1"),
        (b"HELO c.example", b"500 5.5.1"),
        (b"LHLO", b"501 5.5.4"),
        (b"MAIL FROM:<a@example.org>", b"503 5.5.1 Say LHLO first"),
    ],
)
def test_only_lhlo_begins_it(line, answer):
    assert lmtp(line + b"\r\n").last.startswith(answer)


def test_smtp_does_not_know_lhlo():
    assert talk(HELLO).last.startswith(b"500 5.5.1")


@pytest.mark.parametrize("cut", range(0, len(TWO) + 20, 7))
def test_each_recipient_that_was_taken_gets_a_reply_of_its_own(cut):
    stream = TWO + b"Subject: x\r\n\r\n.\r\nNOOP\r\n"
    conversation = Talk(policy=LMTP, answers=by_name).feed(stream[:cut], stream[cut:])
    assert conversation.replies[-4:] == [
        b"354 End data with <CR><LF>.<CR><LF>",
        b"250 2.0.0 Ok: queued",
        b"452 4.2.2 Mailbox is full",
        b"250 2.0.0 Ok",
    ]
    (question,) = [asked for asked in conversation.asked if isinstance(asked, AcceptMessage)]
    assert question.envelope.with_protocol == "LMTP"


def by_name(question):
    if isinstance(question, AcceptForEach):
        return [FULL if one.address.startswith("bob") else QUEUED for one in question.envelope.recipients]
    return answer_kindly(question)


@pytest.mark.parametrize(
    ("content", "answer"),
    [(b"x" * 2000 + b"\r\n", b"552 5.3.4"), (b"a\nb\r\n", b"550 5.6.11")],
)
def test_a_message_that_is_refused_is_refused_for_each(content, answer):
    conversation = lmtp(TWO + content + b".\r\n")
    assert [reply[: len(answer)] for reply in conversation.replies[-2:]] == [answer] * 2
    assert not conversation.messages


def test_temporary_trouble_is_told_to_each():
    def answers(question):
        return UnavailableError("locked") if isinstance(question, AcceptForEach) else answer_kindly(question)

    conversation = lmtp(TWO + b"x\r\n.\r\nNOOP\r\n", answers=answers)
    assert [reply[:9] for reply in conversation.replies[-3:]] == [b"451 4.3.0", b"451 4.3.0", b"250 2.0.0"]


def test_without_a_recipient_there_is_no_data():
    # RFC 2033 section 4.2
    assert lmtp(HELLO + b"MAIL FROM:<a@example.org>\r\nRCPT TO:<no@example.com>\r\nDATA\r\n").last[:3] == b"503"


def test_a_chunk_ends_the_connection_because_nobody_could_tell_its_replies():
    conversation = lmtp(READY + b"BDAT 5 LAST\r\nhello")
    assert conversation.said.endswith(b"502 5.5.1 Not available here\r\n<CLOSE>")


@pytest.mark.parametrize(("mail", "name"), [(b"", "LMTPS"), (b" SMTPUTF8", "UTF8LMTPS")])
def test_the_trace_says_how_it_came(mail, name):
    conversation = lmtp(HELLO + b"STARTTLS\r\n", TWO.replace(b"e.org>", b"e.org>" + mail) + b"\r\n.\r\n")
    assert conversation.messages[0][0].with_protocol == name
