"""Each client against a running server: every operation, and what it does.

The languages walk one after the other over the same server, each with things of its own.
"""

import itertools
from pathlib import Path

import httpx
import pytest
from callers import LANGUAGES, RefusedError, caller
from operations import OPERATIONS

from wire import Smtp, until

pytestmark = [pytest.mark.flow, pytest.mark.peer]

numbers = itertools.count(1)


@pytest.fixture(scope="module", params=LANGUAGES)
def api(request, mail_server):
    """A client in each language in turn, with a key that may do everything."""
    one = caller(request.param, mail_server.url, mail_server.key)
    one.language = request.param.replace(" ", "-")
    one.number = next(numbers)
    yield one
    one.close()


@pytest.fixture(scope="module")
def read_key(mail_server):
    return caller("python", mail_server.url, mail_server.key)(
        "keys.create", {"name": "reader", "permissions": ["read"]}
    )["api_key"]


def refused(kind, call, *arguments, **options):
    """See that a call is refused in this way."""
    with pytest.raises(RefusedError) as caught:
        call(*arguments, **options)
    assert caught.value.kind == kind
    return caught.value


def test_every_operation_is_walked_over():
    text = Path(__file__).read_text()
    assert [one for one in OPERATIONS if f'"{one}"' not in text] == []


def test_keys(api):
    made = api("keys.create", {"name": f"of {api.language}", "permissions": ["read"]})
    key_id = made["key_id"]
    assert api("users.list", {"limit": 1}, key=made["api_key"])["total"] > 120
    assert key_id in [row["key_id"] for row in api("keys.iterate", {"limit": 2})]
    assert api("keys.list", {})["page"] == 1
    assert api("keys.get", key_id)["permissions"] == ["read"]
    assert api("keys.delete", key_id) is None
    refused("Unauthorized", api, "users.list", {}, key=made["api_key"])


def test_server(api, mail_server, read_key):
    assert api("server.get_info")["hostname"] == f"mail.{mail_server.domain}"
    assert api("server.reload", {"dry_run": True})["warnings"] == []
    refused("Forbidden", api, "server.restart", key=read_key)
    assert "/api/v1/users" in api("server.get_schema")["paths"]


def test_users(api, mail_server):
    name = f"john-{api.language}"
    new = {"username": name, "email": f"{name}@{mail_server.domain}", "password": "correct horse battery", "quota": 5}
    user = api("users.create", {**new, "enabled": False, "groups": ["staff"]})
    assert (user["quota"], user["enabled"], user["groups"]) == (5, False, ["staff"])
    assert api("users.get", user["id"])["email"] == new["email"]
    etag = api.etag
    changed = api("users.update", user["id"], {"quota": 0, "enabled": True, "groups": []}, if_match=etag)
    assert (changed["quota"], changed["enabled"], changed["groups"]) == (0, True, [])
    refused("PreconditionFailed", api, "users.update", user["id"], {"quota": 7}, if_match=etag)
    assert api("users.list", {"search": name})["users"][0]["quota"] == 0
    refused("PreconditionFailed", api, "users.delete", user["id"], if_match=etag)
    assert api("users.delete", user["id"]) is None
    assert [row["id"] for row in api("users.list", {"search": name, "deleted": True})["users"]] == [user["id"]]
    assert api("users.restore", user["id"])["id"] == user["id"]


def test_many_users_at_once(api, mail_server):
    def row(name):
        return {
            "username": f"{name}-{api.language}",
            "email": f"{name}-{api.language}@{mail_server.domain}",
            "password": "correct horse battery",
        }

    tried = api("users.bulk_create", [row("ann"), row("ann")], {"dry_run": True})
    assert (tried["created"], tried["failed"]) == (1, 1)
    made = api("users.bulk_create", [row("ann"), row("ann")])
    assert [one["status"] for one in made["results"]] == ["created", "failed"]
    table = "\n".join(["username,email,password", ",".join(row("ann").values()), ",".join(row("amy").values()), ""])
    made = api("users.import_csv", table)
    assert [one["status"] for one in made["results"]] == ["failed", "created"]


