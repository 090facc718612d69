"""Mail at full load, and beside it small writes of the web process and calls of the API: none of them waits long.

The load comes from Postfix's own smtp-source, which costs this machine next to nothing.
"""

import http.client
import json
import subprocess
import sys
import threading
import time

import pytest
from running import running

from peers.programs import needs
from server import ROOT
from wire import HOST, Smtp, until

pytestmark = [pytest.mark.flow, pytest.mark.peer]

MIB = 1024 * 1024
# As the web process writes: one small transaction each, at a steady pace.
WRITER = """
import json, sys, time
import django
django.setup()
from a3mailer_site.models import Generation
rate, seconds = json.loads(sys.argv[1])
key = "flow-test"
Generation.objects.update_or_create(name=key, defaults={"value": 0})
waits = []
began = time.monotonic()
for number in range(rate * seconds):
    pause = began + number / rate - time.monotonic()
    if pause > 0:
        time.sleep(pause)
    before = time.monotonic()
    Generation.objects.filter(name=key).update(value=number)
    waits.append(time.monotonic() - before)
print(json.dumps(sorted(waits)))
"""


def load(server, messages, sessions=20):
    """Start smtp-source: messages of 4 KiB to the first mailbox."""
    command = [needs("smtp-source"), "-s", str(sessions), "-l", "4096", "-m", str(messages), "-f", "load@example.net"]
    return subprocess.Popen([*command, "-t", server.people[0].address, f"{HOST}:{server.ports['smtp']}"])


def write_beside(server, rate, seconds):
    """Write so many times a second; the sorted waits in seconds."""
    environment = {**server.environment, "A3MAILER_PROCESS": "web", "DJANGO_SETTINGS_MODULE": "a3mailer_site.settings"}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, json.dumps([rate, seconds])],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def call_beside(server, rate, seconds):
    """Call the API so many times a second, one call in four a change; the sorted times in seconds."""
    headers = {"Authorization": f"Bearer {server.credentials['api_key']}", "Content-Type": "application/json"}
    link = http.client.HTTPConnection(HOST, server.ports["http"], timeout=30)

    def call(method, path, body=None):
        link.request(method, path, body and json.dumps(body), headers)
        answer = link.getresponse()
        content = answer.read()
        assert answer.status == 200, (path, answer.status, content)
        return json.loads(content)

    limits = {name: {"max_requests": 100_000, "window_seconds": 60} for name in ("global", "per_ip", "per_user")}
    call("PUT", "/api/v1/security/rate-limits", limits)
    user = call("GET", "/api/v1/users?limit=1")["users"][0]["id"]
    reads = ("/api/v1/users", "/api/v1/queue/status", "/api/v1/metrics/application")
    times = []
    began = time.monotonic()
    for number in range(rate * seconds):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        before = time.monotonic()
        if number % 4:
            call("GET", reads[number % 4 - 1])
        else:
            call("PATCH", f"/api/v1/users/{user}", {"quota": 10**12 + number})
        times.append(time.monotonic() - before)
    return sorted(times)


def measure(server, seconds, record, name="web_write", beside=write_beside):
    """Full load and something else beside it for so long; nobody waits or is refused."""
    source = load(server, 10**6)
    largest, slowest_noop, stop = [0], [], threading.Event()

    def watch():
        wal = server.data / "a3mailer.sqlite3-wal"
        with Smtp(server.ports["smtp"]) as smtp:
            while not stop.wait(0.1):
                largest[0] = max(largest[0], wal.stat().st_size if wal.exists() else 0)
                began = time.monotonic()
                if not smtp.say(b"RSET").startswith(b"250"):
                    return
                slowest_noop.append(time.monotonic() - began)

    def count():
        with server.people[0].imap() as imap:
            return imap.status(b"INBOX", b"MESSAGES")["MESSAGES"]

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        until(count, what="no mail came")
        before, began = count(), time.monotonic()
        waits = beside(server, 50, seconds)
        rate = (count() - before) / (time.monotonic() - began)
        assert source.poll() is None, "the load ended by itself: something was refused"
    finally:
        source.terminate()
        source.wait()
        stop.set()
        watching.join()
    p99 = waits[int(len(waits) * 0.99)]
    answers = sorted(slowest_noop)
    record(f"{name}_p99_ms", round(p99 * 1000, 1))
    record("command_p99_ms", round(answers[int(len(answers) * 0.99)] * 1000, 1))
    record("messages_per_second_beside", round(rate))
    record("wal_mib", round(largest[0] / MIB, 1))
    assert "database is locked" not in server.log.read_text(errors="replace")
    return p99, largest[0]


def test_small_writes_of_the_web_process_do_not_wait_for_the_mail(record_property):
    with running("load", people=1) as server:
        p99, wal = measure(server, 6, record_property)
    # Promised: 100 ms and 100 MB; the time five times over, because these machines are shared.
    assert p99 < 0.1 * 5
    assert wal < 100 * MIB


def test_the_api_answers_while_mail_is_at_full_load(record_property):
    with running("load-api", people=1) as server:
        p99, _wal = measure(server, 6, record_property, "api", call_beside)
    assert p99 < 0.1 * 5


@pytest.mark.long
def test_the_api_answers_while_mail_is_at_full_load_for_a_minute(record_property):
    with running("load-api-long", people=1) as server:
        p99, _wal = measure(server, 60, record_property, "api", call_beside)
    assert p99 < 0.1 * 5


@pytest.mark.long
def test_small_writes_do_not_wait_for_the_mail_for_a_minute(record_property):
    with running("load-long", people=1) as server:
        p99, wal = measure(server, 60, record_property)
    assert p99 < 0.1 * 5
    assert wal < 100 * MIB
