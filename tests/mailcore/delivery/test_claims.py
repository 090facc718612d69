from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailcore.delivery import claims
from mailcore.delivery.claims import (
    LEASE,
    PROBE_PATIENCE,
    any_due,
    claim,
    end_probe,
    give_back,
    mend,
    renew,
    reopen,
    resume_paused,
    set_aside,
    shut,
    take_back_from_the_dead,
    unpark_strays,
)
from mailcore.delivery.jobs import Nexthop
from mailcore.smtp.client import Credentials, Tls
from mailqueue import interventions
from mailqueue.counts import counts
from mailqueue.models import Parked, QueueDestination, QueuedMessage, QueueEntry, Route

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


def test_those_come_first_whose_turn_is_first_and_no_more_than_wanted(queue, now):
    for number in range(3):
        queue(f"p{number}@a.test")
    QueueEntry.objects.filter(recipient="p2@a.test").update(turn=1)
    assert claimed(claim("one", now, 1)) == ["p2@a.test"]
    assert len(claimed(claim("one", now, 1))) == 1


def test_a_mailing_does_not_go_before_a_single_message(queue, now):
    queue(*(f"p{number}@a{number}.test" for number in range(300)), sender="shop@example.org")
    queue("bob@b.test", sender="me@example.com")
    then = now + timedelta(seconds=1)
    assert "bob@b.test" in claimed(claim("one", then, 60))
    # There is room: the rest goes although its turn is later, but not all of the room.
    assert len(claimed(claim("one", then, 200, ahead=150))) == 150
    assert all(job.ahead for job in claim("one", then, 10))


def test_mail_of_one_sender_in_many_messages_is_a_mailing_too(queue, now):
    for number in range(100):
        queue(f"p{number}@a{number}.test", sender="shop@example.org")
    for sender in ("me@example.com", "you@example.net"):
        queue("bob@b.test", sender=sender)
    assert claimed(claim("one", now + timedelta(seconds=1), 50)).count("bob@b.test") == 2


def test_notices_wait_for_nobody(queue, now):
    for number in range(100):
        queue(f"p{number}@a{number}.test", sender="shop@example.org")
    queue("bob@b.test", sender="")
    assert "bob@b.test" in claimed(claim("one", now + timedelta(seconds=1), 50))


def test_what_is_more_than_a_destination_has_in_hand_is_parked_and_comes_when_there_is_room(queue, now):
    queue(*(f"p{number}@a.test" for number in range(150)))
    queue("bob@b.test")
    first = claimed(claim("one", now, 1000))
    assert len(first) == 101
    assert "bob@b.test" in first
    assert QueueEntry.objects.filter(parked__gt=0, destination="a.test").count() == 50
    assert not any_due(now, {"a.test": 100, "b.test": 1})
    assert claim("one", now, 1000, {"a.test": 100, "b.test": 1}) == []
    assert any_due(now, {"a.test": 80})
    assert len(claimed(claim("one", now, 1000, {"a.test": 80}))) == 20
    assert len(claimed(claim("one", now, 1000))) == 30
    claim("one", now, 1000)
    assert not any_due(now)


def test_of_a_destination_that_is_busy_the_single_message_comes_first_too(queue, now):
    queue(*(f"p{number}@a.test" for number in range(300)), sender="shop@example.org")
    claim("one", now, 1000)
    queue("bob@a.test", sender="me@example.com")
    then = now + timedelta(seconds=1)
    claim("one", then, 1000, {"a.test": 100})  # parks it, too
    assert "bob@a.test" in claimed(claim("one", then, 1000, {"a.test": 70}))


def test_one_that_is_away_gets_one_probe_at_a_time(queue, now):
    for number in range(5):
        queue(f"p{number}@a.test")
    (job, *others) = claim("one", now, 10)
    shut("one", [entry.id for each in others for entry in each.entries], ["a.test"], "421 Away", now)
    assert claim("one", now, 10) == []
    assert not any_due(now)
    then = QueueDestination.objects.get().next_attempt_at
    (probe,) = claim("one", then, 10)
    assert probe.probe
    assert claim("one", then, 10) == []
    # Found out twice at once, by two connections: one failure.
    assert shut("one", [], ["a.test"], "421 Away", then) == 1
    assert shut("one", [], ["a.test"], "421 Away", then) == 0
    assert QueueDestination.objects.get().failures == 2
    assert QueueDestination.objects.get().next_attempt_at > then + timedelta(seconds=500)
    reopen(["a.test"], then)
    assert len(claimed(claim("one", then, 10))) == 4
    assert job.probe is False


