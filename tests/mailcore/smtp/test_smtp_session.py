"""What an SMTP session says, asks and refuses."""

import base64
from dataclasses import replace

import pytest
from smtp_talk import MX, SUBMISSION, TLS, MemoryBody, Talk, answer_kindly, talk

from mailcore.dialogue import Ask, Close, Login, Peer, Send, StartTls
from mailcore.message.envelope import Recipient, Reply
from mailcore.sasl.questions import LoginRefusal, VerifyPassword
from mailcore.smtp.questions import AcceptMessage, BeginSession, CheckRecipients, CheckSender
from mailcore.smtp.session import SmtpSession

HELLO = b"EHLO c.example\r\n"
BEGIN = HELLO + b"MAIL FROM:<alice@example.org>\r\n"
READY = BEGIN + b"RCPT TO:<bob@example.com>\r\n"
MESSAGE = READY + b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
SECURE = Peer("192.0.2.1", 4000, TLS)
PLAIN = b"AUTH PLAIN " + base64.b64encode(b"\0bob@example.com\0secret") + b"\r\n"


def plain(identity: bytes, login: bytes, password: bytes) -> bytes:
    return b"AUTH PLAIN " + base64.b64encode(b"\0".join([identity, login, password])) + b"\r\n"


# Refusals: what was said before, the command, how the answer begins.
REFUSED = [
    # order
    (b"", b"MAIL FROM:<a@example.org>", b"503 5.5.1"),
    (b"", b"RCPT TO:<a@example.org>", b"503 5.5.1"),
    (b"", b"DATA", b"503 5.5.1"),
    (b"", b"STARTTLS", b"503 5.5.1"),
    (HELLO, b"RCPT TO:<bob@example.com>", b"503 5.5.1"),
    (HELLO, b"DATA", b"503 5.5.1"),
    (BEGIN, b"DATA", b"503 5.5.1"),
    (BEGIN, b"MAIL FROM:<a@example.org>", b"503 5.5.1"),
    (READY, b"MAIL FROM:<a@example.org>", b"503 5.5.1"),
    (READY, b"STARTTLS", b"503 5.5.1"),
    (BEGIN + b"RCPT TO:<nobody@example.com>\r\n", b"DATA", b"503 5.5.1"),
    # arguments
    (b"", b"EHLO", b"501 5.5.4"),
    (b"", b"HELO a b", b"501 5.5.4"),
    (b"", b"EHLO \xc3\xbc.example", b"501 5.5.4"),
    (HELLO, b"MAIL", b"501 5.1.7"),
    (HELLO, b"MAIL FROM:alice@example.org", b"501 5.1.7"),
    (HELLO, b"MAIL TO:<alice@example.org>", b"501 5.1.7"),
    (HELLO, b"MAIL FROM:<alice@example.org", b"501 5.1.7"),
    (HELLO, b"MAIL FROM:<alice>", b"501 5.1.7"),
    (HELLO, b"MAIL FROM:<alice@example.org>x", b"501 5.1.7"),
    (HELLO, b"MAIL FROM:<a@example.org> BODY=BINARYMIME", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SIZE=x", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SIZE=-1", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SIZE", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SIZE=1 SIZE=2", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SIZE=" + b"9" * 21, b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SIZE=99999999999", b"552 5.3.4"),
    (HELLO, b"MAIL FROM:<a@example.org> RET=SOME", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> ENVID=a+0D+0Ab", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> ENVID=+0", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> ENVID=" + b"x" * 101, b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> SMTPUTF8=yes", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> X=", b"501 5.5.4"),
    (HELLO, b"MAIL FROM:<a@example.org> FOO=bar", b"555 5.5.4"),
    (HELLO, b"MAIL FROM:<\xc3\xbc@example.org>", b"553 5.6.7"),
    (BEGIN, b"RCPT TO:<>", b"501 5.1.3"),
    (BEGIN, b"RCPT TO:<\xc3\xbc@example.com>", b"553 5.6.7"),
    (BEGIN, b"RCPT TO:<bob@example.com> FOO=bar", b"555 5.5.4"),
    (BEGIN, b"RCPT TO:<bob@example.com> NOTIFY=NEVER,SUCCESS", b"501 5.5.4"),
    (BEGIN, b"RCPT TO:<bob@example.com> NOTIFY=", b"501 5.5.4"),
    (BEGIN, b"RCPT TO:<bob@example.com> NOTIFY=ALWAYS", b"501 5.5.4"),
    (BEGIN, b"RCPT TO:<bob@example.com> ORCPT=bob@example.com", b"501 5.5.4"),
    (BEGIN, b"RCPT TO:<bob@example.com> ORCPT=rfc822;a+0Ab", b"501 5.5.4"),
    (BEGIN, b"RCPT TO:<bob@example.com> ORCPT=rfc822;" + b"a" * 500, b"501 5.5.4"),
    (BEGIN, b"RCPT TO:<nobody@example.com>", b"550 5.1.1"),
    (READY, b"DATA now", b"501 5.5.4"),
    (HELLO, b"RSET now", b"501 5.5.4"),
    (HELLO, b"STARTTLS now", b"501 5.5.4"),
    (HELLO, b"VRFY", b"501 5.5.4"),
    # octets that have no place in a command
    (HELLO, b"MAIL FROM:<a\0@example.org>", b"500 5.5.2"),
    (HELLO, b"MAIL FROM:<a@example.org>\nRCPT TO:<bob@example.com>", b"500 5.5.2"),
    (HELLO, b"MAIL FROM:<a@example.org>\rRCPT TO:<bob@example.com>", b"500 5.5.2"),
    (HELLO, b"MAIL FROM:<\xff@example.org> SMTPUTF8", b"500 5.5.2"),
    (HELLO, b"MAIL FROM:<a\xc2\x85@example.org> SMTPUTF8", b"500 5.5.2"),
    (HELLO, b"NOOP\tx", b"500 5.5.1"),
    # what we do not do
    (HELLO, b"", b"500 5.5.1"),
    (HELLO, b"ETRN example.com", b"500 5.5.1"),
    (HELLO, b"TURN", b"500 5.5.1"),
    (HELLO, b"EXPN staff", b"502 5.5.1"),
    (HELLO, b"AUTH PLAIN", b"502 5.5.1"),
    (HELLO, b"NOOP " + b"x" * 4090, b"500 5.5.2"),
]


@pytest.mark.parametrize(("before", "command", "answer"), REFUSED)
def test_a_wrong_command_is_refused(before, command, answer):
    asked = talk(before).asked
    conversation = talk(before + command + b"\r\n")
    assert conversation.last.startswith(answer)
    assert conversation.asked[: len(asked)] == asked
    assert not any(isinstance(question, AcceptMessage | CheckSender) for question in conversation.asked[len(asked) :])
    assert not conversation.closed


def test_a_command_of_4096_octets_is_taken():
    assert talk(HELLO + b"NOOP " + b"x" * 4089 + b"\r\n").last.startswith(b"250")


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /x HTTP/1.1", b"Host: mx.example.com", b"get /"])
def test_http_is_cut_off_at_once(line):
    conversation = talk(HELLO + line + b"\r\nMAIL FROM:<a@example.org>\r\n")
    assert conversation.said.endswith(b"554 5.5.1 This is a mail server\r\n<CLOSE>")
    assert [type(question) for question in conversation.asked] == [BeginSession]


def test_too_many_errors_close_the_connection():
    conversation = talk(HELLO + b"FOO\r\n" * 30)
    assert conversation.replies.count(b"500 5.5.1 Unknown command") == MX.error_limit
    assert conversation.said.endswith(b"421 4.7.0 Too many errors\r\n<CLOSE>")


def test_unknown_recipients_count_as_errors_even_when_pipelined():
    conversation = talk(BEGIN + b"RCPT TO:<no@example.com>\r\n" * 50)
    assert sum(line.startswith(b"550 ") for line in conversation.replies) == MX.error_limit
    assert conversation.said.endswith(b"421 4.7.0 Too many errors\r\n<CLOSE>")


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n", b"VRFY bob\r\n", b"HELP\r\n", HELLO])
def test_too_many_commands_that_bring_no_mail_close_the_connection(command):
    conversation = talk(HELLO + command * 200)
    assert conversation.said.endswith(b"421 4.7.0 Too many commands that bring no mail\r\n<CLOSE>")


def test_an_accepted_message_sets_the_counts_back():
    part = b"RSET\r\n" * 60 + MESSAGE.removeprefix(HELLO)
    conversation = talk(HELLO, part, part, part)
    assert len(conversation.messages) == 3
    assert not conversation.closed


def test_endless_refused_senders_are_cut_off():
    conversation = talk(
        HELLO + b"MAIL FROM:<a@example.org>\r\n" * 200,
        answers=lambda question: None if isinstance(question, BeginSession) else Reply(450, "4.7.1", "Greylisted"),
    )
    assert len(conversation.asked) <= MX.idle_limit + 1
    assert conversation.closed


def test_recipients_over_the_limit_are_told_to_come_later_and_the_others_stand():
    policy = replace(MX, recipient_limit=3)
    recipients = b"".join(b"RCPT TO:<bob%d@example.com>\r\n" % number for number in range(5))
    conversation = talk(BEGIN + recipients + b"DATA\r\nx\r\n.\r\n", policy=policy)
    assert [line[:9] for line in conversation.replies[2:]] == [
        *[b"250 2.1.5"] * 3,
        *[b"452 4.5.3"] * 2,
        b"354 End d",
        b"250 2.0.0",
    ]
    assert [one.address for one in conversation.messages[0][0].recipients] == [f"bob{n}@example.com" for n in range(3)]


def test_a_message_reaches_acceptance_byte_for_byte():
    body = b"From \xff\xfe: x\r\n\r\n..\r\n.dot\r\n \t \r\n" + b"y" * 100_000 + b"\r\n"
    wire = b"From \xff\xfe: x\r\n\r\n...\r\n..dot\r\n \t \r\n" + b"y" * 100_000 + b"\r\n.\r\n"
    conversation = talk(READY + b"DATA\r\n", wire)
    assert conversation.last == b"250 2.0.0 Ok: queued"
    (envelope, kept), *others = conversation.messages
    assert kept == body
    assert others == []
    assert envelope.size == len(body)
    assert envelope.sender == "alice@example.org"
    assert envelope.recipients == (Recipient("bob@example.com"),)
    assert envelope.client is not None
    assert (envelope.client.helo, envelope.with_protocol) == ("c.example", "ESMTP")


def test_extension_parameters_are_kept_decoded():
    conversation = talk(
        HELLO + b"MAIL FROM:<\xc3\xbc@example.org> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>\r\n"
        b"RCPT TO:<bob@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bob@example.com\r\n"
        b"RCPT TO:<ann@example.com> notify=never orcpt=utf-8;\xc3\xbc@example.com\r\nDATA\r\n\r\n.\r\n"
    )
    sender_question = conversation.asked[1]
    assert isinstance(sender_question, CheckSender)
    assert sender_question.envelope.size == 100
    envelope = conversation.messages[0][0]
    assert (envelope.sender, envelope.body_type, envelope.smtputf8) == ("ü@example.org", "8BITMIME", True)
    assert (envelope.ret, envelope.envid) == ("HDRS", "a+b")
    assert envelope.with_protocol == "UTF8SMTP"
    assert envelope.recipients == (
        Recipient("bob@example.com", frozenset({"SUCCESS", "DELAY"}), "rfc822;b+ob@example.com"),
        Recipient("ann@example.com", frozenset({"NEVER"}), "utf-8;ü@example.com"),
    )


def test_null_sender_and_bare_postmaster_are_taken():
    conversation = talk(HELLO + b"MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\nx\r\n.\r\n")
    envelope = conversation.messages[0][0]
    assert (envelope.sender, envelope.recipients[0].address) == ("", "postmaster")


def test_helo_gives_plain_smtp():
    conversation = talk(b"HELO c.example\r\n" + MESSAGE.removeprefix(HELLO))
    assert conversation.said.split(b"\r\n")[1] == b"250 mx.example.com"
    assert conversation.messages[0][0].with_protocol == "SMTP"


def test_pipelined_commands_are_answered_in_one_packet_and_recipients_asked_for_once():
    recipients = b"".join(b"RCPT TO:<bob%d@example.com>\r\n" % number for number in range(50))
    conversation = talk(HELLO)
    before = len(conversation.sends)
    conversation.feed(BEGIN.removeprefix(HELLO) + recipients + b"DATA\r\n")
    assert len(conversation.sends) == before + 1
    assert conversation.sends[-1].count(b"\r\n") == 52
    assert [type(question) for question in conversation.asked] == [BeginSession, CheckSender, CheckRecipients]
    conversation.feed(b"x\r\n.\r\n")
    assert len(conversation.messages[0][0].recipients) == 50


def test_answers_to_a_batch_of_recipients_come_in_their_order():
    conversation = talk(
        BEGIN + b"RCPT TO:<a@example.com>\r\nRCPT TO:<no@example.com>\r\nRCPT TO:bad\r\nRCPT TO:<b@example.com>\r\n"
    )
    assert [line[:9] for line in conversation.replies[2:]] == [b"250 2.1.5", b"550 5.1.1", b"501 5.1.3", b"250 2.1.5"]


def test_many_pipelined_messages_do_not_recurse():
    assert len(talk(HELLO, MESSAGE.removeprefix(HELLO) * 2000).messages) == 2000


def test_rset_and_ehlo_forget_the_transaction():
    for command in (b"RSET\r\n", HELLO, b"HELO c.example\r\n"):
        conversation = talk(READY + command + b"DATA\r\n")
        assert conversation.last.startswith(b"503")


def test_a_refused_sender_begins_no_transaction():
    refusal = Reply(553, "5.1.8", "Domain does not exist")
    conversation = talk(READY, answers=lambda question: refusal if isinstance(question, CheckSender) else None)
    assert [line[:9] for line in conversation.replies[1:]] == [b"553 5.1.8", b"503 5.5.1"]


def test_an_unwelcome_client_hears_why_and_is_disconnected():
    conversation = talk(HELLO, answers=lambda question: Reply(554, "5.7.1", "Blocked"))
    assert conversation.said == b"554 5.7.1 Blocked\r\n<CLOSE>"


# What the server cannot answer


def broken_at(kind: type, answers=answer_kindly):
    return lambda question: RuntimeError() if isinstance(question, kind) else answers(question)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (CheckSender, [b"451 4.3.0", b"503 5.5.1", b"503 5.5.1"]),
        (CheckRecipients, [b"250 2.1.0", b"451 4.3.0", b"503 5.5.1"]),
        (AcceptMessage, [b"250 2.1.0", b"250 2.1.5", b"354 End d", b"451 4.3.0"]),
    ],
)
def test_a_question_without_answer_is_a_temporary_failure_and_the_session_goes_on(kind, said):
    conversation = Talk(answers=broken_at(kind)).feed(
        HELLO + BEGIN.removeprefix(HELLO) + b"RCPT TO:<b@example.com>\r\n"
    )
    conversation.feed(b"DATA\r\n")
    if kind is AcceptMessage:
        conversation.feed(b"x\r\n.\r\n")
    assert [line[:9] for line in conversation.replies[1:]] == said
    assert conversation.feed(b"NOOP\r\n").last == b"250 2.0.0 Ok"


