"""Disabling or deleting a user, or disabling a domain, ends what is open at once on every protocol; mail is refused.

Measured: a few hundredths of a second. Promised: one second; the tests allow five.
"""

import http.client
import itertools
import json
import time

import pytest
from running import Person, deliver

from wire import Imap, until

pytestmark = pytest.mark.flow

CONTENT = b"From: friend@example.net\r\nSubject: old\r\n\r\nof the old user\r\n"
PATIENCE = 5
NUMBERS = itertools.count(1)


def call(server, method, path, body=None):
    """Speak to the API with the server's first key; returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)
    headers = {"Authorization": f"Bearer {server.credentials['api_key']}", "Content-Type": "application/json"}
    connection.request(method, f"/api/v1/{path}", body and json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


@pytest.fixture
def newcomer(any_server):
    """Somebody in a domain of their own, and the paths of both."""
    name = f"d{next(NUMBERS)}.example"
    status, domain = call(any_server, "POST", "domains", {"domain": name})
    assert status == 201, domain
    return make(any_server, f"bob@{name}"), domain["id"]


def make(server, address):
    person = Person(server, address)
    body = {"username": address, "email": address, "password": person.password}
    status, user = call(server, "POST", "users", body)
    assert status == 201, user
    return person, user["id"]


def ends(wire):
    """Wait until the server hangs up."""
    try:
        while wire.line():
            pass
    except (ConnectionError, EOFError, TimeoutError):
        pass
    return True


@pytest.mark.parametrize("how", ["disable the user", "delete the user", "disable the domain", "change the password"])
def test_open_sessions_end_at_once_on_every_protocol(any_server, newcomer, how):
    (person, user), domain = newcomer
    until(lambda: deliver(any_server, person, CONTENT).startswith(b"250"), PATIENCE)
    with person.imap() as imap, person.pop3() as pop3, person.submission() as submission:
        # What a new address is, is known a moment after it was made.
        until(lambda: submission.envelope(person.address, "x@example.net").startswith(b"250"), PATIENCE)
        began = time.monotonic()
        status, body = {
            "disable the user": lambda: call(any_server, "PUT", f"users/{user}", {"enabled": False}),
            "delete the user": lambda: call(any_server, "DELETE", f"users/{user}"),
            "disable the domain": lambda: call(any_server, "PUT", f"domains/{domain}", {"enabled": False}),
            "change the password": lambda: call(any_server, "PATCH", f"users/{user}", {"password": "another-one-9"}),
        }[how]()
        assert status in (200, 204), body
        for wire in (imap, pop3, submission):
            wire.socket.settimeout(PATIENCE)
            assert ends(wire)
        took = time.monotonic() - began
        print(f"{how}: {took:.3f} s")
        assert took < PATIENCE
    with Imap(any_server.ports["imaps"], tls=True, source="127.0.7.9") as imap:
        assert imap.login(person.address, person.password).startswith(b"NO [AUTHENTICATIONFAILED]")
    if how != "change the password":
        expected = b"550 5.1.1" if how == "delete the user" else b"55"
        until(lambda: deliver(any_server, person, CONTENT).startswith(expected), PATIENCE, "mail is still taken")


def test_a_new_user_at_the_address_never_sees_the_old_mail_and_the_old_one_gets_it_back(any_server, newcomer):
    (person, old), _domain = newcomer
    until(lambda: deliver(any_server, person, CONTENT).startswith(b"250"), PATIENCE)
    assert len(person.wait_for(1)) == 1
    assert call(any_server, "DELETE", f"users/{old}")[0] == 204
    assert deliver(any_server, person, CONTENT).startswith(b"550 5.1.1")
    same, new = make(any_server, person.address)
    assert same.mail() == []
    new_mail = CONTENT.replace(b"old", b"new")
    until(lambda: deliver(any_server, same, new_mail).startswith(b"250"), PATIENCE)
    assert b"Subject: new" in same.wait_for(1)[0]
    assert call(any_server, "POST", f"users/{old}/restore")[0] == 409
    assert call(any_server, "DELETE", f"users/{new}")[0] == 204
    assert call(any_server, "POST", f"users/{old}/restore")[0] == 200
    (mail,) = person.wait_for(1)
    assert b"Subject: old" in mail
    until(lambda: deliver(any_server, person, CONTENT).startswith(b"250"), PATIENCE)
    assert len(person.wait_for(2)) == 2
