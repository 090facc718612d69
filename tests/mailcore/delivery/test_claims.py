from datetime import timedelta

import pytest
from django.utils import timezone

from mailcore.delivery import claims
from mailcore.delivery.claims import LEASE, any_due, claim, give_back, mend, renew, set_aside, take_back_from_the_dead
from mailcore.delivery.jobs import Nexthop
from mailcore.smtp.client import Credentials, Tls
from mailqueue.models import QueueEntry, Route

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now() + timedelta(seconds=1)


def claimed(jobs):
    return sorted(entry.recipient for job in jobs for entry in job.entries)


def test_what_is_leased_is_nobody_elses_until_the_lease_runs_out(queue, now):
    queue("bob@a.test")
    assert claimed(claim("one", now, 10)) == ["bob@a.test"]
    assert not any_due(now)
    assert claim("two", now, 10) == []
    assert claim("two", now + LEASE - timedelta(seconds=1), 10) == []
    assert claimed(claim("two", now + LEASE + timedelta(seconds=1), 10)) == ["bob@a.test"]


def test_a_renewed_lease_goes_on(queue, now):
    queue("bob@a.test")
    (job,) = claim("one", now, 10)
    ids = [entry.id for entry in job.entries]
    renew("two", ids, now + 3 * LEASE)
    assert any_due(now + 2 * LEASE)
    renew("one", ids, now + 2 * LEASE)
    assert not any_due(now + 2 * LEASE)


def test_what_is_given_back_is_due_at_once(queue, now):
    queue("bob@a.test", "amy@a.test")
    (job,) = claim("one", now, 10)
    give_back("two", [entry.id for entry in job.entries])
    assert not any_due(now)
    give_back("one", [job.entries[0].id])
    assert claimed(claim("two", now, 10)) == [job.entries[0].recipient]


@pytest.mark.parametrize(
    "fields",
    [{"state": "held"}, {"state": "delivered"}, {"state": "failed"}, {"next_attempt_at": "2999-01-01T00:00Z"}],
)
def test_only_what_waits_and_is_due_is_claimed(queue, now, fields):
    queue("bob@a.test")
    QueueEntry.objects.update(**fields)
    assert not any_due(now)
    assert claim("one", now, 10) == []


def test_those_that_have_waited_longest_come_first_and_no_more_than_wanted(queue, now):
    for number in range(3):
        queue(f"p{number}@a.test")
    QueueEntry.objects.filter(recipient="p2@a.test").update(next_attempt_at=now - timedelta(hours=1))
    assert claimed(claim("one", now, 1)) == ["p2@a.test"]
    assert len(claimed(claim("one", now, 1))) == 1


def test_destinations_to_avoid_are_left(queue, now):
    queue("bob@a.test", "amy@b.test")
    assert not any_due(now, ["a.test", "b.test"])
    assert claimed(claim("one", now, 10, ["a.test"])) == ["amy@b.test"]


def test_jobs_have_one_message_one_way_and_a_hundred_recipients_at_most(queue, now):
    one = queue(*(f"p{number}@a.test" for number in range(101)), "amy@b.test")
    two = queue("bob@a.test")
    found = sorted((job.mail.id, job.nexthop.domain, len(job.entries)) for job in claim("one", now, 200))
    assert found == [(one, "a.test", 1), (one, "a.test", 100), (one, "b.test", 1), (two, "a.test", 1)]


def test_a_route_is_the_nexthop_and_the_smart_host_joins_destinations(queue, now):
    Route.objects.create(domain="a.test", host="host.test", port=2626, tls="required")
    smart = Route(domain="*", host="smart.test", port=587, username="ann")
    smart.password = "s3cret"
    smart.save()
    queue("bob@a.test", "amy@b.test", "tom@c.test")
    jobs = {job.nexthop: claimed([job]) for job in claim("one", now, 10)}
    assert jobs == {
        Nexthop(host="host.test", port=2626, tls=Tls.REQUIRED): ["bob@a.test"],
        Nexthop(host="smart.test", port=587, login=Credentials("ann", "s3cret")): ["amy@b.test", "tom@c.test"],
    }


def test_a_domain_of_ours_is_delivered_here_whatever_the_routes(queue, now, domain):
    Route.objects.create(domain="*", host="smart.test")
    queue("bob@example.com")
    assert claim("one", now, 10)[0].nexthop == Nexthop(local=True)


def test_dead_processes_of_this_machine_lose_their_leases_and_others_keep_them(queue, now):
    machine, pid, began = claims.owner_name().rsplit("/", 2)
    owners = {
        "alive@a.test": f"{machine}/{pid}/{began}",
        "gone@a.test": f"{machine}/99999999/1",
        "replaced@a.test": f"{machine}/{pid}/1",
        "elsewhere@a.test": "another-machine/99999999/1",
    }
    queue(*owners)
    claim("x", now, 10)
    for recipient, owner in owners.items():
        QueueEntry.objects.filter(recipient=recipient).update(lease_owner=owner)
    assert take_back_from_the_dead() == 2
    assert claimed(claim("y", now, 10)) == ["gone@a.test", "replaced@a.test"]


def test_a_clock_that_went_back_stalls_nothing_for_longer_than_one_pause(queue, now, settings_of):
    settings_of(retry_longest=3600)
    queue("bob@a.test", "amy@a.test")
    queue("tom@a.test")
    tomorrow = now + timedelta(days=1)
    QueueEntry.objects.filter(recipient="bob@a.test").update(next_attempt_at=tomorrow)
    QueueEntry.objects.filter(recipient="amy@a.test").update(lease_owner="x", lease_until=tomorrow)
    soon = now + timedelta(minutes=50)
    QueueEntry.objects.filter(recipient="tom@a.test").update(next_attempt_at=soon)
    assert mend(now) == 2
    assert claimed(claim("one", now, 10)) == ["amy@a.test"]
    assert QueueEntry.objects.get(recipient="tom@a.test").next_attempt_at == soon
    assert any_due(now + timedelta(seconds=3600 * 1.1))


def test_what_is_set_aside_is_held(queue, now):
    queue("bob@a.test")
    (job,) = claim("one", now, 10)
    set_aside([entry.id for entry in job.entries], "why")
    entry = QueueEntry.objects.get()
    assert (entry.state, entry.last_reply, entry.lease_owner) == ("held", "why", "")
