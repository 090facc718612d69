"""What becomes of mail that cannot be delivered: notices in the form of RFC 3464, and never one about a notice."""

import email
import email.policy

import pytest
from running import deliver

from peers.sink import Sink
from wire import until

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def sink():
    with Sink() as one:
        yield one


@pytest.fixture
def far(any_server, sink):
    """A new address at the sink."""
    if not getattr(any_server, "knows_sink", False):
        any_server.manage("addroute", "sink.test", f"127.0.0.1:{sink.port}")
        any_server.knows_sink = True
    return f"r{len(sink.asked)}-{any_server.ports['smtp']}@sink.test"


def letter(sender, recipient):
    return f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: lost?\r\n\r\nThe text of it\r\n".encode()


def submit(person, recipient, parameters=b"", rcpt_parameters=b""):
    """Returns the queue id."""
    with person.submission() as smtp:
        assert smtp.envelope(person.address, parameters=parameters).startswith(b"250")
        assert smtp.say(b"RCPT TO:<%s>%s" % (recipient.encode(), rcpt_parameters)).startswith(b"250")
        reply = smtp.data(letter(person.address, recipient))
        assert reply.startswith(b"250"), reply
        return reply.split()[-1].decode()


def notice(content):
    """The parts of a notice: the message, its report's two groups of fields, the type of what it returns, and that."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    text, status, returned = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    about_message, about_recipient = status.get_payload()
    assert content.startswith(b"Return-Path: <>\r\n")
    assert message["Auto-Submitted"].startswith("auto-")
    assert message["Message-ID"]
    assert message["Date"]
    return message, about_message, about_recipient, returned


@pytest.mark.peer
def test_a_recipient_that_a_real_postfix_does_not_know_comes_back_as_a_notice(server, postfix, person):
    submit(person, "nobody@postfix.test", b" RET=HDRS ENVID=my+2Benvelope", b" ORCPT=rfc822;no+2Dbody@postfix.test")
    (content,) = person.wait_for()
    message, about_message, about_recipient, returned = notice(content)
    assert message["To"].find(person.address) >= 0
    assert about_message["Reporting-MTA"] == "dns; mail.example.test"
    assert about_message["Original-Envelope-Id"] == "my+envelope"
    assert about_recipient["Final-Recipient"] == "rfc822; nobody@postfix.test"
    assert about_recipient["Original-Recipient"] == "rfc822; no-body@postfix.test"
    assert about_recipient["Action"] == "failed"
    assert about_recipient["Status"] == "5.1.1"
    assert about_recipient["Remote-MTA"].startswith("dns; ")
    assert about_recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1 <nobody@postfix.test>")
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "The text of it" not in content.decode()


def test_a_failure_returns_the_whole_message_when_asked(any_server, person, far, sink):
    sink.answers[far] = [b"550 5.7.1 Never"]
    submit(person, far, b" RET=FULL")
    (content,) = person.wait_for()
    *_, about_recipient, returned = notice(content)
    assert about_recipient["Action"] == "failed"
    assert about_recipient["Status"] == "5.7.1"
    assert returned.get_content_type() == "message/rfc822"
    assert "The text of it" in content.decode()


def test_what_is_deferred_is_tried_again_and_its_sender_is_told_of_the_delay_once(any_server, person, far, sink):
    sink.answers[far] = [b"450 4.2.0 Not yet"] * 5
    submit(person, far, rcpt_parameters=b" NOTIFY=FAILURE,DELAY")
    until(lambda: sink.to(far), 120)
    (content,) = person.wait_for()
    *_, about_recipient, _ = notice(content)
    assert about_recipient["Action"] == "delayed"
    assert about_recipient["Status"].startswith("4.")
    assert about_recipient["Will-Retry-Until"]
    assert sink.asked.count(far) == 6
    (arrived,) = sink.to(far)
    assert arrived.sender == person.address
    assert not arrived.content.startswith(b"Return-Path")
    assert len(person.mail()) == 1


def test_success_is_told_when_asked_for_here_and_at_servers_without_dsn(any_server, person, friend, far, sink):
    submit(person, friend.address, rcpt_parameters=b" NOTIFY=SUCCESS")
    (content,) = person.wait_for()
    *_, about_recipient, _ = notice(content)
    assert (about_recipient["Action"], about_recipient["Status"][0]) == ("delivered", "2")
    submit(person, far, rcpt_parameters=b" NOTIFY=SUCCESS")
    _, content = person.wait_for(2)
    *_, about_recipient, _ = notice(content)
    assert (about_recipient["Action"], about_recipient["Status"][0]) == ("relayed", "2")
    assert len(friend.mail()) == 1


def test_who_wants_no_notice_gets_none(any_server, person, far, sink):
    sink.answers[far] = [b"550 5.7.1 Never"]
    queue_id = submit(person, far, rcpt_parameters=b" NOTIFY=NEVER")
    until(lambda: any_server.statuses(queue_id) == {"failed"})
    assert person.mail() == []


def test_a_message_without_sender_is_never_bounced(any_server, person, far, sink):
    any_server.manage("addalias", f"away-{person.address}", far)
    sink.answers[far] = [b"550 5.7.1 Never"]
    away = type(person)(any_server, f"away-{person.address}")
    reply = deliver(any_server, away, letter("x@example.net", "y@example.net"), sender="")
    queue_id = reply.split()[-1].decode()
    until(lambda: "failed" in any_server.statuses(queue_id))
    assert not [one for one in sink.received if one.sender == "" and "Never" in one.content.decode()]
    assert any_server.queue_length() == 0


@pytest.mark.peer
def test_postfix_bounces_what_we_refuse_and_we_do_not(server, postfix):
    sender = postfix.new_user()
    postfix.inject(sender, "nobody@example.test", letter(sender, "nobody@example.test"))
    (content,) = postfix.wait_for(sender)
    assert b"550 5.1.1" in content
    assert b"No such mailbox here" in content
    assert server.queue_length() == 0