def test_a_greeting_without_answer_closes_with_421():
    conversation = Talk(answers=lambda question: RuntimeError())
    assert conversation.said.startswith(b"421 4.3.0")
    assert conversation.closed


def test_a_refused_message_is_not_accepted_and_the_next_one_is():
    verdicts = iter([Reply(550, "5.7.1", "Spam"), Reply(452, "4.2.2", "Full"), Reply(250, "2.0.0", "Ok")])
    conversation = talk(
        HELLO,
        MESSAGE.removeprefix(HELLO) * 3,
        answers=lambda question: next(verdicts) if isinstance(question, AcceptMessage) else answer_kindly(question),
    )
    assert [
        line[:9] for line in conversation.replies if line[:3] in {b"550", b"452"} or line.endswith(b"2.0.0 Ok")
    ] == [
        b"550 5.7.1",
        b"452 4.2.2",
        b"250 2.0.0",
    ]


# Bodies that are refused

SMUGGLED = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nevil\r\n"


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\r.\n", b"\n.\r"]
)
def test_a_false_end_of_data_smuggles_nothing(end):
    conversation = talk(READY + b"DATA\r\n", b"x" + end + SMUGGLED + b".\r\n", b"NOOP\r\n")
    assert conversation.messages == []
    assert [line[:10] for line in conversation.replies[-2:]] == [b"550 5.6.11", b"250 2.0.0 "]
    assert conversation.bodies[0].abandoned
    assert len(conversation.bodies) == 1


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"a\nb\r\n", b"550 5.6.11"),
        (b"a\rb\r\n", b"550 5.6.11"),
        (b"\n\r\n", b"550 5.6.11"),
        (b"a\r\r\n", b"550 5.6.11"),
        (b"a\0b\r\n", b"550 5.6.0 "),
        (b"x" * 1001, b"552 5.3.4 "),
        (b"x\n" * 1001, b"552 5.3.4 "),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 10**6])