def test_who_waits_for_one_that_is_away_is_deferred_and_says_why(queue, now):
    one, two = queue("bob@a.test"), queue("amy@a.test")
    claim("one", now, 1)
    shut("one", [], ["a.test"], "4.4.1 cannot connect", now)
    claim("one", now, 10)
    entry = QueueEntry.objects.get(parked__gt=0)
    assert entry.message_id == max(one, two)
    assert entry.last_reply.startswith("a.test has been away since ")
    assert entry.last_reply.endswith("4.4.1 cannot connect")
    assert entry.next_attempt_at == QueueDestination.objects.get().next_attempt_at
    message = QueuedMessage.objects.get(pk=entry.message_id)
    assert (message.lane, message.fresh, message.deferred) == ("retry", False, True)
    number = counts()
    assert (number["outgoing"], number["retry"], number["deferred"]) == (1, 1, 1)


def test_what_somebody_else_has_leased_since_is_left_to_them(queue, now):
    queue("bob@a.test")
    (job,) = claim("one", now, 10)
    then = now + LEASE + timedelta(seconds=1)
    claim("two", then, 10)
    shut("one", [entry.id for entry in job.entries], ["a.test"], "421 Away", then)
    entry = QueueEntry.objects.get()
    assert (entry.lease_owner, entry.parked) == ("two", Parked.NO)


def test_two_that_look_at_once_make_one_probe(queue, now):
    queue("bob@a.test", "amy@a.test")
    claim("one", now, 1)
    shut("one", [], ["a.test"], "421 Away", now)
    claim("one", now, 10)
    then = QueueDestination.objects.get().next_attempt_at
    assert claims._take_probe("a.test", then)
    assert not claims._take_probe("a.test", then)
    assert claim("two", then, 10) == []
    end_probe(["a.test"])
    assert [job.probe for job in claim("two", then, 10)] == [True]


def test_what_waits_because_there_is_enough_in_hand_is_not_deferred_and_what_is_put_off_is_until_it_is_its_turn(
    queue, now, monkeypatch
):
    monkeypatch.setattr(claims, "IN_HAND_A_DESTINATION", 1)
    queue("bob@a.test")
    waits = queue("amy@a.test")
    claim("one", now, 10)
    standing = QueuedMessage.objects.values_list("lane", "fresh", "deferred")
    QueuedMessage.objects.exclude(pk=waits).delete()
    assert QueueEntry.objects.get(message=waits).parked == Parked.BUSY
    assert standing.get(pk=waits) == ("outgoing", True, False)
    shut("one", [], ["a.test"], "421 Away", now)
    QueueEntry.objects.update(parked=Parked.NO)
    claim("one", now, 10)
    assert QueueEntry.objects.get(message=waits).parked == Parked.PUT_OFF
    assert standing.get(pk=waits) == ("retry", False, True)
    assert len(claim("one", QueueDestination.objects.get().next_attempt_at, 10)) == 1
    assert standing.get(pk=waits) == ("outgoing", True, False)


def test_no_more_is_taken_ahead_of_its_turn_for_what_has_to_be_parked(queue, now, monkeypatch):
    monkeypatch.setattr(claims, "IN_HAND_A_DESTINATION", 4)
    for number in range(40):
        queue(*(f"p{number}@a{n}.test" for n in range(10)), sender="shop@example.org")
    QueueEntry.objects.update(turn=claims.moment(now + timedelta(hours=1)))
    jobs = claim("one", now, 200, ahead=30)
    assert all(job.ahead for job in jobs)
    assert len(claimed(jobs)) <= 30


def test_a_probe_that_nobody_hears_of_again_is_made_again(queue, now):
    queue("bob@a.test", "amy@a.test")
    (job,) = claim("one", now, 10)
    shut("one", [entry.id for entry in job.entries], ["a.test"], "421 Away", now)
    then = QueueDestination.objects.get().next_attempt_at
    assert claim("killed", then, 10)
    assert claim("two", then + LEASE + timedelta(seconds=1), 10) == []
    assert claim("two", then + PROBE_PATIENCE + timedelta(seconds=1), 10)


