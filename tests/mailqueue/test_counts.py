"""How many messages are in the queue: the counters say at every moment what counting the rows would."""

import io
import random
import threading

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mailcore.delivery import claims
from mailcore.delivery.settlement import Settlements, settle_crash
from mailcore.store import commit
from mailqueue import interventions, purging
from mailqueue.counts import check, counts, fold, tallies
from mailqueue.models import MessageEvent, QueuedMessage, QueueEntry, QueuePurge, QueueTally
from queued import accept, attempt, claim, in_the_queue, later, settlement

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().rstrip("\n")


def lanes():
    number = counts()
    assert number == in_the_queue()
    assert number["total"] == number["incoming"] + number["outgoing"] + number["retry"] + number["bounce"]
    return {name: value for name, value in number.items() if value}


def test_nothing_is_in_an_empty_queue():
    assert counts() == dict.fromkeys(
        ("total", "active", "deferred", "bounced", "incoming", "outgoing", "retry", "bounce"), 0
    )


def test_a_message_goes_from_lane_to_lane():
    accept("bob@far.test")
    assert lanes() == {"total": 1, "outgoing": 1}
    jobs = claim()
    assert lanes() == {"total": 1, "outgoing": 1, "active": 1}
    commit.run(Settlements([settlement(job, "deferred", "450 4.2.0 Not yet") for job in jobs]))
    assert lanes() == {"total": 1, "retry": 1, "deferred": 1}
    interventions.hold(QueueEntry.objects.all(), timezone.now(), "me")
    assert lanes() == {"total": 1, "retry": 1, "deferred": 1}
    interventions.release(QueueEntry.objects.all(), timezone.now(), "me")
    attempt("sent", "250 2.0.0 Taken")
    assert lanes() == {}
    assert not QueuedMessage.objects.exists()


def test_a_held_message_that_was_never_tried_waits_for_a_later_attempt():
    accept("bob@far.test")
    interventions.hold(QueueEntry.objects.all(), timezone.now(), "me")
    assert lanes() == {"total": 1, "retry": 1}


def test_a_message_with_a_first_attempt_due_is_outgoing_whatever_else_it_waits_for():
    accept("bob@far.test", "amy@far.test")
    QueueEntry.objects.filter(recipient="amy@far.test").update(next_attempt_at=later())
    attempt()
    assert lanes() == {"total": 1, "outgoing": 1, "deferred": 1}


def test_a_failed_recipient_counts_as_long_as_another_one_keeps_the_message():
    accept("bob@far.test", "amy@far.test")
    QueueEntry.objects.filter(recipient="amy@far.test").update(next_attempt_at=later())
    attempt("failed", "550 5.1.1 Unknown")
    assert lanes() == {"total": 1, "outgoing": 1, "bounced": 1}
    attempt("failed", "550 5.1.1 Unknown", now=later(90000))
    assert lanes() == {}


def test_a_notice_is_in_its_own_lane_and_nowhere_else():
    accept("bob@far.test", sender="")
    assert lanes() == {"total": 1, "bounce": 1}
    attempt()
    assert lanes() == {"total": 1, "bounce": 1, "deferred": 1}


def test_the_notice_about_a_failure_is_counted_in_the_transaction_that_writes_it():
    accept("bob@far.test", sender="me@elsewhere.test")
    QueueEntry.objects.update(notify="FAILURE")
    attempt("failed", "550 5.1.1 Unknown")
    assert lanes() == {"total": 1, "bounce": 1}


def test_what_a_full_mailbox_here_puts_off_is_incoming(make_user):
    accept("bob@example.com", sender="me@elsewhere.test")  # the domain has become ours meanwhile
    make_user("bob@example.com", quota=1)
    attempt()
    assert QueueEntry.objects.get().local
    assert lanes() == {"total": 1, "incoming": 1, "deferred": 1}
    # ... and is not ours any more.
    from a3mailer_site.generations import announce_all
    from accounts.models import User
    from domains.models import Domain

    User.objects.all().delete()
    Domain.objects.all().delete()
    announce_all()
    attempt(now=later())
    assert lanes() == {"total": 1, "retry": 1, "deferred": 1}