def test_a_body_that_cannot_be_taken_is_read_to_its_end_and_refused(body, answer, size):
    wire = body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\nNOOP\r\n"
    pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
    conversation = talk(READY + b"DATA\r\n", *pieces, policy=replace(MX, message_limit=1000))
    assert conversation.replies[-2].startswith(answer)
    assert conversation.replies[-1].startswith(b"250")
    assert conversation.messages == []
    assert conversation.bodies[0].abandoned


def test_a_body_of_exactly_the_limit_is_taken():
    conversation = talk(READY + b"DATA\r\n" + b"x" * 998 + b"\r\n.\r\n", policy=replace(MX, message_limit=1000))
    assert conversation.messages[0][0].size == 1000


def test_a_spool_without_room_is_told_after_the_end_of_data():
    conversation = talk(READY + b"DATA\r\n", b"x" * 100, b"x" * 100, room=150)
    assert conversation.last.startswith(b"354")
    assert conversation.feed(b"\r\n.\r\nNOOP\r\n").replies[-2] == b"452 4.3.1 No space"
    assert conversation.bodies[0].abandoned


# BDAT


def test_chunks_make_one_message_and_may_hold_anything_that_looks_like_a_command():
    conversation = talk(READY + b"BDAT 8\r\nQUIT\r\n.\rBDAT 3\r\n\n.\rBDAT 2 LAST\r\n\n.QUIT\r\n")
    assert conversation.messages[0][1] == b"QUIT\r\n.\r\n.\r\n."
    assert [line[:9] for line in conversation.replies[-5:-1]] == [*[b"250 2.0.0"] * 3, b"221 2.0.0"]


