"""Mail that people write: swaks and msmtp hand it in, and it arrives here, at a real Postfix, or at a smart host."""

import email
import email.policy
import email.utils

import pytest

from peers import programs
from peers.postfix import LOGIN, SECRET
from wire import Smtp, until

pytestmark = pytest.mark.flow


def letter(sender, recipient, subject="note", extra=""):
    return f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\n{extra}\r\nHello\r\n".encode()


def parsed(content):
    return email.message_from_bytes(content, policy=email.policy.default)


@pytest.mark.peer
@pytest.mark.parametrize("starttls", [True, False], ids=["STARTTLS", "TLS"])
def test_swaks_submits_to_a_mailbox_here(any_server, person, friend, tmp_path, starttls):
    port = any_server.ports["submission" if starttls else "submissions"]
    login = ["--auth", "PLAIN", "--auth-user", person.address, "--auth-password", person.password]
    tls = "-tls" if starttls else "--tls-on-connect"
    programs.swaks(tmp_path, port, person.address, friend.address, tls, *login, "--header", "Subject: from swaks")
    (content,) = friend.mail()
    assert parsed(content)["Subject"] == "from swaks"
    assert b" with ESMTPSA (" in content.partition(b"\r\n\r\n")[0]


@pytest.mark.peer
@pytest.mark.parametrize("starttls", [True, False], ids=["STARTTLS", "TLS"])
def test_msmtp_submits_to_a_real_postfix_by_a_route(server, postfix, person, tmp_path, starttls):
    far = postfix.new_user()
    port = server.ports["submission" if starttls else "submissions"]
    content = letter(person.address, far, extra="X-Kept: as it is \r\n") + b".dots\r\n\r\nFrom here\r\n"
    programs.msmtp(tmp_path, server, person, port, far, content=content, starttls=starttls)
    (arrived,) = postfix.wait_for(far)
    assert arrived.partition(b"\n\n")[2] == b"Hello\n.dots\n\nFrom here\n"
    assert f"Return-Path: <{person.address}>".encode() in arrived
    assert arrived.count(b"\nReceived: ") == 2
    assert arrived.count(b"Return-Path:") == 1


@pytest.mark.peer
def test_mail_of_a_real_postfix_reaches_a_mailbox_here_over_tls(server, postfix, person):
    sender = postfix.new_user()
    postfix.inject(sender, person.address, letter(sender, person.address, "from Postfix") + b"\r\n.dot\r\n")
    (content,) = person.wait_for()
    assert parsed(content)["Subject"] == "from Postfix"
    assert content.startswith(f"Return-Path: <{sender}>\r\n".encode())
    assert content.endswith(b"Hello\r\n\r\n.dot\r\n")
    assert b" with ESMTPS (" in content.partition(b"\r\n\r\n")[0]


@pytest.mark.peer
def test_a_smart_host_that_wants_a_login_gets_one(server, postfix, person):
    server.manage(
        "addroute", "*", f"127.0.0.1:{postfix.auth_port}", "--username", LOGIN, "--password-stdin", stdin=SECRET + "\n"
    )
    far = postfix.new_user().replace(f"@{postfix.domain}", f"@{postfix.other_domain}")
    with person.submission() as smtp:
        assert smtp.envelope(person.address, far).startswith(b"250")
        assert smtp.data(letter(person.address, far)).startswith(b"250")
    postfix.wait_for(far)
    assert f"sasl_username={LOGIN}" in postfix.log()


@pytest.mark.peer
def test_a_route_that_requires_valid_tls_never_falls_back(server, postfix, person):
    server.manage("addroute", "strict.test", f"127.0.0.1:{postfix.port}", "--tls", "required")
    with person.submission() as smtp:
        smtp.envelope(person.address, "somebody@strict.test")
        reply = smtp.data(letter(person.address, "somebody@strict.test"))
    queue_id = reply.split()[-1].decode()
    until(lambda: server.attempts(queue_id))
    assert {outcome for outcome, _, _ in server.attempts(queue_id)} == {"deferred"}
    assert "somebody@strict.test" not in postfix.log()