def test_what_is_set_aside_is_counted_where_it_stands():
    accept("bob@far.test")
    (job,) = claim()
    claims.set_aside([entry.id for entry in job.entries], "no")
    assert lanes() == {"total": 1, "retry": 1}


def test_a_crash_of_ours_defers_and_then_holds():
    accept("bob@far.test")
    for number in range(3):
        (job,) = claim(now=later(number * 86400))
        commit.run(Settlements([settle_crash(job, ValueError("x"), timezone.now())]))
    assert lanes() == {"total": 1, "retry": 1, "deferred": 1}
    assert QueueEntry.objects.get().state == "held"


def test_a_batch_that_is_rolled_back_counts_nothing():
    class BrokenError(Exception):
        pass

    class Breaks:
        users = mailboxes = ()
        weight = 0

        def apply(self, batch):
            raise BrokenError

    from mailcore.intake.acceptance import Together
    from mailcore.intake.internal import accept_internal

    notice = accept_internal("bob@far.test", b"Subject: x\r\n\r\n", about=1)
    with pytest.raises(BrokenError):
        commit.run(Together([notice, Breaks()]))
    assert lanes() == {}


def test_local_mail_costs_the_counters_nothing(make_user):
    """The product's main promise is the speed of this path."""
    from mailcore.intake.acceptance import Acceptance
    from mailcore.intake.routing import plan
    from mailcore.message.envelope import Recipient
    from mailcore.store.mailboxes import forget_inbox
    from mailcore.store.prepared import prepare

    user = make_user("bob@example.com")
    forget_inbox(user.pk)
    where = plan([Recipient("bob@example.com")])
    commit.run(
        Acceptance(message=1, prepared=prepare(b"Subject: x\r\n\r\n"), plan=where, sender="a@b.test", direction="in")
    )
    assert QueueTally.objects.count() == 0
    forget_inbox(user.pk)  # other tests have other users of this number


def test_folding_changes_no_number_and_leaves_one_row():
    for number in range(7):
        accept(f"p{number}@far.test")
    attempt()
    before = tallies()
    assert fold() == 8
    assert tallies() == before
    assert QueueTally.objects.count() == 1
    assert fold() == 0


def test_counting_costs_two_queries(django_assert_num_queries):
    for number in range(5):
        accept(f"p{number}@far.test")
    with django_assert_num_queries(2):
        counts()


def test_checkqueue_finds_and_mends_what_is_wrong():
    accept("bob@far.test")
    accept("amy@far.test", sender="")
    assert run("checkqueue") == "checkqueue: 2 messages, 0 misplaced, counters off by 0, corrected"
    QueueTally.objects.create(outgoing=3, bounce=-1)
    QueuedMessage.objects.filter(sender="").update(lane="retry")
    found = "checkqueue: 2 messages, 1 misplaced, counters off by 4, nothing corrected (dry run)"
    assert run("checkqueue", "--dry-run") == found
    assert run("checkqueue", "--dry-run") == found
    assert run("checkqueue").startswith("checkqueue: 2 messages, 1 misplaced, counters off by ")
    assert lanes() == {"total": 2, "outgoing": 1, "bounce": 1}
    assert run("checkqueue") == "checkqueue: 2 messages, 0 misplaced, counters off by 0, corrected"


def together(*functions):
    """Run these in threads of their own at once; raises what one of them raised."""
    errors = []
    barrier = threading.Barrier(len(functions))

    def work(function):
        try:
            barrier.wait(30)
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]


def test_checkqueue_and_folding_beside_themselves_correct_once():
    for number in range(20):
        accept(f"p{number}@far.test")
    QueueTally.objects.create(outgoing=5)
    together(check, check, fold, fold, fold)
    fold()
    assert lanes() == {"total": 20, "outgoing": 20}
    assert QueueTally.objects.count() == 1


