"""Taking responsibility: every recipient in a mailbox or in the queue, in one transaction, each once."""

import dataclasses

import pytest

from a3mailer_site import env
from a3mailer_site.generations import rely_on_poller
from a3mailer_site.ids import new_id
from accounts.addresses import resolve
from accounts.models import Alias, AliasTarget, User
from domains.models import Domain
from mailcore.intake.acceptance import Acceptance, Together
from mailcore.intake.internal import accept_internal
from mailcore.intake.routing import (
    ALIAS_LOOP,
    DISABLED,
    MAILBOX_FULL,
    NO_SUCH_USER,
    RELAYING_DENIED,
    plan,
    plan_now,
    refusal,
    resolve_all,
    resolve_now,
)
from mailcore.message.envelope import Recipient
from mailcore.store.batch import OverQuotaError
from mailcore.store.commit import run
from mailcore.store.models import Message
from mailcore.store.prepared import prepare
from mailqueue.bodies import read_body
from mailqueue.models import Body, MessageEvent, MessageTrace, QueuedMessage, QueueEntry

pytestmark = pytest.mark.django_db(transaction=True)
MAIL = b"Message-ID: <1@example.net>\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture(autouse=True)
def people(make_user):
    make_user("alice@example.com")
    make_user("bob@example.com", quota=1000)
    make_user("gone@example.com", is_active=False)
    domain = Domain.objects.get()
    for address, targets in {
        "team@example.com": ["alice@example.com", "bob@example.com", "carol@elsewhere.example"],
        "round@example.com": ["round@example.com"],
    }.items():
        alias = Alias.objects.create(address=address, domain=domain)
        for target in targets:
            AliasTarget.objects.create(alias=alias, address=target)


def accept(*recipients, content=MAIL, sender="s@example.net"):
    where = plan([Recipient(address) for address in recipients])
    return Acceptance(
        message=new_id(), prepared=prepare(content), plan=where, sender=sender, direction="in", received={"peer": "x"}
    )


@pytest.mark.parametrize(
    ("address", "may_relay", "size", "expected"),
    [
        ("alice@example.com", False, 0, None),
        ("ALICE+tag@Example.COM", False, 0, None),
        ("nobody@example.com", False, 0, NO_SUCH_USER),
        ("gone@example.com", False, 0, DISABLED),
        ("round@example.com", False, 0, ALIAS_LOOP),
        ("x@elsewhere.example", False, 0, RELAYING_DENIED),
        ("x@elsewhere.example", True, 0, None),
        ("bob@example.com", False, 999, None),
        ("bob@example.com", False, 1001, MAILBOX_FULL),
        ("team@example.com", False, 5000, None),  # somebody elsewhere has room
    ],
)
def test_who_is_refused_and_how(address, may_relay, size, expected):
    assert refusal(resolve(address), may_relay=may_relay, size=size) == expected


def test_one_transaction_puts_each_recipient_where_it_belongs():
    work = accept("alice@example.com", "team@example.com", "dave@elsewhere.example")
    run(work)
    assert sorted(Message.objects.values_list("mailbox__owner__username", flat=True)) == [
        "alice@example.com",
        "bob@example.com",
    ]
    assert sorted(QueueEntry.objects.values_list("recipient", "destination")) == [
        ("carol@elsewhere.example", "elsewhere.example"),
        ("dave@elsewhere.example", "elsewhere.example"),
    ]
    assert Body.objects.count() == QueuedMessage.objects.count() == 1
    assert read_body(Body.objects.get().pk) == MAIL
    traces = dict(MessageTrace.objects.values_list("recipient", "status"))
    assert traces == {
        "alice@example.com": "delivered",
        "bob@example.com": "delivered",
        "team@example.com": "expanded",
        "carol@elsewhere.example": "queued",
        "dave@elsewhere.example": "queued",
    }
    assert set(MessageTrace.objects.values_list("message", "message_id", "subject")) == {
        (work.message, "<1@example.net>", "hello")
    }
    kinds = sorted(MessageEvent.objects.values_list("kind", flat=True))
    assert kinds == ["delivered", "delivered", "queued", "queued", "received"]
    assert User.objects.get(username="alice@example.com").used_quota == len(MAIL)


def test_a_full_mailbox_refuses_alone_and_takes_in_company():
    User.objects.filter(username="bob@example.com").update(used_quota=990)
    with pytest.raises(OverQuotaError):
        run(accept("bob@example.com"))
    assert not Body.objects.exists()
    run(accept("bob@example.com", "alice@example.com"))
    assert Message.objects.count() == 2


def test_planning_without_the_database_agrees_once_everything_is_known(monkeypatch):
    recipients = [Recipient("alice@example.com"), Recipient("x@elsewhere.example")]
    assert plan_now(recipients) is None
    rely_on_poller()
    slow, fast = plan(recipients), plan_now(recipients)
    assert fast is not None
    assert [(d.user_id, d.mailbox_id) for d in fast.deliveries] == [(d.user_id, d.mailbox_id) for d in slow.deliveries]
    assert [r.recipient for r in fast.relays] == ["x@elsewhere.example"]


def test_works_together_happen_all_or_not_at_all():
    notice = accept_internal("alice@example.com", MAIL, about=1)
    User.objects.filter(username="bob@example.com").update(used_quota=999)
    with pytest.raises(OverQuotaError):
        run(Together([notice, accept("bob@example.com")]))
    assert not Message.objects.exists()
    run(Together([notice, accept("alice@example.com")]))
    assert Message.objects.count() == 2


def test_a_notice_to_nobody_is_dropped():
    assert accept_internal("nobody@example.com", MAIL, about=1) is None


# -- All mail into one mailbox ----------------------------------------------------------------------------------------


@pytest.fixture
def caught(monkeypatch):
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), catch_all="alice@example.com"))


EVERYBODY = ["x@elsewhere.example", "nobody@example.com", "gone@example.com", "bob@example.com", "team@example.com"]


@pytest.mark.parametrize("ask", [resolve_all, resolve_now])
def test_with_a_catch_all_every_address_leads_to_one_mailbox(caught, ask):
    rely_on_poller()
    resolve("alice@example.com")
    assert {end.users[0].address for end in ask(EVERYBODY).values()} == {"alice@example.com"}
    assert {refusal(end, may_relay=False, size=0) for end in ask(EVERYBODY).values()} == {None}


def test_with_a_catch_all_a_message_is_there_once_and_each_recipient_has_a_trace(caught):
    run(accept(*EVERYBODY))
    assert Message.objects.count() == 1
    assert not QueueEntry.objects.exists()
    assert sorted(MessageTrace.objects.values_list("recipient", flat=True)) == sorted(EVERYBODY)