@pytest.mark.peer
def test_one_message_goes_to_people_here_and_elsewhere(any_server, person, friend, request):
    postfix = request.getfixturevalue("postfix")
    any_server.manage("addroute", "postfix.test", f"127.0.0.1:{postfix.port}")
    far = [postfix.new_user() for _ in range(3)]
    with person.submission() as smtp:
        smtp.envelope(person.address, friend.address, *far, person.address)
        assert smtp.data(letter(person.address, friend.address, "to all")).startswith(b"250")
    for address in far:
        assert b"Subject: to all" in postfix.wait_for(address)[0]
    assert len(friend.mail()) == len(person.mail()) == 1


@pytest.mark.parametrize(
    ("sender", "header_from", "reply"),
    [
        ("friend", "own", b"553 5.7.1"),
        ("postmaster@example.test", "own", b"553 5.7.1"),
        ("somebody@elsewhere.example", "own", b"553 5.7.1"),
        ("own", "friend", b"550 5.7.1"),
        ("own", "somebody@elsewhere.example", b"550 5.7.1"),
        ("own", "own>, <friend", b"550 5.7.1"),
        ("", "friend", b"550 5.7.1"),
    ],
)
def test_nobody_writes_in_another_name(any_server, person, friend, sender, header_from, reply):
    names = {"own": person.address, "friend": friend.address}
    shown = ">, <".join(names.get(part, part) for part in header_from.split(">, <"))
    with person.submission() as smtp:
        answer = smtp.envelope(names.get(sender, sender), friend.address)
        if answer.startswith(b"250"):
            answer = smtp.data(letter(shown, friend.address))
        assert answer.startswith(reply)
    assert friend.mail() == []


@pytest.mark.parametrize(
    "content", [b"Subject: no From\r\n\r\n", b"From: a@example.test\r\nFrom: b@example.test\r\n\r\n"]
)
def test_a_message_without_exactly_one_from_is_refused(server, person, friend, content):
    with person.submission() as smtp:
        smtp.envelope(person.address, friend.address)
        assert smtp.data(content).startswith(b"550 5.6.0")


def test_aliases_and_subaddresses_are_own_names_too(any_server, person, friend):
    alias = f"alias-of-{person.address}"
    any_server.manage("addalias", alias, person.address)
    local, _, domain = person.address.partition("@")
    for own in (alias, f"{local}+shop@{domain}", f"ALIAS-of-{person.address}"):
        with person.submission() as smtp:
            assert smtp.envelope(own, friend.address).startswith(b"250"), own
            assert smtp.data(letter(own, friend.address)).startswith(b"250"), own
    assert len(friend.mail()) == 3


def test_bcc_goes_and_date_and_message_id_come(any_server, person, friend):
    secret = "Bcc: secret@elsewhere.example,\r\n\tother@elsewhere.example\r\n"
    with person.submission() as smtp:
        smtp.envelope(person.address, friend.address)
        assert smtp.data(letter(person.address, friend.address, extra=secret)).startswith(b"250")
        smtp.envelope(person.address, friend.address)
        own = "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <own@example.test>\r\n"
        assert smtp.data(letter(person.address, friend.address, extra=own)).startswith(b"250")
    first, second = friend.mail()
    assert b"elsewhere.example" not in first
    assert email.utils.parsedate_to_datetime(str(parsed(first)["Date"]))
    assert str(parsed(first)["Message-ID"]).endswith("@mail.example.test>")
    assert parsed(second)["Message-ID"] == "<own@example.test>"
    assert parsed(second)["Date"].datetime.year == 2026
    assert second.count(b"Message-ID:") == second.count(b"Date:") == 1


def test_submission_without_login_is_refused(server, person):
    with Smtp(server.ports["submissions"], tls=True) as smtp:
        assert smtp.envelope(person.address, person.address).startswith(b"530 5.7.0")


def test_a_message_that_is_handed_in_twice_arrives_once(any_server, person, friend):
    content = letter(person.address, friend.address, extra="Message-ID: <once@client.example>\r\n")
    replies = []
    for _ in range(2):
        with Smtp(any_server.ports["submission"]) as smtp:
            smtp.starttls()
            smtp.login(person.address, person.password)
            smtp.envelope(person.address, friend.address)
            replies.append(smtp.data(content))
    first, second = replies
    assert second == first + b" before"
    assert len(friend.mail()) == 1
