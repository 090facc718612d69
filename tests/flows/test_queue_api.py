"""The queue over HTTP beside a running worker and a remote server that defers, hangs, and takes mail in the end."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from running import quick_retries, running
from senders import Senders

from fakedns import FakeDns
from fakemx import HANG, FakeMx
from wire import until

# One worker for all: each of the two servers is started once.
pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("queue_api")]

NOTHING = {
    "total_messages": 0,
    "active_messages": 0,
    "deferred_messages": 0,
    "bounced_messages": 0,
    "queues": {"incoming": 0, "outgoing": 0, "retry": 0, "bounce": 0},
}


class Api:
    """The management API of a server, with the key that quickstart has made."""

    def __init__(self, server):
        self.server = server

    def __call__(self, method, path, body=None):
        """Returns the status and the JSON of the answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.ports['http']}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.server.credentials['api_key']}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path):
        status, body = self("GET", path)
        assert status == 200, body
        return body

    def status(self):
        """The queue's status; the lanes have to sum to the total, whenever one looks."""
        body = self.get("/queue/status")
        assert sum(body["queues"].values()) == body["total_messages"]
        return body


@pytest.fixture(scope="module")
def remote():
    with FakeDns() as dns, FakeMx() as mx:
        dns.add("far.test", "MX", "10 mx.far.test")
        dns.add("mx.far.test", "A", "127.0.0.1")
        yield dns, mx


def settings(remote):
    """What is deferred comes back after an hour, unless somebody asks for it."""
    dns, mx = remote
    slow = {"A3MAILER_RETRY_FIRST": "3600", "A3MAILER_RETRY_LONGEST": "3600", "A3MAILER_DELAY_NOTICE_AFTER": "36000"}
    return {**quick_retries(dns), **slow, "A3MAILER_REMOTE_SMTP_PORT": str(mx.port)}


@pytest.fixture(scope="module")
def on_sqlite(remote):
    with running("queue-api", settings(remote), people=2) as one:
        yield one


@pytest.fixture(scope="module")
def on_postgresql(remote, postgres):
    environment = {"DATABASE_URL": postgres.create(f"queue_api_{time.time_ns()}"), **settings(remote)}
    with running("queue-api-pg", environment, people=2) as one:
        yield one


