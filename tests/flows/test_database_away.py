"""The database locked, or gone: everybody is asked to come back later, nothing is lost, and nothing needs a restart."""

import contextlib
import http.client
import json
import sqlite3
import threading
import time

import pytest
from running import running
from senders import Ledger, Senders, nothing_is_lost

from postgres import Postgres
from wire import HOST, Imap, Smtp, until

pytestmark = pytest.mark.flow

CONTENT = b"Subject: put off?\r\n\r\nx\r\n"


def http_answer(server, method, path, body=None):
    """Status, headers and JSON of an answer of the web process."""
    with contextlib.closing(http.client.HTTPConnection(HOST, server.ports["http"], timeout=60)) as connection:
        headers = {"Authorization": f"Bearer {server.credentials['api_key']}", "Content-Type": "application/json"}
        connection.request(method, path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, json.loads(text) if text.startswith(b"{") else text


def probe(server, path):
    """Status of the answer, and what it says, as a load balancer without a key hears it."""
    with contextlib.closing(http.client.HTTPConnection(HOST, server.ports["http"], timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return answer.status, body.get("ready", body.get("status"))


def smtp_answer(person):
    with Smtp(person.server.ports["smtp"]) as smtp:
        reply = smtp.envelope("friend@example.net", person.address)
        return smtp.data(CONTENT) if reply.startswith(b"250") else reply


def append_answer(person, imap):
    return imap.append(b"INBOX", CONTENT)


def web_answer(person):
    name = f"d{time.monotonic_ns()}.test"
    return http_answer(person.server, "POST", "/api/v1/domains", {"domain": name})


def all_at_once(*calls):
    """Results of calls that are made beside each other, each with the seconds it took."""
    results = [None] * len(calls)

    def run(place, call):
        began = time.monotonic()
        results[place] = (call(), time.monotonic() - began)

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("seconds", [0, pytest.param(20, marks=pytest.mark.long)])
def test_a_locked_database_puts_writers_off_and_lets_readers_read(rough_server, person, seconds):
    assert smtp_answer(person).startswith(b"250")
    with (
        contextlib.closing(sqlite3.connect(rough_server.data / "a3mailer.sqlite3", isolation_level=None)) as other,
        person.imap() as appending,
        person.imap() as reading,
    ):
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        while True:
            (smtp, patience), (append, _), ((status, headers, body), _), (bodies, reading_time) = all_at_once(
                lambda: smtp_answer(person),
                lambda: append_answer(person, appending),
                lambda: web_answer(person),
                reading.bodies,
            )
            assert smtp.startswith(b"451 4.3.0"), smtp
            assert append.startswith(b"NO [UNAVAILABLE]"), append
            assert (status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
            assert int(headers["Retry-After"]) > 0
            # Promised are 5 seconds of patience; readers do not wait for writers.
            assert patience < 5 * 5
            assert len(bodies) == 1
            assert reading_time < 5
            if time.monotonic() - began > seconds:
                break
        other.execute("ROLLBACK")
        assert until(lambda: smtp_answer(person).startswith(b"250"), 5 * 5)
        assert append_answer(person, appending).startswith(b"OK [APPENDUID")
        assert web_answer(person)[0] in {200, 201}
    assert len(person.mail()) == 3


@pytest.mark.postgresql
def test_postgresql_may_go_and_come_back_under_load(record_property):
    postgres = Postgres()
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.remove)
        environment = {"DATABASE_URL": postgres.start().create("away")}
        server = stack.enter_context(running("pg-away", environment, people=3))
        person = server.people[0]
        old = stack.enter_context(person.imap())
        with Senders(server, [one.address for one in server.people], count=4) as senders:
            until(lambda: len(senders.acknowledged) >= 20)
            postgres.stop()
            until(lambda: probe(server, "/ready") == (503, False))
            until(lambda: probe(server, "/health") == (503, "unhealthy"))
            assert smtp_answer(person).startswith((b"451 4.3.0", b"421 4.3.0"))
            with Imap(server.ports["imaps"], tls=True) as imap:
                # Somebody new: who has just logged in may be known without the database.
                stranger = server.people[2]
                assert imap.login(stranger.address, stranger.password).startswith(b"NO [UNAVAILABLE]")
            assert append_answer(person, old).startswith(b"NO [UNAVAILABLE]")
            with Smtp(server.ports["submissions"], tls=True) as smtp:
                assert smtp.login(stranger.address, stranger.password).startswith(b"454 4.7.0")
            before = len(senders.acknowledged)
            pids = {process["name"]: process["pid"] for process in server.control("status")["processes"]}
            postgres.start()
            began = time.monotonic()
            until(lambda: len(senders.acknowledged) > before, 5 * 5, "mail was not taken again")
            record_property("seconds_until_mail_was_taken", round(time.monotonic() - began, 2))
            until(lambda: probe(server, "/ready") == (200, True), 5 * 5)
            until(lambda: probe(server, "/health")[1] != "unhealthy", 5 * 5)
            until(lambda: append_answer(person, old).startswith(b"OK"), 5 * 5)
        assert pids == {process["name"]: process["pid"] for process in server.control("status")["processes"]}
        assert not [reply for reply in senders.refusals if not reply.startswith((b"451 4.3.0", b"421"))]
        people = server.people[1:]
        found = Ledger().check(people)
        mine = {
            name: [address for address in addresses if address in found]
            for name, addresses in senders.acknowledged.items()
        }
        nothing_is_lost(mine, found)


def test_without_dns_mail_is_deferred_and_never_bounced(rough_server, person):
    with person.submission() as smtp:
        smtp.envelope(person.address, "somebody@elsewhere.example")
        reply = smtp.data(b"From: " + person.address.encode() + b"\r\nSubject: x\r\n\r\nx\r\n")
    queue_id = reply.split()[-1].decode()
    attempts = until(lambda: len(found := rough_server.attempts(queue_id)) >= 2 and found, 120)
    assert {(outcome, enhanced) for outcome, enhanced, _ in attempts} == {("deferred", "4.4.3")}
    assert rough_server.statuses(queue_id) == {"deferred"}
    # What comes in meanwhile is taken: nothing about a sender can be looked up, and that is not the sender's fault.
    assert smtp_answer(person).startswith(b"250")
    assert len(person.mail()) == 1
