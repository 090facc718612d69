"""Telling webhooks over real sockets: signatures, answers of every kind, and who is not spoken to at all."""

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookreceiver import Receiver, verified
from mailcore.delivery.signature import signed
from mailcore.delivery.webhooks import Teller, _answer
from mailqueue import webhooks as rules
from mailqueue.models import Webhook, WebhookDelivery
from mailqueue.outbox import Answer

pytestmark = pytest.mark.django_db
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver():
    with Receiver() as found:
        yield found


@pytest.fixture
def hook(receiver, settings_of):
    settings_of(webhook_targets="127.0.0.0/8")
    webhook = Webhook(url=receiver.url, events=["accepted", "deferred", "bounced"])
    webhook.secret = rules.new_secret(webhook, datetime.now(UTC))
    webhook.save()
    return webhook


@pytest.fixture
def teller(turner, doors, resolver):
    teller = Teller(turner.reactor, doors, resolver, "test")
    teller.start()
    yield teller
    turner.run(teller.drain())


def test_the_example_of_the_specification():
    # From the libraries of Standard Webhooks.
    fields = signed([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_another_body_has_another_signature(one, other):
    first, second = (signed([SECRET], "evt_1", 1, body)["webhook-signature"] for body in (one, other))
    assert (first == second) is (one == other)


def test_an_event_is_told_and_signed(turner, teller, hook, receiver, queue):
    number = queue("bob@far.test", received={"login": "me@example.org"})
    turner.until(lambda: receiver.told)
    path, headers, body = receiver.told[0]
    assert path == "/mail?x=1"
    assert headers["content-type"] == "application/json"
    assert verified(hook.secret, headers, body)
    assert not verified(SECRET, headers, body)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    told = json.loads(body)
    assert told["id"] == headers["webhook-id"]
    assert (told["type"], told["data"]["sender"]) == ("message.accepted", "me@example.org")
    assert number
    turner.until(lambda: not WebhookDelivery.objects.exists())
    turner.until(lambda: Webhook.objects.get(pk=hook.pk).last_success_at)


def test_after_a_change_of_secret_both_are_good(turner, teller, hook, receiver, queue):
    new = rules.new_secret(hook, datetime.now(UTC))
    hook.save()
    queue("bob@far.test", received={"login": "me@example.org"})
    turner.until(lambda: receiver.told)
    _path, headers, body = receiver.told[0]
    assert verified(new, headers, body)
    assert verified(hook.secret, headers, body)


def test_many_messages_each_once(turner, teller, hook, receiver, queue):
    numbers = [queue("bob@far.test", received={"login": "me@example.org"}) for _ in range(40)]
    turner.until(lambda: not WebhookDelivery.objects.exists(), 30)
    assert len(receiver.told) == len(numbers)
    assert len({headers["webhook-id"] for _path, headers, _body in receiver.told}) == len(numbers)


def test_nobody_is_told_of_an_address_that_is_not_allowed(turner, teller, hook, receiver, queue, settings_of):
    settings_of(webhook_targets="10.0.0.0/8")
    queue("bob@far.test", received={"login": "me@example.org"})
    turner.until(lambda: Webhook.objects.get(pk=hook.pk).last_error)
    assert receiver.told == []
    assert "not allowed" in Webhook.objects.get(pk=hook.pk).last_error
    assert WebhookDelivery.objects.count() == 1


def test_a_name_that_leads_to_a_private_address_is_not_followed(
    turner, teller, hook, receiver, queue, dns, settings_of
):
    settings_of(webhook_targets="10.0.0.0/8")
    dns.add("hook.test", "A", "127.0.0.1")
    Webhook.objects.update(url=receiver.url.replace("127.0.0.1", "hook.test"))
    queue("bob@far.test", received={"login": "me@example.org"})
    turner.until(lambda: Webhook.objects.get(pk=hook.pk).last_error)
    assert receiver.told == []


def test_a_redirect_is_not_followed(turner, teller, hook, receiver, queue):
    receiver.status, receiver.headers = 302, {"Location": receiver.url + "&again"}
    queue("bob@far.test", received={"login": "me@example.org"})
    turner.until(lambda: WebhookDelivery.objects.filter(attempts=1).exists())
    assert len(receiver.told) == 1
    assert WebhookDelivery.objects.get().last_error == "it answers 302"


def test_one_that_is_down_costs_one_event_and_gets_all_when_it_is_back(
    turner, teller, hook, receiver, queue, monkeypatch
):
    from mailqueue import outbox

    monkeypatch.setattr(outbox, "PAUSES", (1, 1))
    receiver.status = 503
    for _ in range(5):
        queue("bob@far.test", received={"login": "me@example.org"})
    turner.until(lambda: Webhook.objects.get(pk=hook.pk).failures >= 2, 20)
    receiver.status = 200
    turner.until(lambda: not WebhookDelivery.objects.exists(), 20)
    assert Webhook.objects.get(pk=hook.pk).failures == 0


@pytest.mark.parametrize(
    ("status", "retry_after", "answer"),
    [
        (200, "", Answer(1)),
        (204, "", Answer(1)),
        (299, "", Answer(1)),
        (301, "", Answer(1, "it answers 301")),
        (400, "60", Answer(1, "it answers 400")),
        (404, "", Answer(1, "it answers 404")),
        (410, "", Answer(1, "it answers 410", gone=True)),
        (429, "120", Answer(1, "it answers 429", unreachable=True, after=120.0)),
        (429, "99999999999", Answer(1, "it answers 429", unreachable=True, after=3600.0)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", Answer(1, "it answers 503", unreachable=True)),
        (500, "-1", Answer(1, "it answers 500", unreachable=True)),
    ],
)
def test_what_an_answer_means(status, retry_after, answer):
    assert _answer(1, status, retry_after) == answer