def test_the_counters_are_right_while_everybody_works_at_once():  # noqa: C901
    for number in range(30):
        accept(f"p{number}@far.test", f"q{number}@far.test")

    def accepting():
        for number in range(15):
            accept(f"n{number}@far.test")

    def delivering():
        for turn in range(8):
            for job in claim(owner=threading.current_thread().name, limit=7):
                verdict, words = random.choice(
                    [("deferred", "450 4.2.0 No"), ("failed", "550 5.1.1 No"), ("sent", "250 2.0.0 Ok")]
                )
                commit.run(Settlements([settlement(job, verdict, words)]))
            assert turn < 8

    def meddling():
        entries = QueueEntry.objects.all()
        for _ in range(3):
            interventions.hold(entries, timezone.now(), "me")
            interventions.release(entries, timezone.now(), "me")
            done = purging.purge(entries.filter(recipient__startswith="p"), timezone.now(), "me")
            if done.purge:
                purging.undo(done.purge, timezone.now(), "me")

    def folding():
        for _ in range(10):
            fold()

    def looking():
        for _ in range(20):
            number = counts()
            assert number["total"] == sum(number[lane] for lane in ("incoming", "outgoing", "retry", "bounce"))
            assert min(number.values()) >= 0

    together(accepting, delivering, delivering, meddling, folding, looking)
    lanes()
    assert check().misplaced == 0


RECIPIENTS = ["a@far.test", "b@far.test", "c@other.test", "d@other.test"]


class Queue(RuleBasedStateMachine):
    """Anything that may happen to a queue, in any order."""

    @initialize()
    def begin(self):
        self.jobs = []
        self.offset = 0

    @property
    def now(self):
        return later(self.offset)

    def entries(self, data):
        return QueueEntry.objects.filter(recipient__in=data)

    some = st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=4, unique=True)

    @rule(recipients=some, sender=st.sampled_from(["me@example.com", "you@example.com", ""]))
    def accept(self, recipients, sender):
        accept(*recipients, sender=sender)

    @rule(limit=st.integers(1, 5))
    def claim(self, limit):
        self.jobs += claims.claim("worker", self.now, limit)

    @rule(
        how=st.sampled_from([("sent", "250 2.0.0 Ok"), ("deferred", "450 4.2.0 No"), ("failed", "550 5.1.1 No")]),
        many=st.integers(1, 4),
    )
    def settle(self, how, many):
        done, self.jobs = self.jobs[:many], self.jobs[many:]
        if done:
            commit.run(Settlements([settlement(job, *how, now=self.now) for job in done]))

    @rule()
    def crash(self):
        if self.jobs:
            commit.run(Settlements([settle_crash(self.jobs.pop(), ValueError("x"), self.now)]))

    @rule()
    def give_back(self):
        claims.give_back("worker", [entry.id for job in self.jobs for entry in job.entries])
        self.jobs = []

    @rule(seconds=st.sampled_from([1, 60, 7200, 6 * 86400]))
    def time_passes(self, seconds):
        self.offset += seconds

    @rule(act=st.sampled_from([interventions.retry, interventions.hold, interventions.release]), data=some)
    def intervene(self, act, data):
        act(self.entries(data), self.now, "me")

    @rule(data=some)
    def purge(self, data):
        purging.purge(self.entries(data), self.now, "me")

    @rule(lane=st.sampled_from(["outgoing", "retry", "bounce"]))
    def purge_lane(self, lane):
        purging.purge(QueueEntry.objects.in_lane(lane), self.now, "me", queue=lane)

    @rule()
    def undo(self):
        from a3mailer_site.api.errors import ConflictError

        for act in QueuePurge.objects.filter(undone_at=None, emptied_at=None)[:1]:
            try:
                purging.undo(act, self.now, "me")
            except ConflictError:
                assert self.offset >= 86400 * 30

    @rule()
    def empty_the_trash(self):
        purging.empty(self.now, False)

    @rule()
    def fold(self):
        fold()

    @invariant()
    def the_counters_say_what_is_there(self):
        assert counts(self.now) == in_the_queue(self.now)

    @invariant()
    def a_message_in_the_queue_has_somebody_to_go_to_and_one_in_the_trash_is_kept(self):
        for message in QueuedMessage.objects.all():
            states = set(QueueEntry.objects.filter(message=message).values_list("state", flat=True))
            assert states & {"queued", "held"} if message.lane else "purged" in states

    def teardown(self):
        assert check(dry_run=True)[1:] == (0, {})
        QueueEntry.objects.all().delete()
        for model in (QueuedMessage, QueueTally, QueuePurge, MessageEvent):
            model.objects.all().delete()


@pytest.mark.timeout(600)
def test_whatever_happens_the_counters_say_what_counting_says():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