def test_an_empty_last_chunk_ends_the_message():
    assert talk(READY + b"BDAT 3\r\nabcBDAT 0 LAST\r\n").messages[0][1] == b"abc"


@pytest.mark.parametrize(
    ("before", "command", "answer"),
    [
        (HELLO, b"BDAT 6 LAST\r\nNOOP\r\n", b"503 5.5.1"),
        (b"", b"BDAT 6 LAST\r\nNOOP\r\n", b"503 5.5.1"),
        (READY, b"BDAT 4 LAST\r\na\nb\n", b"550 5.6.11"),
        (READY, b"BDAT 2 LAST\r\na\r", b"550 5.6.11"),
        (READY, b"BDAT 3 LAST\r\na\0b", b"550 5.6.0 "),
        (READY, b"BDAT 1001 LAST\r\n" + b"x" * 1001, b"552 5.3.4 "),
        (READY + b"BDAT 3\r\nabc", b"DATA\r\n", b"503 5.5.1"),
        (READY + b"BDAT 3\r\nabc", b"RCPT TO:<bob@example.com>\r\n", b"503 5.5.1"),
        (READY + b"BDAT 3\r\nabc", b"MAIL FROM:<bob@example.com>\r\n", b"503 5.5.1"),
        (READY + b"BDAT 3\r\na\nb", b"BDAT 6 LAST\r\nNOOP\r\n", b"503 5.5.1"),
        (READY + b"BDAT 3\r\na\nb", b"MAIL FROM:<bob@example.com>\r\n", b"503 5.5.1"),
    ],
)
def test_a_wrong_chunk_is_read_and_refused(before, command, answer):
    conversation = talk(before + command, policy=replace(MX, message_limit=1000))
    assert conversation.last.startswith(answer)
    assert conversation.messages == []
    assert conversation.feed(b"RSET\r\n").last == b"250 2.0.0 Ok"


