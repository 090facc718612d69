"""Greylisting: a first message waits, the second comes in, and who has shown often that he comes again need not."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from domains import greylisting as policies_module
from domains.models import Domain
from security import greylisting
from security.greylisting import SENDERS, check, network_of, recipient_key, sender_key
from security.models import Greylisted

NET = "192.0.2.0/24"
WAIT = 300
START = datetime(2026, 1, 1, tzinfo=UTC)
TO = "bob@example.com"


@pytest.fixture(autouse=True)
def _nothing_is_remembered():
    greylisting.forget()
    yield
    greylisting.forget()


def at(seconds=0.0, **more):
    return START + timedelta(seconds=seconds, **more)


def ask(when, sender="ann@example.net", recipient=TO, network=NET):
    (wait,) = check(network, sender, [recipient], when, WAIT)
    return wait


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("moments", "waits"),
    [
        ([0], [300]),
        ([0, 1, 100, 299, 299.9], [300, 299, 200, 1, 1]),
        ([0, 300], [300, 0]),
        ([0, 400, 401, 86400], [300, 0, 0, 0]),
        ([0, 2 * 86400 - 1], [300, 0]),
        ([0, 2 * 86400 + 1, 2 * 86400 + 302], [300, 300, 0]),  # it came too late, and begins anew
        ([0, 300, 35 * 86400], [300, 0, 0]),
        ([0, 300, 35 * 86400, 70 * 86400], [300, 0, 0, 0]),  # each message prolongs it
        ([0, 300, 36 * 86400 + 301, 36 * 86400 + 700], [300, 0, 300, 0]),
    ],
)
def test_a_message_waits_once_and_is_remembered(moments, waits):
    assert [ask(at(seconds)) for seconds in moments] == waits


@pytest.mark.django_db
@pytest.mark.parametrize(
    "other",
    [
        {"sender": "eve@example.net"},
        {"sender": ""},
        {"recipient": "carol@example.com"},
        {"network": "198.51.100.0/24"},
        {"network": "2001:db8::/64"},
    ],
)
def test_another_network_sender_or_recipient_waits_for_itself(other):
    ask(at(0))
    assert ask(at(300)) == 0
    assert ask(at(300), **other) == WAIT


@pytest.mark.django_db
def test_several_recipients_are_looked_at_together_and_each_has_its_own_time():
    ask(at(0))
    assert check(NET, "ann@example.net", ["carol@example.com", TO, TO.upper()], at(300), WAIT) == [300, 0, 0]
    assert Greylisted.objects.count() == 2


@pytest.mark.django_db
def test_a_network_that_comes_again_for_several_senders_is_let_in_for_everybody(django_assert_num_queries):
    for number in range(SENDERS - 1):
        ask(at(0), sender=f"{'abcdefgh'[number]}@example.net")
        assert ask(at(300), sender=f"{'abcdefgh'[number]}@example.net") == 0
    for recipient in ("x@example.com", "y@example.com"):  # more recipients are no more senders
        ask(at(0), sender="a@example.net", recipient=recipient)
        ask(at(300), sender="a@example.net", recipient=recipient)
    assert ask(at(300), sender="new@example.net") == WAIT
    assert ask(at(600), sender="new@example.net") == 0
    assert ask(at(601), sender="stranger@example.org", recipient="any@example.com") == 0
    assert greylisting.is_let_in(NET)
    with django_assert_num_queries(0):
        assert ask(at(602), sender="stranger@example.org") == 0
    assert ask(at(602), network="198.51.100.0/24") == WAIT
    # It lasts as long as it sends.
    greylisting.forget()
    assert ask(at(days=35), sender="other@example.org") == 0
    greylisting.forget()
    assert ask(at(days=70), sender="other@example.org") == 0
    greylisting.forget()
    assert ask(at(days=110), sender="other@example.org") == WAIT


@pytest.mark.django_db
def test_most_messages_write_nothing(django_assert_max_num_queries):
    ask(at(0))
    ask(at(300))
    row = Greylisted.objects.get()
    with django_assert_max_num_queries(2):
        assert ask(at(500)) == 0
    assert Greylisted.objects.get().last_at == row.last_at


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64")],
)
def test_a_host_is_known_by_its_network(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("sender", "key"),
    [
        ("Ann@Example.net", "ann@example.net"),
        ("", ""),
        ("bounce-123-ann=example.net@list.example", "bounce-#-ann=example.net@list.example"),
        ("prvs=0123abcdef=ann@example.net", "ann@example.net"),
        ("ann@host1.example.net", "ann@host1.example.net"),
    ],
)
def test_senders_that_change_with_each_message_are_the_same(sender, key):
    assert sender_key(sender) == key


@given(st.text(max_size=600))
def test_keys_fit_into_their_columns(text):
    assert len(sender_key(text)) <= 254
    assert len(recipient_key(text)) <= 254


@pytest.mark.django_db
def test_what_nobody_looks_at_any_more_is_purged():
    now = datetime.now(UTC)
    for number, (first, passed, last) in enumerate([(1, 1, 1), (1, None, 1), (3, None, 3), (40, 40, 37), (40, 40, 35)]):
        days = [None if ago is None else now - timedelta(days=ago) for ago in (first, passed, last)]
        Greylisted.objects.create(
            network=NET, sender=str(number), recipient=TO, first_at=days[0], passed_at=days[1], last_at=days[2]
        )
    said = StringIO()
    call_command("purgegreylist", "--dry-run", stdout=said)
    assert said.getvalue() == "purgegreylist: 2 deleted (dry run)\n"
    call_command("purgegreylist", stdout=said)
    assert sorted(Greylisted.objects.values_list("sender", flat=True)) == ["0", "1", "4"]


@pytest.mark.django_db(transaction=True)
def test_the_policy_of_a_domain_holds_as_soon_as_it_is_changed(domain):
    policies_module.forget()
    assert policies_module.policies() == {domain.name: "off"}
    assert policies_module.policies_now() == {domain.name: "off"}
    domain.greylisting = Domain.Greylisting.ALWAYS
    domain.save()
    assert policies_module.policies() == {domain.name: "always"}
