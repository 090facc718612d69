"""Counts what came of an attempt, once it is written down. Decides nothing."""

from datetime import datetime

from a3mailer_site.figures import figures
from mailcore.delivery.settlement import Decision, Settlement
from mailqueue.models import QueueEntry

State = QueueEntry.State

_OUTCOMES = {State.DELIVERED: "sent", State.FAILED: "failed", State.HELD: "held", State.QUEUED: "deferred"}


def tally(settlement: Settlement, now: datetime) -> None:
    """Count the recipients by outcome, the notices, and how long mail took from its acceptance on."""
    seconds = (now - settlement.mail.received_at).total_seconds()
    for decision in settlement.decisions:
        here = decision.result.here
        if here is None:
            _count_outcome(decision, seconds)
        else:
            _count_here(len(here.deliveries), len(here.relays), seconds)
    for notice in settlement.notices:
        figures.count(f"delivery.notices.{notice.kind}")


def _count_outcome(decision: Decision, seconds: float) -> None:
    figures.count(f"delivery.{_OUTCOMES[State(decision.state)]}")
    if decision.state == State.DELIVERED:
        figures.observe("delivery.remote.latency_seconds", seconds)


def _count_here(deliveries: int, relays: int, seconds: float) -> None:
    """Count what was queued and turned out to be for this server."""
    if relays:
        figures.count("messages.queued", relays)
    if deliveries:
        figures.count("messages.delivered", deliveries)
        figures.observe("delivery.mailbox.latency_seconds", seconds)