def test_one_that_is_paused_gets_nothing_until_the_pause_is_over(queue, now):
    QueueDestination.objects.create(name="a.test", paused=True, paused_until=now + timedelta(hours=1))
    queue("bob@a.test", "amy@b.test")
    assert claimed(claim("one", now, 10)) == ["amy@b.test"]
    assert claim("one", now, 10) == []
    assert QueueDestination.objects.count() == 1
    assert resume_paused(now) == 0
    later = now + timedelta(hours=1)
    assert resume_paused(later) == 1
    assert "bob@a.test" in claimed(claim("one", later, 10))


def test_what_waits_for_a_destination_that_nobody_knows_of_is_let_go(queue, now):
    queue("bob@a.test")
    QueueEntry.objects.update(parked=Parked.PUT_OFF)
    assert claim("one", now, 10) == []
    assert unpark_strays(now) == 1
    assert claimed(claim("one", now, 10)) == ["bob@a.test"]


def test_held_and_purged_mail_waits_for_no_destination_when_it_is_released(queue, now):
    queue("bob@a.test")
    QueueEntry.objects.update(parked=Parked.PUT_OFF)
    interventions.hold(QueueEntry.objects.all(), now, "me")
    interventions.release(QueueEntry.objects.all(), now, "me")
    assert claimed(claim("one", now, 10)) == ["bob@a.test"]


def test_try_now_looks_whether_one_that_is_away_is_back(queue, now):
    queue("bob@a.test", "amy@a.test")
    (job,) = claim("one", now, 10)
    shut("one", [entry.id for entry in job.entries], ["a.test"], "421 Away", now)
    assert interventions.retry(QueueEntry.objects.all(), now, "me") == 2
    assert [job.probe for job in claim("one", now + timedelta(seconds=1), 10)] == [True]


def test_what_is_released_looks_whether_one_that_is_away_is_back(queue, now):
    queue("bob@a.test")
    (job,) = claim("one", now, 10)
    shut("one", [entry.id for entry in job.entries], ["a.test"], "421 Away", now)
    interventions.hold(QueueEntry.objects.all(), now, "me")
    interventions.release(QueueEntry.objects.all(), now, "me")
    then = now + timedelta(seconds=1)
    claim("one", then, 10)  # it is parked, if anything
    assert interventions.retry(QueueEntry.objects.all(), then, "me") <= 1
    assert QueueEntry.objects.get().attempts == 0
    assert [job.probe for job in claim("one", then, 10)] == [True] or QueueEntry.objects.exclude(lease_owner="")


def test_mail_for_later_that_is_released_waits_for_its_time_and_tried_now_does_not(queue, now):
    number = queue("bob@a.test")
    later = now + timedelta(hours=1)
    QueuedMessage.objects.update(release_at=later)
    QueueEntry.objects.update(next_attempt_at=later)
    interventions.hold(QueueEntry.objects.all(), now, "me")
    interventions.release(QueueEntry.objects.all(), now, "me")
    entry = QueueEntry.objects.get()
    assert (entry.next_attempt_at, entry.turn) == (later, claims.moment(later))
    assert claim("one", now, 10) == []
    assert interventions.retry(QueueEntry.objects.all(), now, "me") == 1
    assert QueuedMessage.objects.get(pk=number).release_at is None
    assert claimed(claim("one", now + timedelta(seconds=1), 10)) == ["bob@a.test"]


def test_looking_costs_the_same_however_much_waits_for_one_destination(queue, now):
    queue(*(f"p{number}@a.test" for number in range(500)))
    claim("one", now, 1000)
    with CaptureQueriesContext(connection) as few:
        claim("one", now, 1000, {"a.test": 100})
    queue(*(f"q{number}@a.test" for number in range(2000)))
    while QueueEntry.objects.due(now).exists():
        claim("one", now, 1000, {"a.test": 100})
    with CaptureQueriesContext(connection) as many:
        claim("one", now, 1000, {"a.test": 100})
    assert len(many) <= len(few)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for query in (q["sql"] for q in many if "queueentry" in q["sql"] and q["sql"].startswith("SELECT")):
                cursor.execute(f"EXPLAIN QUERY PLAN {query}")
                assert not [row for row in cursor.fetchall() if row[3].startswith("SCAN")], query


def test_jobs_have_one_message_one_way_and_a_hundred_recipients_at_most(queue, now, monkeypatch):
    monkeypatch.setattr(claims, "IN_HAND_A_DESTINATION", 1000)
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