@pytest.fixture(scope="module", params=["on_sqlite", pytest.param("on_postgresql", marks=pytest.mark.postgresql)])
def one(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def mx(remote):
    _dns, mx = remote
    mx.says.clear()
    mx.messages.clear()
    return mx


def submit(server, *recipients):
    """Returns the queue id."""
    person = server.people[0]
    letter = f"From: <{person.address}>\r\nSubject: hello\r\nMessage-ID: <q@example.test>\r\n\r\ntext\r\n"
    with person.submission() as smtp:
        assert smtp.say(b"MAIL FROM:<%s>" % person.address.encode()).startswith(b"250")
        for recipient in recipients:
            assert smtp.say(b"RCPT TO:<%s>" % recipient.encode()).startswith(b"250")
        reply = smtp.data(letter.encode())
        assert reply.startswith(b"250"), reply
        return reply.split()[-1].decode()


def test_deferred_held_purged_undone_and_delivered_in_the_end(one, mx):
    api = Api(one)
    assert api.status() == NOTHING
    mx.says["RCPT TO:<bob"] = "450 4.2.0 Come back later, says the remote"
    message = submit(one, "bob@far.test")
    path = f"/queue/messages/{message}"

    def attempts():
        return api.get(path)["attempts"]

    until(lambda: api.status()["queues"]["retry"] == 1, what="it was not deferred")
    waiting = {**NOTHING, "total_messages": 1, "deferred_messages": 1, "queues": {**NOTHING["queues"], "retry": 1}}
    until(lambda: api.status() == waiting)
    shown = api.get(path)
    assert (shown["lane"], shown["state"], shown["subject"]) == ("retry", "deferred", "hello")
    (recipient,), (first,) = shown["recipients"], shown["attempts"]
    assert (recipient["attempts"], recipient["last_reply"]) == (1, "450 4.2.0 Come back later, says the remote")
    assert (first["host"], first["address"], first["code"]) == ("mx.far.test", "127.0.0.1", 450)
    assert first["reply"] == "Come back later, says the remote"

    assert api("POST", "/queue/retry") == (202, {"retried": 1, "skipped": 0})
    until(lambda: len(attempts()) == 2, what="it was not tried again")
    until(lambda: api.status() == waiting)

    assert api("POST", f"{path}/hold")[1]["state"] == "held"
    assert api("POST", f"{path}/retry")[0] == 409
    assert api("POST", "/queue/retry") == (202, {"retried": 0, "skipped": 0})
    assert api("POST", f"{path}/release")[0] == 200
    until(lambda: len(attempts()) == 3, what="it was not released")
    until(lambda: api.status() == waiting)

    mx.says.clear()  # the remote would take it now
    _status, purged = api("DELETE", "/queue/retry")
    assert (purged["deleted"], purged["skipped_active"]) == (1, 0)
    assert api.status() == NOTHING
    assert api("GET", path)[0] == 404
    assert api("POST", "/queue/retry")[1]["retried"] == 0
    assert mx.messages == []
    one.manage("prunebodies")
    assert api("POST", f"/queue/purges/{purged['purge_id']}/undo") == (
        200,
        {"purge_id": purged["purge_id"], "restored": 1},
    )
    assert api.status() == waiting
    assert api("POST", f"{path}/retry")[0] == 200
    (arrived,) = mx.wait(1, 60)
    assert arrived.recipients == ["bob@far.test"]
    assert b"Subject: hello" in arrived.content
    until(lambda: api.status() == NOTHING)

    assert api.get(f"/messages/{message}")["recipients"][0]["outcome"] == "sent"
    events = api.get(f"/messages/{message}/events")["events"]
    kinds = [event["kind"] for event in events]
    assert [kind for kind in kinds if kind in {"held", "released", "purged", "restored"}] == [
        "held",
        "released",
        "purged",
        "restored",
    ]
    assert (kinds.count("attempt"), kinds.count("retried"), kinds[-1]) == (4, 2, "sent")
    told = [event for event in events if event["kind"] == "attempt"]
    assert told[0]["detail"]["reply"] == "Come back later, says the remote"
    assert told[0]["quote"] == "450 4.2.0 Come back later, says the remote"
    (found,) = api.get("/messages?recipient=bob@far.test&direction=outbound&outcome=sent")["messages"]
    assert (found["id"], found["message_id"]) == (message, "<q@example.test>")
    assert one.manage("checkqueue", "--dry-run").startswith("checkqueue: 0 messages, 0 misplaced, counters off by 0")


def test_what_is_in_flight_is_left_alone(one, mx):
    api = Api(one)
    mx.says["RCPT TO:<flying"] = HANG
    message = submit(one, "flying@far.test")
    until(lambda: api.status()["active_messages"] == 1, what="it was not tried")
    assert api.get(f"/queue/messages/{message}")["state"] == "active"
    for lane in ("outgoing", "retry"):
        deleted = api("DELETE", f"/queue/{lane}")[1]
        assert (deleted["deleted"], deleted["skipped_active"]) == (0, int(lane == "outgoing"))
    for method, act in (("DELETE", ""), ("POST", "/hold"), ("POST", "/retry"), ("POST", "/release")):
        assert api(method, f"/queue/messages/{message}{act}")[0] == 409
    mx.says.clear()
    mx.drop_all()
    until(lambda: api.status()["active_messages"] == 0, what="it is still in flight")
    api("POST", "/queue/retry")
    (arrived,) = mx.wait(1, 60)
    assert arrived.recipients == ["flying@far.test"]
    until(lambda: api.status() == NOTHING)


def test_a_failed_recipient_and_the_notice_about_it_are_counted(one, mx):
    """The notice goes to a mailbox elsewhere that does not take it yet: it waits in its own lane."""
    api = Api(one)
    mx.says["RCPT TO:<slow"] = "450 4.2.0 Later"
    mx.says["RCPT TO:<gone"] = "550 5.1.1 No such user"
    message = submit(one, "gone@far.test", "slow@far.test")
    until(lambda: api.status()["bounced_messages"] == 1, what="nobody was refused")
    status = api.status()
    assert (status["queues"]["retry"], status["deferred_messages"], status["total_messages"]) == (1, 1, 1)
    states = {each["recipient"]: each["state"] for each in api.get(f"/queue/messages/{message}")["recipients"]}
    assert states == {"gone@far.test": "failed", "slow@far.test": "deferred"}
    assert api("DELETE", f"/queue/messages/{message}")[0] == 200
    assert api.status() == NOTHING


def killed_in_the_middle(server, mx):
    """Load, SIGKILL for everything, start again: the counters say what is there, and go on to nothing."""
    api = Api(server)
    person = server.people[0]
    mx.says["RCPT TO:<far0"] = "450 4.2.0 Later"
    mx.says["RCPT TO:<far1"] = HANG
    stop = threading.Event()

    def meddle():
        while not stop.is_set():
            try:
                api("POST", "/queue/retry")
                purged = api("DELETE", "/queue/outgoing")[1]
                if purged.get("purge_id"):
                    api("POST", f"/queue/purges/{purged['purge_id']}/undo")
                api.status()
            except (OSError, ValueError):
                return  # the server is gone

    meddler = threading.Thread(target=meddle)
    far = [f"far{number}@far.test" for number in range(4)]
    with Senders(server, far, count=4, login=(person.address, person.password)) as senders:
        until(lambda: len(senders.acknowledged) >= 30, what="no mail was taken")
        meddler.start()
        until(lambda: len(senders.acknowledged) >= 120, what="no mail was taken")
        server.kill()
        stop.set()
    meddler.join(120)
    mx.says.clear()
    mx.drop_all()
    said = server.manage("checkqueue", "--dry-run")
    assert ", 0 misplaced, counters off by 0" in said, said
    server.start()
    api.status()
    for purge in api.get("/queue/purges?limit=500")["purges"]:
        if purge["undone_at"] is None:
            assert api("POST", f"/queue/purges/{purge['purge_id']}/undo")[0] in {200, 409}

    def empty():
        api("POST", "/queue/retry")
        return api.status()["total_messages"] == 0

    until(empty, 300, "the queue did not become empty")
    assert api.status() == NOTHING
    assert server.manage("checkqueue").startswith("checkqueue: 0 messages, 0 misplaced, counters off by 0")
    wanted = {(name, to) for name, recipients in senders.acknowledged.items() for to in recipients}
    arrived = {
        (one.content.partition(b"X-Id: ")[2].partition(b"\r\n")[0].decode(), to)
        for one in mx.messages
        for to in one.recipients
    }
    assert wanted <= arrived


@pytest.mark.timeout(600)
def test_a_kill_in_the_middle_leaves_the_counters_right_on_sqlite(on_sqlite, mx):
    killed_in_the_middle(on_sqlite, mx)


@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_a_kill_in_the_middle_leaves_the_counters_right_on_postgresql(on_postgresql, mx):
    killed_in_the_middle(on_postgresql, mx)