def test_domains(api):
    domain = api("domains.create", {"domain": f"{api.language}.example", "max_users": 5})
    assert api("domains.get", domain["id"])["max_users"] == 5
    etag = api.etag
    assert api("domains.update", domain["id"], {"max_users": 0}, if_match=etag)["max_users"] == 0
    refused("PreconditionFailed", api, "domains.update", domain["id"], {"max_users": 7}, if_match=etag)
    assert domain["id"] in [row["id"] for row in api("domains.iterate", {"limit": 1})]
    assert api("domains.delete", domain["id"]) is None
    found = api("domains.list", {"search": f"{api.language}.example", "deleted": True})["domains"]
    assert domain["id"] in [row["id"] for row in found]
    assert api("domains.restore", domain["id"])["id"] == domain["id"]


def test_aliases(api, mail_server):
    address = f"sales-{api.language}@{mail_server.domain}"
    alias = api("aliases.create", {"address": address, "targets": mail_server.people[:2]})
    assert api("aliases.get", alias["id"])["targets"] == mail_server.people[:2]
    assert api("aliases.update", alias["id"], {"targets": mail_server.people[:1], "enabled": False})["enabled"] is False
    assert [row["address"] for row in api("aliases.iterate", {"search": address})] == [address]
    assert api("aliases.list", {"search": address})["total"] == 1
    assert api("aliases.delete", alias["id"]) is None
    refused("NotFound", api, "aliases.get", alias["id"])


def test_groups(api):
    group = api("groups.create", {"name": f"crew {api.language}"})
    assert api("groups.get", group["id"])["members"] == 0
    assert api("groups.update", group["id"], {"name": f"team {api.language}"})["name"] == f"team {api.language}"
    assert group["id"] in [row["id"] for row in api("groups.iterate", {"limit": 1})]
    assert api("groups.list", {})["page"] == 1
    assert api("groups.delete", group["id"]) is None


def submit(server, recipient):
    """Send a message that cannot leave now: there is no DNS."""
    sender = server.people[0]
    content = b"From: <%b>\r\nSubject: hello\r\n\r\nhello\r\n" % sender.encode()
    with Smtp(server.ports["submissions"], tls=True) as smtp:
        smtp.login(sender, "correct horse battery")
        smtp.envelope(sender, recipient)
        assert smtp.data(content).startswith(b"250")


def waiting(api, recipient):
    """The message to this address, once it has been tried."""

    def tried():
        found = api("queue.list_messages", {"recipient": recipient})["messages"]
        return found and found[0]["state"] == "deferred" and found[0]["id"]

    return until(tried, 60, "the message was not deferred")


def test_queue(api, mail_server):
    recipient = f"{api.language}@remote{api.number}.test"  # one that is away has one attempt for all of its mail
    submit(mail_server, recipient)
    message = waiting(api, recipient)
    assert api("queue.get_status")["total_messages"] >= 1
    details = api("queue.get_message", message)
    assert (details["recipients"][0]["recipient"], details["attempts"][0]["number"]) == (recipient, 1)
    assert message in [row["id"] for row in api("queue.iterate_messages", {"sender": mail_server.people[0]})]
    assert api("queue.hold_message", message)["state"] == "held"
    assert api("queue.release_message", message)["id"] == message
    until(lambda: api("queue.get_message", message)["state"] == "deferred", 60)
    assert api("queue.retry_message", message)["id"] == message
    until(lambda: len(api("queue.get_message", message)["attempts"]) >= 2, 60)
    waiting(api, recipient)
    assert api("queue.retry", {"message_ids": [message], "dry_run": True})["retried"] == 1
    purge = api("queue.delete_message", message)["purge_id"]
    refused("NotFound", api, "queue.get_message", message)
    assert purge in [row["purge_id"] for row in api("queue.list_purges", {})["purges"]]
    assert api("queue.undo_purge", purge)["restored"] == 1
    waiting(api, recipient)
    assert api("queue.purge", "retry", {"dry_run": True})["deleted"] >= 1
    purge = api("queue.purge", "retry")["purge_id"]
    assert purge in [row["purge_id"] for row in api("queue.iterate_purges", {"limit": 1})]
    assert api("queue.list_messages", {"recipient": recipient})["messages"] == []


