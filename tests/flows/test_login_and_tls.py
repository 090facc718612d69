"""Passwords: only over TLS, and with the same words for a wrong one and for somebody who does not exist."""

import base64
import socket
import ssl
import warnings

import pytest

from wire import HOST, Imap, Pop3, Smtp, Wire

pytestmark = pytest.mark.flow

# Failed logins are counted by address: these tests come from their own, so that the others may go on logging in.
ELSEWHERE = "127.0.7.1"


def test_smtp_offers_and_takes_no_password_before_tls(server, person):
    with Smtp(server.ports["submission"]) as smtp:
        assert b"STARTTLS" in smtp.capabilities
        assert b"AUTH" not in smtp.capabilities
        assert smtp.login(person.address, person.password).startswith(b"538 5.7.11")
        assert smtp.say(b"MAIL FROM:<%s>" % person.address.encode()).startswith(b"530 5.7.0")
        smtp.starttls()
        assert b"AUTH PLAIN LOGIN" in smtp.capabilities
        assert b"STARTTLS" not in smtp.capabilities
        assert smtp.login(person.address, person.password).startswith(b"235")


def test_the_mx_port_offers_no_login_at_all(server, person):
    with Smtp(server.ports["smtp"]) as smtp:
        smtp.starttls()
        assert b"AUTH" not in smtp.capabilities
        assert smtp.login(person.address, person.password).startswith(b"502")


def test_imap_offers_and_takes_no_password_before_tls(server, person):
    with Imap(server.ports["imap"]) as imap:
        ((capabilities, _),) = imap.fine(b"CAPABILITY")
        assert b"LOGINDISABLED" in capabilities.split()
        assert b"STARTTLS" in capabilities.split()
        assert b"AUTH=" not in capabilities
        assert imap.login(person.address, person.password).startswith(b"NO [PRIVACYREQUIRED]")
        imap.starttls()
        ((capabilities, _),) = imap.fine(b"CAPABILITY")
        assert b"LOGINDISABLED" not in capabilities
        assert b"STARTTLS" not in capabilities
        assert b"AUTH=PLAIN" in capabilities.split()
        assert imap.login(person.address, person.password).startswith(b"OK")


def test_pop3_offers_and_takes_no_password_before_tls(server, person):
    with Pop3(server.ports["pop3"]) as pop3:
        assert pop3.say(b"CAPA").startswith(b"+OK")
        capabilities = pop3.block().splitlines()
        assert b"STLS" in capabilities
        assert b"USER" not in capabilities
        assert not [line for line in capabilities if line.startswith(b"SASL")]
        assert pop3.say(b"USER " + person.address.encode()).startswith(b"-ERR")
        assert pop3.say(b"PASS " + person.password.encode()).startswith(b"-ERR")
        pop3.starttls()
        pop3.say(b"CAPA")
        assert b"USER" in pop3.block().splitlines()
        assert pop3.login(person.address, person.password).startswith(b"+OK")


def submission_refusal(server, login, password):
    with Smtp(server.ports["submissions"], tls=True, source=ELSEWHERE) as smtp:
        return smtp.login(login, password)


def imap_refusal(server, login, password):
    with Imap(server.ports["imaps"], tls=True, source=ELSEWHERE) as imap:
        return imap.login(login, password)


def imap_plain_refusal(server, login, password):
    with Imap(server.ports["imaps"], tls=True, source=ELSEWHERE) as imap:
        secret = base64.b64encode(f"\0{login}\0{password}".encode())
        return imap.command(b"AUTHENTICATE PLAIN " + secret)[0]


def pop3_refusal(server, login, password):
    with Pop3(server.ports["pop3s"], tls=True, source=ELSEWHERE) as pop3:
        return pop3.login(login, password)


@pytest.mark.parametrize(
    ("attempt", "beginning"),
    [
        (submission_refusal, b"535 5.7.8"),
        (imap_refusal, b"NO [AUTHENTICATIONFAILED]"),
        (imap_plain_refusal, b"NO [AUTHENTICATIONFAILED]"),
        (pop3_refusal, b"-ERR [AUTH]"),
    ],
)
def test_wrong_unknown_and_empty_are_refused_alike(any_server, person, attempt, beginning):
    wrong = attempt(any_server, person.address, "not this one")
    assert wrong.startswith(beginning)
    assert attempt(any_server, "nobody@example.test", "not this one") == wrong
    assert attempt(any_server, "nobody@elsewhere.test", person.password) == wrong


@pytest.mark.parametrize(("port", "greeting"), [("submissions", b"220 "), ("imaps", b"* OK"), ("pop3s", b"+OK")])
def test_implicit_tls_speaks_nothing_older_than_1_2_and_proves_who_it_is(server, port, greeting):
    context = ssl.create_default_context(cafile=str(server.certificate()))
    with Wire(server.ports[port], tls=True) as wire:
        assert wire.line().startswith(greeting)
        assert wire.socket.version() == "TLSv1.3"
    with (
        socket.create_connection((HOST, server.ports[port]), 60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.version() == "TLSv1.3"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((HOST, server.ports[port]), 60) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)


@pytest.mark.parametrize(
    ("port", "command", "injected"),
    [
        ("smtp", b"STARTTLS\r\n", b"NOOP\r\nEHLO inj.example\r\nMAIL FROM:<a@b.example>\r\n"),
        ("submission", b"STARTTLS\r\n", b"NOOP\r\n"),
        ("imap", b"s1 STARTTLS\r\n", b"i1 NOOP\r\n"),
        ("pop3", b"STLS\r\n", b"CAPA\r\n"),
    ],
)
def test_what_is_injected_behind_starttls_is_never_answered(server, port, command, injected):
    with Wire(server.ports[port]) as wire:
        wire.line()
        if command == b"STARTTLS\r\n":
            wire.send(b"EHLO client.example\r\n")
            while wire.line()[3:4] == b"-":
                pass
        wire.send(command + injected)
        wire.line()
        wire.secure()
        wire.send({"imap": b"own NOOP\r\n", "pop3": b"NOOP\r\n"}.get(port, b"MAIL FROM:<>\r\n"))
        # The first thing said inside TLS answers what was asked inside TLS. SMTP has forgotten EHLO, too.
        expected = {"imap": b"own OK", "pop3": b"-ERR"}.get(port, b"503 5.5.1 Say EHLO first")
        assert wire.line().startswith(expected)