@pytest.mark.parametrize("argument", [b"", b"x", b"-1", b"1 2", b"1 LAST x", b"9" * 20, "٣".encode()])
def test_a_chunk_of_unknown_length_ends_the_connection(argument):
    conversation = talk(READY + b"BDAT " + argument + b"\r\nNOOP\r\n")
    assert conversation.last.startswith(b"501 5.5.4")
    assert conversation.closed


def test_a_spool_without_room_refuses_chunks():
    conversation = talk(READY + b"BDAT 3\r\nabcBDAT 3\r\nabcBDAT 3 LAST\r\nabc", room=4)
    assert [line[:9] for line in conversation.replies[-3:]] == [b"250 2.0.0", b"452 4.3.1", b"503 5.5.1"]


# TLS


def test_starttls_drops_what_was_injected_and_begins_anew():
    conversation = talk(HELLO + b"STARTTLS\r\nEHLO inj\r\nMAIL FROM:<a@example.org>\r\n", b"NOOP\r\n")
    assert conversation.said.endswith(b"220 2.0.0 Ready to start TLS\r\n<TLS>250 2.0.0 Ok\r\n")
    assert conversation.feed(b"MAIL FROM:<a@example.org>\r\n").last.startswith(b"503")
    assert [type(question) for question in conversation.asked] == [BeginSession]


def test_bytes_between_starttls_and_the_handshake_are_ignored():
    session = SmtpSession(MX, Peer("192.0.2.1", 4000), lambda: pytest.fail("no body"))
    session.greet()
    session.answer(None)
    actions = session.receive(HELLO + b"STARTTLS\r\n")
    assert isinstance(actions[-1], StartTls)
    assert session.receive(b"NOOP\r\n") == []
    assert session.tls_started(TLS) == []
    assert session.receive(b"NOOP\r\n") == [Send(b"250 2.0.0 Ok\r\n")]


