"""Webhooks over the API: what is refused, who sees which, and that a secret is shown once."""

import dataclasses
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site import env
from accounts.models import ApiKey
from domains.models import Domain
from mailqueue.models import Webhook, WebhookDelivery
from mailqueue.webhook_viewsets import MOST
from queued import accept
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
HOOKS = "/api/v1/webhooks"
NEW = {"url": "https://hook.example/mail", "events": ["bounced"]}


@pytest.fixture
def domain_here(domain):
    Domain.objects.create(name="other.example")
    return domain


def caller(*permissions, **bounds):
    _key, secret = ApiKey.issue("test", list(permissions), **bounds)
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", REMOTE_ADDR="127.0.0.1")


@pytest.fixture
def api():
    return caller("read", "write")


def made(api, **fields):
    answer = api.post(HOOKS, {**NEW, **fields}, format="json")
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_the_secret_is_shown_when_it_is_made_and_never_again(api):
    new = made(api)
    assert new["secret"].startswith("whsec_")
    place = f"{HOOKS}/{new['id']}"
    for text in (api.get(place).content, api.get(HOOKS).content):
        assert b"secret" not in text
    assert new["secret"].encode() not in repr(list(AuditEntry.objects.values())).encode()
    again = api.post(f"{place}/rotate-secret").json()
    assert again["secret"] not in {new["secret"], ""}
    assert [entry.action for entry in AuditEntry.objects.order_by("pk")][-2:] == [
        "webhook_created",
        "webhook_secret_rotated",
    ]


@pytest.mark.parametrize(
    ("fields", "member"),
    [
        ({"url": "http://hook.example/"}, "url"),
        ({"url": "ftp://hook.example/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://10.1.2.3/"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://user:word@hook.example/"}, "url"),
        ({"url": "https://hook.example/#x"}, "url"),
        ({"url": "https:///x"}, "url"),
        ({"url": "https://hook.example:0/"}, "url"),
        ({"url": "https://hook.example:99999/"}, "url"),
        ({"url": "https://hook.example/\u00e4"}, "url"),
        ({"url": "https://hook.example/a b"}, "url"),
        ({"url": "https://hook.example/\r\nX: y"}, "url"),
        ({"url": "https://" + "x" * 500}, "url"),
        ({"url": 7}, "url"),
        ({"events": []}, "events"),
        ({"events": ["opened"]}, "events.0"),
        ({"events": ["test"]}, "events.0"),
        ({"events": "bounced"}, "events"),
        ({"domains": []}, "domains"),
        ({"domains": ["nobody.example"]}, "domains"),
        ({"domains": ["no domain"]}, "domains"),
        ({"enabled": 1}, "enabled"),
        ({"description": "two\nlines"}, "description"),
    ],
)
def test_what_is_no_webhook_is_refused_by_name(api, fields, member):
    answer = api.post(HOOKS, {**NEW, **fields}, format="json")
    assert answer.status_code == 400
    assert member in answer.json()["error"]["fields"]
    assert Webhook.objects.count() == 0


def test_an_address_of_ones_own_must_be_allowed_first(api, monkeypatch):
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), webhook_targets="10.0.0.0/8"))
    assert made(api, url="http://10.1.2.3:8000/x")["url"] == "http://10.1.2.3:8000/x"
    assert api.post(HOOKS, {**NEW, "url": "http://192.168.1.1/"}, format="json").status_code == 400


def test_a_change_changes_what_it_names_and_has_it_tried_at_once(api):
    new = made(api, description="Orders")
    Webhook.objects.update(enabled=False, failures=9, failing_since=timezone.now(), not_before=timezone.now())
    changed = api.patch(f"{HOOKS}/{new['id']}", {"enabled": True}, format="json").json()
    assert (changed["enabled"], changed["description"], changed["failing_since"]) == (True, "Orders", None)
    webhook = Webhook.objects.get()
    assert (webhook.failures, webhook.not_before) == (0, None)
    assert api.delete(f"{HOOKS}/{new['id']}").status_code == 204
    assert api.get(f"{HOOKS}/{new['id']}").status_code == 404


def test_there_cannot_be_any_number_of_them(api):
    Webhook.objects.bulk_create(Webhook(url="https://x.example/", events=["bounced"]) for _ in range(MOST))
    assert api.post(HOOKS, NEW, format="json").status_code == 409


def test_what_waits_and_what_was_given_up_is_listed(api):
    new = made(api, events=["accepted"])
    accept("bob@far.test", received={"login": "me@example.com"})
    WebhookDelivery.objects.create(
        webhook=Webhook.objects.get(), message=0, at=timezone.now(), kind="test", failed_at=timezone.now()
    )
    place = f"{HOOKS}/{new['id']}"
    assert api.get(place).json()["waiting"] == 1
    assert api.get(HOOKS).json()["webhooks"][0]["waiting"] == 1
    waits, failed = (api.get(f"{place}/deliveries?state={state}").json() for state in ("waiting", "failed"))
    assert [row["event"] for row in waits["deliveries"]] == ["accepted"]
    assert [(row["event"], row["queue_id"], row["next_attempt_at"]) for row in failed["deliveries"]] == [
        ("test", None, None)
    ]
    assert api.get(f"{place}/deliveries").json()["total"] == 2
    assert api.get(f"{place}/deliveries?state=told").status_code == 400


def test_test_and_replay(api):
    new = made(api, events=["accepted"])
    place = f"{HOOKS}/{new['id']}"
    assert api.post(f"{place}/test").status_code == 202
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    assert api.post(f"{place}/replay", {"since": since}, format="json").json() == {"replaying": False}
    accept("bob@far.test", received={"login": "me@example.com"})
    assert api.post(f"{place}/replay", {"since": since}, format="json").json() == {"replaying": True}
    assert api.post(f"{place}/replay", {"since": since}, format="json").status_code == 409  # one at a time
    backwards = {"since": since, "until": "2024-01-01T00:00:00Z"}
    assert api.post(f"{place}/replay", backwards, format="json").status_code == 400
    Webhook.objects.update(enabled=False, replay_after=None)
    assert api.post(f"{place}/test").status_code == 409
    assert api.post(f"{place}/replay", {"since": since}, format="json").status_code == 409


@pytest.mark.usefixtures("domain_here")
def test_a_key_of_a_domain_has_to_do_with_that_domains_webhooks_only(api):
    everything, others = made(api), made(api, domains=["other.example"])
    own = made(api, domains=["example.com"])
    bound = caller("read", "write", domains=["example.com"])
    assert [row["id"] for row in bound.get(HOOKS).json()["webhooks"]] == [own["id"]]
    for foreign in (everything, others):
        assert bound.get(f"{HOOKS}/{foreign['id']}").status_code == 404
        assert bound.delete(f"{HOOKS}/{foreign['id']}").status_code == 404
        assert bound.post(f"{HOOKS}/{foreign['id']}/rotate-secret").status_code == 404
    assert made(bound)["domains"] == ["example.com"]
    for domains in (None, ["other.example"], ["example.com", "other.example"]):
        answer = bound.post(HOOKS, {**NEW, "domains": domains}, format="json")
        assert answer.status_code == 400, domains
        assert bound.patch(f"{HOOKS}/{own['id']}", {"domains": domains}, format="json").status_code == 400
