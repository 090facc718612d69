"""The transaction that writes down what came of an attempt.

Attempt, timeline, trace, queue entry, and the notice to the sender if there is one: all or nothing. When the last
recipient of a message has been settled the message leaves the queue, and its body too if no mailbox has it.

``settle`` decides, in a database thread and without a transaction; ``Settlements`` writes many decisions at once.
"""

import errno
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection, models

from a3mailer_site.env import current
from a3mailer_site.ids import to_text
from mailcore.delivery.backoff import next_attempt, pause
from mailcore.delivery.bounces import Notice, make_notice
from mailcore.delivery.jobs import Entry, Job, Mail, Result, own_outcome
from mailcore.intake.routing import Plan
from mailcore.message.dsn_actions import Action
from mailcore.smtp.client import Verdict
from mailcore.store.acts import delivered
from mailcore.store.batch import Batch
from mailcore.store.mailboxes import forget_inbox
from mailcore.store.models import FOUND_IN_BODIES, Message
from mailqueue import holds, suppressions
from mailqueue.models import (
    OPEN_STATES,
    Attempt,
    Body,
    MessageEvent,
    MessageTrace,
    QueuedMessage,
    QueueEntry,
    Suppression,
)
from mailqueue.standing import Standing
from mailqueue.turns import moment
from security.audit import record
from security.models import AuditEntry

log = structlog.get_logger("mailcore.delivery.settlement")

Kind = MessageEvent.Kind
State = QueueEntry.State
Status = MessageTrace.Status

# Attempts at one message that end in an error of ours before it is set aside.
CRASH_LIMIT = 3

_REPLY_LIMIT = 1000
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one entry."""

    result: Result
    state: str
    status: str  # of the trace
    kind: str  # of the event, besides the attempt itself
    reply: str
    next_attempt_at: datetime | None = None
    crashed: bool = False
    suppressed: str = ""  # the domain that does not write to the recipient any more
    late: bool = False  # the sender is told of the delay now, if that is wanted and possible; once

    @property
    def entry(self) -> Entry:
        """The entry."""
        return self.result.entry


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the entries of one job."""

    mail: Mail
    decisions: tuple[Decision, ...]
    notices: tuple[Notice, ...] = ()
    local: bool = False  # it was to go into mailboxes here


def settle(job: Job, results: Sequence[Result], now: datetime) -> Settlement:
    """Decide what becomes of each recipient, and build the notices. Reads the database; not in a transaction.

    An error in a notice costs the notice, never the outcome: what was sent must not be sent again.
    """
    mail = job.mail
    # The same pause for all recipients of a job: they stay together.
    attempts = max((result.entry.attempts for result in results), default=0) + 1
    again_at = next_attempt(now, pause(attempts, current().retry_first, current().retry_longest), mail.expires_at)
    late = (now - mail.received_at).total_seconds() >= current().delay_notice_after
    decisions = _with_suppressions(mail, [_decide(mail, result, now, again_at, late=late) for result in results])
    try:
        notices = tuple(_notices(mail, decisions, now))
    except Exception as error:
        if isinstance(error, OperationalError | InterfaceError) or getattr(error, "errno", None) in _NO_ROOM:
            raise  # it passes, and whoever called tries again
        log.exception("a notice could not be built", message=to_text(mail.id))
        notices = ()
    return Settlement(mail, tuple(decisions), notices, job.nexthop.local)


def without_extras(settlement: Settlement, now: datetime) -> Settlement:
    """Return the bare outcome, when a notice or a mailbox of this server is in the way of writing it down.

    Notices and notes for the suppression list are dropped; who was to have the message in a mailbox here is tried again
    later.
    """
    for decision in settlement.decisions:
        for delivery in decision.result.here.deliveries if decision.result.here else ():
            forget_inbox(delivery.user_id)
    again_at = now + timedelta(seconds=current().retry_first)
    decisions = (
        Decision(Result(decision.entry, _NOT_HERE), *_LATER, _NOT_HERE.words, again_at)
        if decision.result.here is not None
        else replace(decision, suppressed="")
        for decision in settlement.decisions
    )
    return Settlement(settlement.mail, tuple(decisions), local=settlement.local)


_NOT_HERE = own_outcome(Verdict.DEFERRED, "4.2.0", "the mailbox cannot take it now")