def test_messages(api, mail_server):
    recipient = f"{api.language}@log{api.number}.test"
    submit(mail_server, recipient)
    message = waiting(api, recipient)
    search = {"recipient": recipient, "since": "2024-01-01T00:00:00Z", "direction": "outbound"}
    assert [row["id"] for row in api("messages.search", search)["messages"]] == [message]
    assert [row["id"] for row in api("messages.iterate", search)] == [message]
    assert [row["recipient"] for row in api("messages.get", message)["recipients"]] == [recipient]
    kinds = [event["kind"] for event in api("messages.list_events", message, {})["events"]]
    assert kinds[0] == "received"
    assert kinds == [event["kind"] for event in api("messages.iterate_events", message, {"limit": 1})]


def test_sending(api, mail_server):
    sender, friend = mail_server.people[:2]
    message = {"from": sender, "to": [friend], "subject": f"by {api.language}", "text": "hello"}
    sent = api("messages.send", message)
    assert sent["recipients"] == [friend]
    (found,) = [row for row in api("messages.search", {"recipient": friend})["messages"] if row["id"] == sent["id"]]
    assert (found["subject"], found["outcome"]) == (f"by {api.language}", "delivered")
    refused("InvalidRequest", api, "messages.send", {**message, "from": "nobody@elsewhere.example"})


def test_webhooks(api):
    about = {"url": f"https://{api.language}.example.com/mail", "events": ["bounced"], "description": api.language}
    made = api("webhooks.create", about)
    webhook = made["id"]
    assert made["secret"].startswith("whsec_")
    assert webhook in [row["id"] for row in api("webhooks.list", {})["webhooks"]]
    assert webhook in [row["id"] for row in api("webhooks.iterate", {"limit": 1})]
    assert api("webhooks.update", webhook, {"events": ["delivered"]})["events"] == ["delivered"]
    assert api("webhooks.rotate_secret", webhook)["secret"] != made["secret"]
    assert api("webhooks.test", webhook)["event"] == "test"
    assert [row["event"] for row in api("webhooks.list_deliveries", webhook, {"state": "waiting"})["deliveries"]] == [
        "test"
    ]
    assert [row["event"] for row in api("webhooks.iterate_deliveries", webhook, {"limit": 1})] == ["test"]
    assert isinstance(api("webhooks.replay", webhook, {"since": "2024-01-15T00:00:00Z"})["replaying"], bool)
    assert api("webhooks.get", webhook)["url"] == about["url"]
    assert api("webhooks.delete", webhook) is None
    refused("NotFound", api, "webhooks.get", webhook)


def test_metrics(api):
    system = api("metrics.get_system_metrics", {"explain": True})
    assert system["memory_total"] > 0
    assert system["explain"]
    until(lambda: api("metrics.get_application_metrics", {})["total_requests"], 60)
    assert "\nstalwart_memory_usage_bytes " in api("metrics.get_prometheus_metrics")
    name = f"walk_{api.number}"
    sample = {"name": name, "type": "counter", "value": 2, "labels": {"language": api.language}}
    assert api("metrics.set_custom_metric", sample)["value"] == 2
    api("metrics.set_custom_metric", sample)
    (series,) = api("metrics.get_custom_metric", name)["series"]
    assert (series["value"], series["labels"]) == (4, {"language": api.language})
    assert name in [row["name"] for row in api("metrics.iterate_custom_metrics", {"limit": 1})]
    assert api("metrics.list_custom_metrics", {})["total"] >= 1
    refused("Conflict", api, "metrics.set_custom_metric", {**sample, "type": "gauge"})
    assert api("metrics.delete_custom_metric", name) is None
    refused("NotFound", api, "metrics.get_custom_metric", name)


def test_security(api):
    assert api("security.get_overview", {})["threat_level"] in {"low", "medium", "high", "critical"}
    checks = api("security.list_checks", {})["checks"]
    assert [row["id"] for row in api("security.iterate_checks", {"limit": 3})] == [row["id"] for row in checks]
    network = f"2001:db8:{api.number}::/48"
    assert api("security.block_ip", {"ip_address": network, "reason": "walk", "duration": 60})["permanent"] is False
    assert network in [row["ip_address"] for row in api("security.list_blocked_ips", {})["blocked_ips"]]
    assert network in [row["ip_address"] for row in api("security.iterate_blocked_ips", {"limit": 1})]
    assert api("security.get_blocked_ip", network)["reason"] == "walk"
    assert api("security.unblock_ip", network) is None
    refused("NotFound", api, "security.unblock_ip", network)
    assert api("security.allow_ip", {"ip_address": network, "reason": "walk"})["ip_address"] == network
    assert network in [row["ip_address"] for row in api("security.list_allowed_ips", {})["allowed_ips"]]
    assert network in [row["ip_address"] for row in api("security.iterate_allowed_ips", {"limit": 1})]
    assert api("security.get_allowed_ip", network)["reason"] == "walk"
    assert api("security.disallow_ip", network) is None


