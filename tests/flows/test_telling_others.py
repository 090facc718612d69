"""Webhooks of a running server: what happens to mail is told, also after the receiver was away."""

import json
import urllib.request

import pytest
from running import deliver

from hookreceiver import Receiver, verified
from peers.sink import Sink
from wire import until

pytestmark = pytest.mark.flow


def api(server, method, path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.ports['http']}/api/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server.credentials['api_key']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def test_what_happens_to_mail_is_told_in_order(any_server, person):
    with Receiver() as receiver, Sink() as sink:
        far = f"hook-{any_server.ports['smtp']}@hooksink.test"
        any_server.manage("addroute", "hooksink.test", f"127.0.0.1:{sink.port}")
        sink.answers[far] = [b"450 4.2.0 Not yet"]
        wanted = ["accepted", "received", "delivered", "deferred", "bounced"]
        hook = api(any_server, "POST", "webhooks", {"url": receiver.url, "events": wanted})
        try:
            deliver(any_server, person, b"Subject: in\r\n\r\nhello\r\n")
            with person.submission() as smtp:
                smtp.envelope(person.address, far)
                queue_id = smtp.data(f"From: <{person.address}>\r\n\r\nout\r\n".encode()).split()[-1].decode()

            def told():
                found = [json.loads(body) for _path, _headers, body in list(receiver.told)]
                return [each for each in found if each["data"].get("queue_id") == queue_id]

            until(lambda: len(told()) == 3, 120)
            assert [each["type"] for each in told()] == ["message.accepted", "message.deferred", "message.delivered"]
            assert told()[1]["data"]["reply"] == "450 4.2.0 Not yet"
            inward = [json.loads(body)["type"] for _path, _headers, body in receiver.told]
            assert "message.received" in inward
            assert all(verified(hook["secret"], headers, body) for _path, headers, body in receiver.told)
            until(lambda: api(any_server, "GET", f"webhooks/{hook['id']}")["waiting"] == 0, 60)
        finally:
            api(any_server, "DELETE", f"webhooks/{hook['id']}")