def settle_crash(job: Job, error: BaseException, now: datetime) -> Settlement:
    """Decide about a job that ended in an error of ours: try again later, but not for ever."""
    outcome = own_outcome(Verdict.DEFERRED, "4.3.0", f"internal error: {type(error).__name__}")
    again_at = next_attempt(now, pause(1, current().retry_first, current().retry_longest), job.mail.expires_at)
    decisions = []
    for entry in job.entries:
        held = entry.crashes + 1 >= CRASH_LIMIT
        state, status, kind = (State.HELD, Status.HELD, Kind.HELD) if held else _LATER
        result = Result(entry, outcome)
        decisions.append(Decision(result, state, status, kind, outcome.words, None if held else again_at, crashed=True))
    return Settlement(job.mail, tuple(decisions), local=job.nexthop.local)


_LATER = (State.QUEUED, Status.DEFERRED, Kind.DEFERRED)


def _decide(mail: Mail, result: Result, now: datetime, again_at: datetime, *, late: bool) -> Decision:
    outcome = result.outcome
    if outcome.verdict is Verdict.SENT:
        status = Status.SENT if result.here is None else _status_here(result.here)
        kind = Kind.SENT if result.here is None else Kind.DELIVERED
        return Decision(result, State.DELIVERED, status, kind, outcome.words)
    if outcome.verdict is Verdict.FAILED:
        return Decision(result, State.FAILED, Status.FAILED, Kind.FAILED, outcome.words)
    if now >= mail.expires_at:
        return Decision(result, State.FAILED, Status.FAILED, Kind.FAILED, f"given up, last reply: {outcome.words}")
    return Decision(result, *_LATER, outcome.words, again_at, late=late and not result.entry.delay_notified)


def _with_suppressions(mail: Mail, decisions: list[Decision]) -> list[Decision]:
    """Note which recipients are no mailboxes, for domains that want to know."""

    def is_hard(decision: Decision) -> bool:
        outcome = decision.result.outcome
        return decision.state == State.FAILED and outcome.code is not None and suppressions.is_hard(outcome.status)

    if not mail.sender or not any(map(is_hard, decisions)):
        return decisions
    domain = suppressions.tracks(mail.sender)
    return [replace(decision, suppressed=domain) if is_hard(decision) else decision for decision in decisions]


def _status_here(plan: Plan) -> str:
    return Status.QUEUED if plan.relays and not plan.deliveries else Status.DELIVERED


def _notices(mail: Mail, decisions: Sequence[Decision], now: datetime) -> Iterable[Notice]:
    actions: dict[Action, list[tuple[Result, Action]]] = {}
    for decision in decisions:
        action = _action(decision)
        if action is not None:
            # Successes of both kinds share a notice; the others have one each.
            first = Action.DELIVERED if action is Action.RELAYED else action
            actions.setdefault(first, []).append((decision.result, action))
    for told in actions.values():
        notice = make_notice(mail, told, now)
        if notice is not None:
            yield notice


def _action(decision: Decision) -> Action | None:
    """Say what there is to tell the sender about a recipient, whether he wants to hear it or not."""
    if decision.state == State.FAILED:
        return Action.FAILED
    if decision.state == State.QUEUED:
        return Action.DELAYED if decision.late else None
    if decision.state != State.DELIVERED:
        return None
    if decision.result.here is not None:
        return Action.DELIVERED
    # A host with DSN sends the notice of success itself (RFC 3461 section 5.2.1).
    return None if decision.result.contact.relays_notices else Action.RELAYED


@dataclass(frozen=True, slots=True)
class Settlements:
    """Many settlements in one transaction (a ``Work``)."""

    settlements: Sequence[Settlement]

    @property
    def users(self) -> Collection[int]:
        """Users whose mailboxes get a notice, or the message itself."""
        return {user for notice in self._notices() for user in notice.acceptance.users} | {
            delivery.user_id for plan in self._plans() for delivery in plan.deliveries
        }

    @property
    def mailboxes(self) -> Collection[int]:
        """Their mailboxes."""
        return {mailbox for notice in self._notices() for mailbox in notice.acceptance.mailboxes} | {
            delivery.mailbox_id for plan in self._plans() for delivery in plan.deliveries
        }

    @property
    def weight(self) -> int:
        """Bytes of the notices."""
        return sum(notice.acceptance.weight for notice in self._notices())

    def _notices(self) -> Iterable[Notice]:
        return (notice for settlement in self.settlements for notice in settlement.notices)

    def _plans(self) -> Iterable[Plan]:
        return (
            decision.result.here
            for settlement in self.settlements
            for decision in settlement.decisions
            if decision.result.here is not None
        )

    def apply(self, batch: Batch) -> list[int]:
        """Write everything; returns the ids of bodies whose files can go, once this is committed."""
        return _Writing(batch, self.settlements).write()


