"""Idempotency over real sockets: two at once, a restart in between, and the worker that forgets what is outlived."""

import http.client
import json
import threading

import pytest

from server import MailServer
from wire import until

pytestmark = pytest.mark.flow

OUTLIVED = """
from datetime import timedelta
from django.utils import timezone
from a3mailer_site.models import KeptAnswer
for hours in (1, 23, 25, 1000):
    KeptAnswer.objects.create(
        caller="key_0", key=f"{hours} h", fingerprint="", claimed_at=timezone.now() - timedelta(hours=hours)
    )
"""
KEPT = """
import json
from a3mailer_site.models import KeptAnswer
print(json.dumps(list(KeptAnswer.objects.filter(caller="key_0").order_by("pk").values_list("key", flat=True))))
"""


def post(server, path, body, key):
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=60)
    headers = {
        "Authorization": f"Bearer {server.credentials['api_key']}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


def test_of_many_at_once_one_acts(any_server):
    together, answers = threading.Barrier(8), []

    def send():
        together.wait(30)
        answers.append(post(any_server, "/api/v1/groups", {"name": "at once"}, "at-once"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _headers, _body in answers} <= {201, 409}
    acted = [body for status, headers, body in answers if status == 201 and "Idempotency-Replayed" not in headers]
    assert len(acted) == 1
    assert {body for status, _headers, body in answers if status == 201} == set(acted)
    for status, headers, _body in answers:
        assert status == 201 or int(headers["Retry-After"]) >= 1
    status, headers, body = post(any_server, "/api/v1/groups", {"name": "at once"}, "at-once")
    assert (status, headers["Idempotency-Replayed"], body) == (201, "true", acted[0])


def test_an_answer_outlives_the_server_and_the_worker_forgets_what_is_outlived():
    server = MailServer().prepare()
    try:
        server.manage("shell", "--no-imports", "-c", OUTLIVED)
        server.start()

        def kept():
            return json.loads(server.manage("shell", "--no-imports", "-c", KEPT)) == ["1 h", "23 h"]

        until(kept, 60, "what is outlived is still there")
        new = {"name": "once", "permissions": ["read"]}
        first = post(server, "/api/v1/auth/keys", new, "k")
        server.stop()
        server.start()
        second = post(server, "/api/v1/auth/keys", new, "k")
        assert (first[0], second[0], second[1]["Idempotency-Replayed"]) == (201, 201, "true")
        assert first[2] == second[2]
        secret = json.loads(first[2])["api_key"].encode()
        for path in server.data.rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes(), path
        assert secret not in server.log.read_bytes()
    finally:
        server.stop()