def test_a_login_in_the_clear_does_not_outlive_starttls():
    policy = replace(SUBMISSION, plaintext_auth_ok=True)
    conversation = talk(HELLO + PLAIN, policy=policy)
    assert conversation.session.login is not None
    conversation.feed(b"STARTTLS\r\n")
    assert conversation.session.login is None
    assert conversation.feed(BEGIN).last == b"530 5.7.0 Authentication required"


def test_a_transaction_does_not_outlive_ehlo_inside_tls():
    conversation = talk(HELLO + b"STARTTLS\r\n").feed(HELLO + b"DATA\r\n")
    assert conversation.last.startswith(b"503")


def test_under_tls_starttls_is_neither_offered_nor_taken_and_facts_are_kept():
    conversation = talk(HELLO + b"STARTTLS\r\n")
    conversation.said = b""
    conversation.feed(READY + b"DATA\r\nx\r\n.\r\n")
    assert b"STARTTLS" not in conversation.said
    envelope = conversation.messages[0][0]
    assert envelope.client is not None
    assert (envelope.client.tls, envelope.with_protocol) == (TLS, "ESMTPS")
    assert conversation.feed(b"STARTTLS\r\n").last == b"503 5.5.1 TLS is active already"


def test_tls_may_be_required_of_others_only_inside_tls():
    # RFC 8689 section 2
    wanted = b"MAIL FROM:<alice@example.org> REQUIRETLS\r\n"
    conversation = talk(HELLO)
    assert b"REQUIRETLS" not in conversation.said
    assert conversation.feed(wanted).last.startswith(b"555 5.5.4")
    conversation.feed(b"STARTTLS\r\n" + HELLO).feed(HELLO)
    assert b"REQUIRETLS\r\n" in conversation.said
    assert conversation.feed(wanted.replace(b"TLS\r", b"TLS=1\r")).last.startswith(b"501 5.5.4")
    conversation.feed(wanted + b"RCPT TO:<bob@example.com>\r\nDATA\r\n", b"x\r\n.\r\n")
    assert conversation.messages[0][0].requiretls


def test_without_certificate_starttls_is_neither_offered_nor_taken():
    conversation = talk(HELLO, policy=replace(MX, tls_available=False))
    assert b"STARTTLS" not in conversation.said
    assert conversation.feed(b"STARTTLS\r\n").last.startswith(b"502 5.5.1")


def test_ehlo_names_what_there_is():
    lines = talk(HELLO).said.split(b"\r\n")[1:-1]
    assert lines == [
        b"250-mx.example.com",
        b"250-SIZE 52428800",
        b"250-PIPELINING",
        b"250-8BITMIME",
        b"250-SMTPUTF8",
        b"250-CHUNKING",
        b"250-ENHANCEDSTATUSCODES",
        b"250-DSN",
        b"250-LIMITS RCPTMAX=1000",
        b"250 STARTTLS",
    ]


LATE = replace(MX, greet_delay=2.0)


def late(policy=LATE):
    """A session whose greeting is still to come."""
    session = SmtpSession(policy, Peer("192.0.2.1", 4000), MemoryBody)
    (ask,) = session.greet()
    assert ask.question.delay == policy.greet_delay
    return session


@pytest.mark.parametrize("data", [b"E", b"EHLO c.example\r\n", b"\r\n", b"\x16\x03\x01"])
def test_who_speaks_before_the_greeting_is_refused(data):
    session = late()
    assert session.receive(data) == []
    assert session.answer(None) == [
        Send(b"554 5.5.1 You spoke before the greeting (RFC 5321 section 4.3.1)\r\n"),
        Close(),
    ]


def test_who_waits_for_the_greeting_is_greeted():
    (said,) = late().answer(None)
    assert said.data.startswith(b"220 mx.example.com ESMTP")


def test_where_nothing_is_delayed_nobody_can_be_too_early():
    session = late(MX)
    session.receive(b"EHLO c.example\r\n")
    assert session.answer(None)[0].data.startswith(b"220 mx.example.com ESMTP A3Mailer\r\n250-mx.example.com\r\n")


# AUTH