class _Writing:
    """One application of settlements to a batch."""

    def __init__(self, batch: Batch, settlements: Sequence[Settlement]) -> None:
        self._batch = batch
        self._settlements = settlements
        self._now = _adapted(batch.now)
        self._kept_bodies: set[int] = set()  # a mailbox has them from now on
        self._kept_messages: set[int] = set()  # they have further recipients from now on
        self._entry_rows: list[tuple[Any, ...]] = []
        self._trace_rows: list[tuple[str, int]] = []

    def write(self) -> list[int]:
        messages = {settlement.mail.id for settlement in self._settlements}
        # Two processes that settle the last two recipients of a message must see each other.
        locked = QueuedMessage.objects.select_for_update().filter(id__in=messages).order_by("id")
        there = {number: Standing(*stood) for number, *stood in locked.values_list("id", *Standing._fields)}
        ids = [decision.entry.id for settlement in self._settlements for decision in settlement.decisions]
        states = dict(QueueEntry.objects.filter(id__in=ids).values_list("id", "state"))
        for settlement in self._settlements:
            for decision in settlement.decisions:
                self._write_decision(settlement, decision, states.get(decision.entry.id))
            for notice in settlement.notices:
                self._write_notice(settlement.mail, notice)
        self._batch.cursor.executemany(_UPDATE_ENTRY, self._entry_rows)
        self._batch.cursor.executemany(_UPDATE_TRACE, self._trace_rows)
        over = self._over(there.keys() - self._kept_messages)
        self._batch.reclassify(there.keys() - set(over))
        for number in over:
            self._batch.leave_queue(there[number])
        return self._end_messages(over)

    def _write_decision(self, settlement: Settlement, decision: Decision, state: str | None) -> None:
        mail, entry, result = settlement.mail, decision.entry, decision.result
        number = entry.attempts + result.tried
        if result.tried:
            self._write_attempt(mail, decision, number)
        if result.here is None or not self._deliver_here(mail, entry, result.here):
            self._event(mail, decision.kind, _detail(decision), entry.trace_id)
        self._trace_rows.append((decision.status, entry.trace_id))
        if decision.suppressed:
            reason = Suppression.Reason.BOUNCE
            suppressions.add(decision.suppressed, entry.recipient, reason, decision.reply, mail.id, self._batch.now)
        if decision.crashed and decision.state == State.HELD:
            self._audit_held(mail, entry, decision)
        if state is None:
            return  # an administrator has deleted it meanwhile
        new_state = decision.state
        if state in {State.HELD, State.PURGED} and new_state in {State.QUEUED, State.HELD}:
            new_state = state  # ... or set it aside
        self._entry_rows.append(
            (
                new_state,
                _adapted(decision.next_attempt_at) if decision.next_attempt_at else self._now,
                number,
                decision.reply[:_REPLY_LIMIT],
                self._now if decision.late else None,
                int(decision.crashed),
                settlement.local,
                self._turn(entry, decision),
                holds.CRASH if decision.crashed and new_state == State.HELD and state != State.HELD else "",
                entry.id,
            )
        )

    def _turn(self, entry: Entry, decision: Decision) -> int:
        """Return the turn of the next attempt. Who went ahead of it this time does not go ahead next time."""
        ahead = max(0, entry.turn - moment(self._batch.now))
        return moment(decision.next_attempt_at or self._batch.now) + ahead

    def _write_attempt(self, mail: Mail, decision: Decision, number: int) -> None:
        outcome, contact = decision.result.outcome, decision.result.contact
        detail = {
            "number": number,
            "host": contact.host,
            "address": contact.address,
            "tls": contact.tls,
            "code": outcome.code,
            "enhanced": outcome.status,
            "reply": outcome.text,
            "outcome": outcome.verdict.value,
            "duration_ms": contact.duration_ms,
        }
        self._event(mail, Kind.ATTEMPT, detail, decision.entry.trace_id)
        self._batch.add_object(
            Attempt(
                message=mail.id,
                trace_id=decision.entry.trace_id,
                number=number,
                at=self._batch.now,
                duration_ms=contact.duration_ms,
                host=contact.host[:253],
                address=contact.address[:60],
                tls=contact.tls[:80],
                outcome=outcome.verdict.value,
                code=outcome.code,
                enhanced=outcome.status[:12],
                reply=outcome.text,
            )
        )

    def _deliver_here(self, mail: Mail, entry: Entry, here: Plan) -> bool:
        """Put the message into mailboxes, and add the recipients elsewhere; says whether a mailbox has it."""
        for delivery in here.deliveries:
            uid = self._batch.add_message(delivery.mailbox_id, mail.body_id, size=mail.size)
            detail = delivered(self._batch.mailbox(delivery.mailbox_id), delivery.user_id, uid)
            self._event(mail, Kind.DELIVERED, detail, entry.trace_id)
            self._kept_bodies.add(mail.body_id)
        for relay in here.relays:
            self._batch.add_entry(
                QueueEntry(
                    message_id=mail.id,
                    trace_id=entry.trace_id,
                    recipient=relay.recipient,
                    destination=relay.destination,
                    orcpt=relay.orcpt,
                    notify=",".join(sorted(relay.notify)),
                    return_path=relay.return_path or entry.return_path,
                    next_attempt_at=self._batch.now,
                    turn=entry.turn,
                )
            )
            self._event(mail, Kind.QUEUED, {"destination": relay.destination}, entry.trace_id)
            self._kept_messages.add(mail.id)
        return bool(here.deliveries or here.relays)

    def _write_notice(self, mail: Mail, notice: Notice) -> None:
        number = notice.acceptance.apply(self._batch)
        for entry in notice.entries:
            self._event(mail, notice.kind, {"notice": to_text(number)}, entry.trace_id)

    def _audit_held(self, mail: Mail, entry: Entry, decision: Decision) -> None:
        record(
            "message_held",
            AuditEntry.EventType.SYSTEM,
            severity=AuditEntry.Severity.ERROR,
            outcome=AuditEntry.Outcome.FAILURE,
            metadata={"queue_id": to_text(mail.id), "recipient": entry.recipient, "reason": decision.reply},
        )

    def _event(self, mail: Mail, kind: str, detail: dict[str, Any], trace_id: int) -> None:
        self._batch.add_event(mail.id, kind, detail, trace_id)

    def _over(self, messages: Collection[int]) -> list[int]:
        """Return those of these messages that have no recipient left, not even one in the trash."""
        left = QueueEntry.objects.filter(message_id__in=messages, state__in=[*OPEN_STATES, State.PURGED])
        kept = set(left.values_list("message_id", flat=True))
        return [number for number in messages if number not in kept]

    def _end_messages(self, over: Collection[int]) -> list[int]:
        """Take messages out of the queue for which there is nothing left to do; returns bodies whose files can go."""
        if not over:
            return []
        bodies = set(QueuedMessage.objects.filter(id__in=over).values_list("body_id", flat=True))
        self._delete(QueueEntry, "message_id", list(over))
        self._delete(QueuedMessage, "id", list(over))
        return self._end_bodies(bodies - self._kept_bodies)

    def _end_bodies(self, bodies: Collection[int]) -> list[int]:
        used = set(Message.objects.filter(body_id__in=bodies).values_list("body_id", flat=True).distinct())
        unused = [body for body in bodies if body not in used]
        if not unused:
            return []
        in_files = list(Body.objects.filter(id__in=unused, data__isnull=True).values_list("id", flat=True))
        for model in FOUND_IN_BODIES:
            self._delete(model, "body_id", unused)
        self._delete(Body, "id", unused)
        return in_files

    def _delete(self, model: type[models.Model], column: str, values: Sequence[int]) -> None:
        """Delete rows that nothing refers to any more; the ORM would read them all first to find that out."""
        marks = ", ".join(["%s"] * len(values))
        self._batch.cursor.execute(f'DELETE FROM "{model._meta.db_table}" WHERE {column} IN ({marks})', values)  # noqa: S608


def _adapted(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def _detail(decision: Decision) -> dict[str, Any]:
    detail: dict[str, Any] = {"reply": decision.reply}
    if decision.next_attempt_at is not None:
        detail["next_attempt_at"] = decision.next_attempt_at.isoformat()
    return detail


# A lease ends with what it was for. ``delay_notified_at`` stays once it is set.
_UPDATE_ENTRY = (
    f'UPDATE "{QueueEntry._meta.db_table}" SET state = %s, next_attempt_at = %s, attempts = %s, last_reply = %s, '  # noqa: S608
    "lease_owner = '', lease_until = NULL, delay_notified_at = COALESCE(delay_notified_at, %s), "
    "crashes = crashes + %s, local = %s, turn = %s, parked = 0, "
    "hold_reason = COALESCE(NULLIF(%s, ''), hold_reason) WHERE id = %s"
)
_UPDATE_TRACE = f'UPDATE "{MessageTrace._meta.db_table}" SET status = %s WHERE id = %s'  # noqa: S608
