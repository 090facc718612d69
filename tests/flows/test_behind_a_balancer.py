"""Load balancers that say in a PROXY header who comes through them: believed where we trust them, and nowhere else."""

import struct

import pytest
from running import deliver

from mailcore.proxy_header import SIGNATURE
from wire import Wire, until

pytestmark = pytest.mark.flow

# What ``conftest.py`` sets A3MAILER_MAIL_PROXIES to, and somebody else.
BALANCER, STRANGER = "127.0.9.25", "127.0.9.26"
CLIENT = "203.0.113.77"
LINE = b"PROXY TCP4 %b 127.0.0.1 40000 25\r\n" % CLIENT.encode()
BINARY = SIGNATURE + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, bytes([203, 0, 113, 77]), bytes(4), 40000, 25)


class Introduced(Wire):
    """A connection that begins with a header, and with TLS after it where that is wanted."""

    def __init__(self, port, header, *, tls=False, source=BALANCER):
        super().__init__(port, source=source)
        self.send(header)
        if tls:
            self.secure()


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_a_message_is_said_to_come_from_who_is_behind_the_balancer(server, person, header):
    with Introduced(server.ports["smtp"], header) as wire:
        assert wire.line().startswith(b"220 ")
        wire.send(b"EHLO client.example\r\n")
        while not wire.line().startswith(b"250 "):
            pass
        for command in (b"MAIL FROM:<a@example.net>", b"RCPT TO:<%b>" % person.address.encode(), b"DATA"):
            wire.send(command + b"\r\n")
            assert wire.line()[:1] in b"23"
        wire.send(b"Subject: hello\r\n\r\n.\r\n")
        assert wire.line().startswith(b"250 ")
    (content,) = person.wait_for(1)
    assert b"Received: from client.example ([%b])" % CLIENT.encode() in content.replace(b"\r\n\t", b" ")


@pytest.mark.parametrize("name", ["smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s"])
def test_every_port_takes_a_header_before_everything_else(server, name):
    with Introduced(server.ports[name], LINE, tls=name.endswith("s")) as wire:
        assert wire.line()[:3] in {b"220", b"* O", b"+OK"}
        open_ones = server.control("connections")["connections"]
    assert [one["protocol"] for one in open_ones if one["address"] == CLIENT] == [name]


def test_who_speaks_before_the_greeting_is_refused_where_that_is_delayed(server):
    with Introduced(server.ports["smtp"], LINE + b"EHLO client.example\r\n") as wire:
        assert wire.line().startswith(b"554 5.5.1 ")
        with pytest.raises(ConnectionError):
            wire.line()
    with Introduced(server.ports["lmtp"], LINE + b"LHLO client.example\r\n") as wire:
        assert wire.line().startswith(b"220 ")


def test_without_a_header_the_balancer_is_cut_off_without_a_word(server):
    with Introduced(server.ports["smtp"], b"EHLO client.example\r\n") as wire, pytest.raises(ConnectionError):
        wire.line()


def test_nobody_else_is_believed(server, person):
    with Introduced(server.ports["smtp"], LINE, source=STRANGER) as wire:
        assert wire.line().startswith(b"220 ")
        assert wire.line().startswith(b"500 ")
    assert deliver(server, person, b"Subject: x\r\n\r\n", source=STRANGER).startswith(b"250")
    assert STRANGER.encode() in person.wait_for(1)[0]


def test_who_is_blocked_is_kept_out_behind_a_balancer(server):
    server.manage("blockip", CLIENT, "--reason", "a test")
    try:

        def cut():
            with Introduced(server.ports["imap"], LINE) as wire:
                try:
                    return not wire.line()
                except OSError:
                    return True

        until(cut)
        with Introduced(server.ports["imap"], LINE.replace(b".77", b".78")) as wire:
            assert wire.line().startswith(b"* OK")
    finally:
        server.manage("unblock", CLIENT)