def test_auth_is_not_offered_and_not_taken_before_tls():
    conversation = talk(HELLO + PLAIN + b"MAIL FROM:<bob@example.com>\r\n", policy=SUBMISSION)
    assert b"AUTH" not in conversation.said.split(b"538")[0]
    assert [line[:9] for line in conversation.replies[1:]] == [b"538 5.7.1", b"530 5.7.0"]
    assert [type(question) for question in conversation.asked] == [BeginSession]


def test_auth_on_plaintext_needs_the_policy():
    conversation = talk(HELLO + PLAIN, policy=replace(SUBMISSION, plaintext_auth_ok=True))
    assert b"250 AUTH PLAIN LOGIN" in conversation.said
    assert conversation.last.startswith(b"235 2.7.0")
    question = conversation.asked[-1]
    assert isinstance(question, VerifyPassword)
    assert not question.encrypted
    assert "secret" not in repr(question)


def test_after_auth_the_login_is_in_the_envelope():
    conversation = talk(HELLO + PLAIN + MESSAGE.removeprefix(HELLO), policy=SUBMISSION, peer=SECURE)
    envelope = conversation.messages[0][0]
    assert envelope.client is not None
    assert envelope.client.login == Login(7, "bob@example.com")
    assert envelope.with_protocol == "ESMTPSA"
    assert conversation.session.login == Login(7, "bob@example.com")


AUTH_REFUSED = [
    (b"MAIL FROM:<bob@example.com>\r\n", b"530 5.7.0"),
    (b"AUTH\r\n", b"504 5.5.4"),
    (b"AUTH CRAM-MD5\r\n", b"504 5.5.4"),
    (b"AUTH PLAIN a b\r\n", b"501 5.5.4"),
    (b"AUTH PLAIN !\r\n", b"501 5.5.2"),
    (b"AUTH PLAIN =\r\n", b"501 5.5.2"),
    (b"AUTH PLAIN " + base64.b64encode(b"bob\0secret") + b"\r\n", b"501 5.5.2"),
    (b"AUTH PLAIN " + base64.b64encode(b"\0bob\0secret\0x") + b"\r\n", b"501 5.5.2"),
    (b"AUTH PLAIN " + base64.b64encode(b"\0bob\0\xff") + b"\r\n", b"501 5.5.2"),
    (b"AUTH PLAIN\r\n*\r\n", b"501 5.7.0"),
    (b"AUTH LOGIN\r\n*\r\n", b"501 5.7.0"),
    (b"AUTH LOGIN Ym9i\r\n*\r\n", b"501 5.7.0"),
    (b"AUTH LOGIN\r\nx\r\n", b"501 5.5.2"),
    (plain(b"root", b"bob", b"secret"), b"535 5.7.8"),
    (plain(b"", b"bob", b"wrong"), b"535 5.7.8"),
    (b"AUTH PLAIN\r\n" + b"A" * 12289 + b"\r\n", b"500 5.5.6"),
    (b"AUTH PLAIN " + b"A" * 12289 + b"\r\n", b"500 5.5.2"),
    (b"NOOP " + b"x" * 5000 + b"\r\n", b"500 5.5.2"),
    (PLAIN + PLAIN, b"503 5.5.1"),
]


@pytest.mark.parametrize(("command", "answer"), AUTH_REFUSED)
def test_wrong_authentication_is_refused(command, answer):
    conversation = talk(HELLO + command, policy=SUBMISSION, peer=SECURE)
    assert conversation.last.startswith(answer)
    assert not conversation.closed


def test_acting_as_somebody_else_is_not_even_asked_about():
    conversation = talk(HELLO + plain(b"root", b"bob", b"secret"), policy=SUBMISSION, peer=SECURE)
    assert [type(question) for question in conversation.asked] == [BeginSession]


@pytest.mark.parametrize(
    "command",
    [
        PLAIN,
        plain(b"bob", b"bob", b"secret"),
        b"auth plain\r\n" + PLAIN.split()[2] + b"\r\n",
        b"AUTH LOGIN\r\nYm9i\r\nc2VjcmV0\r\n",
        b"AUTH LOGIN Ym9i\r\nc2VjcmV0\r\n",
    ],
)
def test_every_form_of_authentication_works(command):
    conversation = talk(HELLO + command, policy=SUBMISSION, peer=SECURE)
    assert conversation.last == b"235 2.7.0 Authentication successful"


def test_an_auth_response_of_12288_octets_is_taken():
    response = base64.b64encode(b"\0bob\0" + b"x" * (9216 - 5))
    assert len(response) == 12288
    for command in (b"AUTH PLAIN\r\n" + response, b"AUTH PLAIN " + response[: 12288 - 11]):
        assert talk(HELLO + command + b"\r\n", policy=SUBMISSION, peer=SECURE).last[:3] in {b"535", b"501"}
    conversation = talk(HELLO + b"AUTH PLAIN\r\n" + response + b"\r\n", policy=SUBMISSION, peer=SECURE)
    assert isinstance(conversation.asked[-1], VerifyPassword)


