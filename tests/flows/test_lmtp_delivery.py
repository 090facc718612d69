"""LMTP with a real Postfix in front."""

import pytest
from running import PASSWORD, Person

from wire import Wire

pytestmark = pytest.mark.flow


@pytest.fixture(scope="session")
def behind_postfix(server):
    """Somebody whose mail comes by LMTP."""
    server.manage("adddomain", "lmtp.test")
    server.adduser("ann@lmtp.test", PASSWORD)
    return Person(server, "ann@lmtp.test")


@pytest.mark.peer
def test_postfix_hands_mail_over_by_lmtp(server, postfix, behind_postfix):
    sender = postfix.new_user()
    content = b"From: <%b>\r\nSubject: by LMTP\r\n\r\n.dot\r\n" % sender.encode()
    postfix.inject(sender, behind_postfix.address, content)
    (arrived,) = behind_postfix.wait_for(1)
    assert arrived.endswith(b"\r\n\r\n.dot\r\n")
    assert b" with LMTPS " in arrived.replace(b"\r\n\t", b" ")
    assert arrived.startswith(b"Return-Path: <%b>" % sender.encode())


@pytest.mark.peer
def test_whom_we_do_not_know_postfix_returns_to_its_sender(server, postfix, behind_postfix):
    sender = postfix.new_user()
    postfix.inject(sender, "nobody@lmtp.test", b"From: <%b>\r\n\r\nx\r\n" % sender.encode())
    (bounce,) = postfix.wait_for(sender)
    assert b"550 5.1.1" in bounce


def test_it_delivers_here_and_relays_nowhere(server, behind_postfix):
    with Wire(server.ports["lmtp"]) as wire:
        wire.send(b"LHLO x.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@elsewhere.example>\r\nQUIT\r\n")
        said = []
        while not said or not said[-1].startswith(b"221"):
            said.append(wire.line())
    assert said[-2].startswith(b"550 5.7.1")
