"""What is refused over a real socket: relaying in all its disguises, loops, full and unknown mailboxes, HTTP."""

import contextlib

import pytest
from running import Person, deliver

from wire import Smtp, Wire, until

pytestmark = pytest.mark.flow

RELAYING = [
    "victim@elsewhere.example",
    "victim%elsewhere.example@example.test",
    "elsewhere.example!victim@example.test",
    "elsewhere.example!victim",
    "@example.test:victim@elsewhere.example",
    "@example.test,@mail.example.test:victim@elsewhere.example",
    '"victim@elsewhere.example"@example.test',
    '"victim@elsewhere.example"',
    '"victim%elsewhere.example"@example.test',
    "victim@elsewhere.example@example.test",
    "victim@example.test@elsewhere.example",
    "victim@elsewhere.example.",
    "victim@notexample.test",
    "victim@example.test.elsewhere.example",
    "victim@sub.example.test",
    "victim@[127.0.0.1]",
    "victim@[IPv6:::1]",
    "victim@[192.0.2.1]",
    "victim@localhost",
    "victim@127.0.0.1",
    "victim@",
    "@elsewhere.example",
    "victim%elsewhere.example",
    "victim@elsewhere.example@",
    "victim@ex\tample.test",
]


@pytest.mark.parametrize("sender", ["friend@example.net", "p0@example.test", "", "postmaster@example.test"])
def test_nobody_relays_through_the_mx_port(server, sender):
    with Smtp(server.ports["smtp"]) as smtp:
        for recipient in RELAYING:
            smtp.envelope(sender)
            reply = smtp.say(b"RCPT TO:<%s>" % recipient.encode())
            assert reply[:1] == b"5", (recipient, reply)
            # Too many errors end a conversation; a transaction without recipients must not bring mail anywhere.
            if reply.startswith(b"421") or b"421 " in reply:
                break
            if smtp.say(b"RSET")[:3] == b"421":
                break


@pytest.mark.parametrize("recipient", RELAYING)
def test_each_disguise_is_refused_at_rcpt_and_data_after_it(any_server, recipient):
    with Smtp(any_server.ports["smtp"]) as smtp:
        smtp.envelope("friend@example.net")
        assert smtp.say(b"RCPT TO:<%s>" % recipient.encode())[:1] == b"5"
        assert smtp.say(b"DATA")[:1] == b"5"


@pytest.mark.parametrize("recipient", ["nobody@example.test", "nobody+tag@example.test"])
def test_an_unknown_mailbox_is_refused_at_rcpt(any_server, recipient):
    with Smtp(any_server.ports["smtp"]) as smtp:
        assert smtp.envelope("friend@example.net", recipient).startswith(b"550 5.1.1")
        assert smtp.say(b"VRFY " + recipient.encode()).startswith(b"252")


def test_a_message_that_went_in_circles_is_refused(server, person):
    hop = b"Received: from a.example by b.example; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    rest = b"Subject: loop\r\n\r\nx\r\n"
    assert deliver(server, person, hop * 99 + rest).startswith(b"250")
    assert deliver(server, person, hop * 101 + rest).startswith(b"554 5.4.6")
    assert len(person.mail()) == 1


def test_a_full_mailbox_is_refused_at_rcpt_and_takes_mail_again_when_there_is_room(any_server):
    any_server.manage(
        "adduser", "full@example.test", "--quota", "20000", "--password-stdin", stdin="correct horse battery\n"
    )
    full = Person(any_server, "full@example.test")
    content = b"Subject: fill\r\n\r\n" + b"x" * 70 + b"\r\n"
    large = content + (b"y" * 70 + b"\r\n") * 200
    assert deliver(any_server, full, large).startswith(b"250")

    def is_refused():
        # A connection each: one that only asks is told to go after a hundred commands.
        with Smtp(any_server.ports["smtp"]) as smtp:
            reply = smtp.envelope("friend@example.net", full.address, parameters=b" SIZE=20000")
        return reply.startswith(b"452 4.2.2")

    # How full a mailbox is may be known from some moments ago.
    until(is_refused)
    with Smtp(any_server.ports["smtp"]) as smtp:
        # Without SIZE it is found out at the end of the message.
        reply = smtp.envelope("friend@example.net", full.address)
        assert reply.startswith(b"250"), reply
        assert smtp.data(large).startswith(b"452 4.2.2")
    with full.imap() as imap:
        assert imap.append(b"INBOX", large).startswith(b"NO [OVERQUOTA]")
        imap.fine(b"UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.fine(b"EXPUNGE")
    assert deliver(any_server, full, large).startswith(b"250")
    assert "0 wrong" in any_server.manage("checkquota", "--dry-run")


@pytest.mark.parametrize("port", ["smtp", "submission", "imap", "pop3"])
def test_a_browser_that_was_tricked_into_speaking_mail_is_cut_off(server, port):
    with Wire(server.ports[port]) as wire:
        wire.line()
        wire.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nMAIL FROM:<a@b.example>\r\na1 NOOP\r\nUSER a\r\n")
        rest = []
        with contextlib.suppress(OSError):
            while True:
                rest.append(wire.line())
        assert len(rest) <= 2, rest