def test_three_failed_logins_close_the_connection():
    conversation = talk(HELLO + plain(b"", b"bob", b"wrong") * 4, policy=SUBMISSION, peer=SECURE)
    assert [line[:9] for line in conversation.replies[1:]] == [*[b"535 5.7.8"] * 3, b"421 4.7.0", b"<CLOSE>"]


def test_a_busy_or_broken_password_check_is_temporary():
    for answer in (LoginRefusal.LATER, RuntimeError()):
        conversation = Talk(
            SUBMISSION, SECURE, lambda question, answer=answer: answer if isinstance(question, VerifyPassword) else None
        )
        assert conversation.feed(HELLO + PLAIN).last.startswith(b"454 4.7.0")


def test_an_unknown_login_and_a_wrong_password_sound_the_same():
    said = {talk(HELLO + plain(b"", login, b"x"), policy=SUBMISSION, peer=SECURE).last for login in (b"bob", b"nobody")}
    assert len(said) == 1


# The end


def test_quit_says_goodbye_and_nothing_after_it_is_read():
    conversation = talk(HELLO + b"QUIT\r\nMAIL FROM:<a@example.org>\r\n", b"NOOP\r\n")
    assert conversation.said.endswith(b"221 2.0.0 Bye\r\n<CLOSE>")


def test_drain_closes_an_idle_connection_at_once():
    conversation = talk(HELLO)
    conversation.do(conversation.session.drain())
    assert conversation.said.endswith(b"421 4.3.2 This server is going down, try again soon\r\n<CLOSE>")


@pytest.mark.parametrize("rest", [b"x\r\n.\r\n", b"x\r\n.\r\nMAIL FROM:<a@example.org>\r\n"])
def test_drain_lets_a_transaction_end(rest):
    conversation = talk(READY + b"DATA\r\n")
    assert conversation.session.drain() == []
    conversation.feed(rest)
    assert len(conversation.messages) == 1
    assert conversation.said.endswith(
        b"250 2.0.0 Ok: queued\r\n421 4.3.2 This server is going down, try again soon\r\n<CLOSE>"
    )


def test_drain_while_a_question_is_open_waits_for_the_answer():
    session = SmtpSession(MX, Peer("192.0.2.1", 4000), lambda: pytest.fail("no body"))
    session.greet()
    assert session.drain() == []
    assert session.answer(None)[-1] == Close()


@pytest.mark.parametrize("before", [b"", HELLO, READY, READY + b"DATA\r\nx"])
def test_silence_is_answered_with_421(before):
    conversation = talk(before)
    conversation.do(conversation.session.timed_out())
    assert conversation.said.endswith(b"421 4.4.2 You took too long, closing\r\n<CLOSE>")
    assert conversation.session.timed_out() == []


def test_patience_is_that_of_rfc_5321():
    assert talk(HELLO).session.patience >= 300
    assert talk(READY + b"DATA\r\n").session.patience >= 180


@pytest.mark.parametrize("before", [READY + b"DATA\r\nx", READY + b"BDAT 10\r\nx", READY + b"BDAT 1\r\nx"])
def test_a_lost_connection_lets_go_of_the_body(before):
    conversation = talk(before)
    assert conversation.session.lost() == []
    assert conversation.bodies[0].abandoned
    assert conversation.messages == []


def test_an_answer_that_comes_after_the_connection_is_lost_is_ignored():
    session = SmtpSession(MX, Peer("192.0.2.1", 4000), MemoryBody)
    session.greet()
    session.answer(None)
    session.receive(BEGIN)
    assert session.lost() == []
    assert session.answer(None) == []
    assert session.failed(RuntimeError()) == []
    assert session.receive(b"NOOP\r\n") == []
    assert session.drain() == []


def test_a_body_that_was_handed_over_stays_with_its_new_owner():
    bodies: list[MemoryBody] = []
    session = SmtpSession(MX, Peer("192.0.2.1", 4000), lambda: bodies.append(MemoryBody()) or bodies[-1])
    session.greet()
    session.answer(None)
    session.receive(MESSAGE)
    session.answer(None)
    actions = session.answer((None,))
    assert isinstance(actions[-1], Ask)
    assert isinstance(actions[-1].question, AcceptMessage)
    session.lost()
    assert not bodies[0].abandoned
