"""The transaction that takes responsibility for a message.

When it is committed each recipient is either in a mailbox or in the queue: never in neither, never in both. Nothing
is decided here and nothing is parsed; ``routing.py`` has decided and ``store/prepared.py`` has parsed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from a3mailer_site.env import current
from mailcore.intake.returned import Returned
from mailcore.intake.routing import Delivery, Plan, Relay
from mailcore.store.acts import delivered
from mailcore.store.batch import Batch, OverQuotaError, Work
from mailcore.store.prepared import Prepared
from mailqueue.models import MessageEvent, MessageTrace, QueuedMessage, QueueEntry, Submission
from mailqueue.turns import moment, turns

Direction = MessageTrace.Direction
Kind = MessageEvent.Kind
Status = MessageTrace.Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One message on its way into mailboxes and queue (a ``Work``)."""

    message: int  # the queue id
    prepared: Prepared
    plan: Plan
    sender: str
    direction: str
    received: dict[str, Any] = field(default_factory=dict)  # the facts of the connection, for the timeline
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    eight_bit: bool = False
    requiretls: bool = False
    submitter_id: int | None = None
    internal_date: int | None = None
    release_at: datetime | None = None  # nobody gets it before
    hold: str = ""  # why its recipients elsewhere are held: a code of ``mailqueue/holds.py``
    counted: Sequence[tuple[str, int]] = ()  # whose sending it is counted as: kinds and numbers of ``SendingTally``
    mark: bytes | None = None  # what tells it from all others, for ``Submission``
    returned: Sequence[Returned] = ()  # what it says of messages that were sent before

    @property
    def users(self) -> Collection[int]:
        """Users whose mailboxes take it."""
        return [delivery.user_id for delivery in self.plan.deliveries]

    @property
    def mailboxes(self) -> Collection[int]:
        """Their mailboxes."""
        return [delivery.mailbox_id for delivery in self.plan.deliveries]

    @property
    def weight(self) -> int:
        """Bytes of the body, if it goes through the transaction."""
        return self.prepared.weight

    def apply(self, batch: Batch) -> int:
        """Write everything; returns the queue id. Raises ``GoneError``, and ``OverQuotaError`` if nobody has room."""
        self._check_room(batch)
        prepared = self.prepared
        batch.add_body(prepared.body_id, prepared.size, prepared.data, prepared.summary)
        batch.add_event(self.message, Kind.RECEIVED, self.received)
        for expansion in self.plan.expansions:
            self._trace(batch, expansion.trace_id, expansion.recipient, Status.EXPANDED)
        for delivery in self.plan.deliveries:
            self._deliver(batch, delivery)
        if self.plan.relays:
            self._queue(batch)
            for kind, number in self.counted:
                batch.count_sending(kind, number, self.plan.elsewhere, held=bool(self.hold))
        for came_back in self.returned:
            came_back.write(batch, self.message)
        if self.mark is not None and self.submitter_id is not None:
            batch.add_object(Submission(user=self.submitter_id, mark=self.mark, message=self.message, at=batch.now))
        return self.message

    def _check_room(self, batch: Batch) -> None:
        """Refuse when every recipient is a mailbox without room; with others in the envelope a full one takes it."""
        deliveries = self.plan.deliveries
        if not deliveries or self.plan.relays:
            return
        if not any(batch.room_for(delivery.user_id, self.prepared.size, 1) for delivery in deliveries):
            raise OverQuotaError("no recipient has room for this message")

    def _trace(self, batch: Batch, trace_id: int, recipient: str, status: str) -> None:
        summary = self.prepared.summary
        batch.add_trace(
            trace_id,
            self.message,
            direction=self.direction,
            status=status,
            sender=self.sender,
            recipient=recipient,
            message_id=summary.message_id,
            subject=summary.subject,
            size=self.prepared.size,
        )

    def _deliver(self, batch: Batch, delivery: Delivery) -> None:
        uid = batch.add_message(
            delivery.mailbox_id, self.prepared.body_id, size=self.prepared.size, internal_date=self.internal_date
        )
        self._trace(batch, delivery.trace_id, delivery.recipient, Status.DELIVERED)
        detail = delivered(batch.mailbox(delivery.mailbox_id), delivery.user_id, uid)
        batch.add_event(self.message, Kind.DELIVERED, detail, delivery.trace_id)

    def _queue(self, batch: Batch) -> None:
        batch.add_queued(
            QueuedMessage(
                id=self.message,
                body_id=self.prepared.body_id,
                sender=self.sender,
                size=self.prepared.size,
                received_at=batch.now,
                expires_at=(self.release_at or batch.now) + timedelta(seconds=current().queue_lifetime),
                ret=self.ret,
                envid=self.envid,
                smtputf8=self.smtputf8,
                eight_bit=self.eight_bit,
                requiretls=self.requiretls,
                submitter_id=self.submitter_id,
                release_at=self.release_at,
            ),
            held=bool(self.hold),
        )
        status = Status.HELD if self.hold else Status.QUEUED
        later = {"release_at": self.release_at.isoformat()} if self.release_at else {}
        for relay in self.plan.relays:
            batch.add_entry(self._entry(batch, relay))
            self._trace(batch, relay.trace_id, relay.recipient, status)
            other = {"return_path": relay.return_path} if relay.return_path else {}
            facts = {"destination": relay.destination, **other, **later}
            batch.add_event(self.message, Kind.QUEUED, facts, relay.trace_id)
            if self.hold:
                batch.add_event(self.message, Kind.HELD, {"reason": self.hold}, relay.trace_id)

    def _entry(self, batch: Batch, relay: Relay) -> QueueEntry:
        return QueueEntry(
            message_id=self.message,
            trace_id=relay.trace_id,
            recipient=relay.recipient,
            destination=relay.destination,
            orcpt=relay.orcpt,
            notify=",".join(sorted(relay.notify)),
            return_path=relay.return_path,
            state=QueueEntry.State.HELD if self.hold else QueueEntry.State.QUEUED,
            hold_reason=self.hold,
            next_attempt_at=self.release_at or batch.now,
            turn=moment(self.release_at) if self.release_at else self._turn(batch),
        )

    def _turn(self, batch: Batch) -> int:
        """Return whose turn comes first: of a notice, which nobody sends many of, it is that of now."""
        if not self.sender:
            return moment(batch.now)
        return turns.take(self.submitter_id or self.sender.rpartition("@")[2].lower(), batch.now)


@dataclass(frozen=True, slots=True)
class Together:
    """Several works that happen all or not at all (a message, and the notice about it)."""

    works: Sequence[Work[Any]]

    @property
    def users(self) -> Collection[int]:
        """Users of all of them."""
        return {user for work in self.works for user in work.users}

    @property
    def mailboxes(self) -> Collection[int]:
        """Mailboxes of all of them."""
        return {mailbox for work in self.works for mailbox in work.mailboxes}

    @property
    def weight(self) -> int:
        """Bytes of all bodies."""
        return sum(work.weight for work in self.works)

    def apply(self, batch: Batch) -> list[Any]:
        """Apply each; returns their results."""
        return [work.apply(batch) for work in self.works]
