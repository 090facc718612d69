"""What came of an attempt is counted once for each recipient, and how long it took."""

from datetime import UTC, datetime, timedelta

import pytest

from a3mailer_site.figures import figures
from mailcore.delivery.bounces import Notice
from mailcore.delivery.jobs import Entry, Mail, Result, own_outcome
from mailcore.delivery.settlement import Decision, Settlement
from mailcore.delivery.tally import tally
from mailcore.intake.routing import Delivery, Plan
from mailcore.smtp.client import Verdict
from mailqueue.models import QueueEntry

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MAIL = Mail(1, 1, "a@example.com", 10, NOW - timedelta(seconds=7), NOW + timedelta(days=5))
State = QueueEntry.State


def decision(state, here=None):
    result = Result(Entry(1, 1, "b@example.org", "example.org"), own_outcome(Verdict.SENT, "2.0.0", "x"), here=here)
    return Decision(result, state, "", "", "")


def difference(settlement):
    before = figures.snapshot()
    tally(settlement, NOW)
    after = figures.snapshot()
    counters = {
        name: value - before["counters"].get(name, 0)
        for name, value in after["counters"].items()
        if value != before["counters"].get(name, 0)
    }
    timings = {
        name: buckets[-1] - before["timings"].get(name, [0])[-1]
        for name, buckets in after["timings"].items()
        if buckets != before["timings"].get(name)
    }
    return counters, timings


@pytest.mark.parametrize(
    ("state", "name", "times"),
    [
        (State.DELIVERED, "sent", {"delivery.remote.latency_seconds": 7.0}),
        (State.FAILED, "failed", {}),
        (State.QUEUED, "deferred", {}),
        (State.HELD, "held", {}),
    ],
)
def test_each_recipient_is_counted_by_its_outcome(state, name, times):
    settlement = Settlement(MAIL, (decision(state), decision(state)))
    counters, timings = difference(settlement)
    assert counters == {f"delivery.{name}": 2}
    assert timings == pytest.approx({timing: 2 * seconds for timing, seconds in times.items()})


def test_what_turned_out_to_be_for_this_server_is_delivered_and_not_sent():
    here = Plan((Delivery(1, "b@example.com", 1, 1, 0), Delivery(2, "b@example.com", 2, 1, 0)), ())
    counters, timings = difference(Settlement(MAIL, (decision(State.DELIVERED, here),)))
    assert counters == {"messages.delivered": 2}
    assert timings == pytest.approx({"delivery.mailbox.latency_seconds": 7.0})


def test_notices_are_counted_by_what_they_tell():
    notices = (Notice(None, (), "bounced"), Notice(None, (), "delay"))
    assert difference(Settlement(MAIL, (), notices))[0] == {
        "delivery.notices.bounced": 1,
        "delivery.notices.delay": 1,
    }