def test_the_audit_log_and_the_rate_limits(api):
    for name in ("one", "two"):
        api("keys.create", {"name": name, "permissions": ["read"]})
    logs = api("security.list_audit_logs", {"event_type": "administrative", "limit": 5})["logs"]
    assert {row["event_type"] for row in logs} == {"administrative"}
    rows = api("security.iterate_audit_logs", {"action": "api_key_created", "limit": 1})
    assert len(rows) >= 2
    assert {row["action"] for row in rows} == {"api_key_created"}
    limits = api("security.get_rate_limits")
    assert api("security.set_rate_limits", {"per_ip": limits["per_ip"]})["per_ip"] == limits["per_ip"]


def test_a_call_beyond_the_rate_limit_waits_until_it_may(api, mail_server):
    before = api("security.get_rate_limits")["per_ip"]
    api("security.set_rate_limits", {"per_ip": {"max_requests": 10, "window_seconds": 2}})
    try:
        with httpx.Client(base_url=mail_server.url, headers={"Authorization": f"Bearer {mail_server.key}"}) as raw:
            until(lambda: raw.get("/api/v1/server/info").status_code == 429, 60, "no limit was in force")
            assert int(raw.get("/api/v1/server/info").headers["Retry-After"]) >= 1
        assert api("server.get_info")["hostname"] == f"mail.{mail_server.domain}"
    finally:
        api("security.set_rate_limits", {"per_ip": before})


def test_performance(api):
    assert api("performance.get_stats", {})["connection_pool"]["total_connections"] >= 0
    assert isinstance(api("performance.get_recommendations")["recommendations"], list)
    size = [{"type": "connection_pool_size", "value": 30 + api.number}]
    assert api("performance.optimize", size, {"dry_run": True})["rejected"] == []
    (applied,) = api("performance.optimize", size)["applied"]
    assert api("performance.list_optimizations", {})["optimizations"][0]["id"] == applied["id"]
    assert applied["id"] in [row["id"] for row in api("performance.iterate_optimizations", {"limit": 1})]
    assert api("performance.revert_optimization", applied["id"])["reverted_at"]


def test_health(api):
    assert api("health.get_status")["status"] in {"healthy", "degraded"}
    assert "smtp" in api("health.get_detailed")["checks"]
    assert api("health.check", "database")["status"] == "healthy"
    refused("NotFound", api, "health.check", "nothing")
    assert api("health.get_readiness")["services"]["database"] is True


def test_refusals_have_their_types_and_say_what_is_wrong(api, mail_server, read_key):
    user = {"username": "x", "email": "nobody", "password": "correct horse battery"}
    taken = {**user, "username": f"y-{api.language}", "email": mail_server.people[0]}
    for kind, code, call in [
        ("InvalidRequest", "INVALID_REQUEST", lambda: api("users.create", user)),
        ("Unauthorized", "UNAUTHORIZED", lambda: api("users.list", {}, key="sk_live_wrong")),
        ("Forbidden", "FORBIDDEN", lambda: api("users.create", user, key=read_key)),
        ("NotFound", "NOT_FOUND", lambda: api("users.get", "user_999999")),
        ("Conflict", "CONFLICT", lambda: api("users.create", taken)),
    ]:
        with pytest.raises(RefusedError) as caught:
            call()
        assert (caught.value.kind, caught.value.code) == (kind, code)
        assert caught.value.request_id.startswith("req_")
        assert caught.value.message
    with pytest.raises(RefusedError) as caught:
        api("users.create", user, request_id=f"mine-{api.language}", language="zh-Hans")
    assert set(caught.value.fields) == {"email"}
    assert caught.value.request_id == f"mine-{api.language}"
    assert not caught.value.message.isascii()


def test_a_walk_sees_everybody_once_over_all_pages(api, mail_server):
    found = [row["email"] for row in api("users.iterate", {"limit": 25})]
    assert len(found) == len(set(found)) == api("users.list", {"limit": 1})["total"] > 120
    assert set(mail_server.people) < set(found)
