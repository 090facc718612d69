"""Queue, trash and message log as the API shows and takes them."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.fields import PrefixedIdField, StrictCharField
from a3mailer_site.ids import to_text
from a3mailer_site.trash import restorable_until
from domains.names import to_ascii
from mailqueue.counts import LANES
from mailqueue.holds import words
from mailqueue.models import Attempt, Lane, MessageTrace, Parked, QueuedMessage, QueueEntry, QueuePurge
from mailqueue.purging import Purged
from mailqueue.querysets import queue_id

# The words of the API for the ways that a message may have come.
DIRECTIONS = {"inbound": "in", "outbound": "sub", "internal": "int"}
_DIRECTION_WORDS = {value: word for word, value in DIRECTIONS.items()}
STATES = ("queued", "deferred", "held", "active")


class QueueIdField(serializers.CharField):
    """The 13 letters and digits of a queue id."""

    def to_representation(self, value: Any) -> str:
        """Write it as it stands in logs and replies."""
        return to_text(value)


class LanesSerializer(serializers.Serializer[Any]):
    """How many messages there are in each lane."""

    incoming = serializers.IntegerField()
    outgoing = serializers.IntegerField()
    retry = serializers.IntegerField()
    bounce = serializers.IntegerField()


class QueueStatusSerializer(serializers.Serializer[Any]):
    """How many messages are in the queue. The lanes sum to ``total_messages``; the states may overlap."""

    total_messages = serializers.IntegerField()
    active_messages = serializers.IntegerField()
    deferred_messages = serializers.IntegerField()
    bounced_messages = serializers.IntegerField()
    queues = LanesSerializer()


class PurgedSerializer(serializers.Serializer[Any]):
    """What came of a purge, in messages. Where nothing was taken out there is nothing to undo."""

    queue = serializers.CharField()
    deleted = serializers.IntegerField()
    skipped_active = serializers.IntegerField()
    undo_until = serializers.DateTimeField(allow_null=True)
    purge_id = serializers.CharField(allow_null=True)


# The example of the API document.
PURGED = {
    "queue": "retry",
    "deleted": 20,
    "skipped_active": 1,
    "undo_until": "2024-02-14T10:30:00Z",
    "purge_id": "purge_7",
}


def purged_answer(queue: str, done: Purged) -> dict[str, Any]:
    """Return what ``PurgedSerializer`` describes."""
    return {
        "queue": queue,
        "deleted": done.deleted,
        "skipped_active": done.skipped_active,
        "undo_until": moment(done.undo_until) if done.undo_until else None,
        "purge_id": str(done.purge) if done.purge else None,
    }


class QueuePurgeSerializer(serializers.ModelSerializer[QueuePurge]):
    """A purge that has been, and until when it can be undone."""

    purge_id = PrefixedIdField("purge_")
    queue = serializers.CharField(help_text="Empty: chosen messages.")
    message_id = QueueIdField(source="message", allow_null=True, help_text="Queue id, where one message was chosen.")
    deleted = serializers.SerializerMethodField(
        help_text="Messages; those of the key's domains, if it is bound to some."
    )
    undo_until = serializers.SerializerMethodField()

    class Meta:
        model = QueuePurge
        fields = ["purge_id", "queue", "message_id", "deleted", "by", "deleted_at", "undo_until", "undone_at"]

    def get_deleted(self, act: QueuePurge) -> int:
        """Count them; the view has annotated how many are the caller's own."""
        return int(getattr(act, "own", act.messages))

    def get_undo_until(self, act: QueuePurge) -> str:
        """Say when it goes for good."""
        return moment(restorable_until(act.deleted_at))


class RestoredSerializer(serializers.Serializer[Any]):
    """What an undo has put back."""

    purge_id = serializers.CharField()
    restored = serializers.IntegerField(help_text="Messages.")


class RetriedSerializer(serializers.Serializer[Any]):
    """How many messages are tried again, and how many of those that were meant are not."""

    retried = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="In flight just now, not waiting for a later attempt, or not there.")


class RetrySerializer(serializers.Serializer[Any]):
    """Which deferred messages to try again; all that is named has to apply, and without anything it is all of them."""

    queue = serializers.ChoiceField(choices=LANES, required=False)
    domain = StrictCharField(max_length=253, required=False, help_text="Of the recipients.")
    message_ids = serializers.ListField(
        child=StrictCharField(max_length=13), required=False, allow_empty=False, max_length=500
    )

    def validate_domain(self, name: str) -> str:
        """Bring the name into the form in which it is kept."""
        try:
            return to_ascii(name)
        except ValueError as error:
            raise serializers.ValidationError(_("This is not a domain name.")) from error

    def validate_message_ids(self, texts: list[str]) -> list[int]:
        """Read queue ids."""
        numbers = [queue_id(text) for text in texts]
        if None in numbers:
            raise serializers.ValidationError(_("This is not a queue id."))
        return sorted({number for number in numbers if number is not None})


class QueuedMessageSerializer(serializers.ModelSerializer[QueuedMessage]):
    """A message in the queue, in a list. The view has annotated and attached what is not in its row."""

    id = QueueIdField(help_text="The queue id, as in logs and replies.")
    lane = serializers.ChoiceField(choices=Lane.choices)
    state = serializers.SerializerMethodField(help_text="The first of active, held, deferred, queued that applies.")
    subject = serializers.SerializerMethodField()
    message_id = serializers.SerializerMethodField(help_text="The Message-ID of its header.")
    recipient_count = serializers.IntegerField(help_text="Recipients that are not done with.")
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    release_at = serializers.DateTimeField(allow_null=True, help_text="It was handed in for this time.")

    class Meta:
        model = QueuedMessage
        fields = [
            "id",
            "sender",
            "size",
            "received_at",
            "expires_at",
            "lane",
            "state",
            "subject",
            "message_id",
            "recipient_count",
            "next_attempt_at",
            "release_at",
        ]

    def get_state(self, message: QueuedMessage) -> str:
        """Say how it stands."""
        if message.flying:  # type: ignore[attr-defined] # annotated by the view
            return "active"
        return "held" if message.held else "deferred" if message.deferred else "queued"

    def get_subject(self, message: QueuedMessage) -> str:
        """Give the subject that the log has."""
        return self._trace(message).subject

    def get_message_id(self, message: QueuedMessage) -> str:
        """Give the Message-ID that the log has."""
        return self._trace(message).message_id

    def _trace(self, message: QueuedMessage) -> MessageTrace:
        traces: dict[int, MessageTrace] = self.context.get("traces", {})
        return traces.get(message.pk, _NOTHING)


_NOTHING = MessageTrace()


class QueueRecipientSerializer(serializers.ModelSerializer[QueueEntry]):
    """One recipient of a message in the queue."""

    state = serializers.SerializerMethodField(help_text="active, held, deferred, queued, delivered or failed")
    hold_reason = serializers.SerializerMethodField(help_text="Why it is held, in words; empty when it is not.")

    class Meta:
        model = QueueEntry
        fields = ["recipient", "destination", "state", "hold_reason", "attempts", "next_attempt_at", "last_reply"]

    def get_state(self, entry: QueueEntry) -> str:
        """Say how it stands with this recipient."""
        if entry.state == QueueEntry.State.QUEUED:
            if entry.lease_owner and entry.lease_until and entry.lease_until > timezone.now():
                return "active"
            return "deferred" if entry.attempts or entry.parked == Parked.PUT_OFF else "queued"
        return entry.state

    def get_hold_reason(self, entry: QueueEntry) -> str:
        """Say why."""
        return words(entry.hold_reason) if entry.state == QueueEntry.State.HELD else ""

    def to_representation(self, instance: QueueEntry) -> dict[str, Any]:
        """Leave the next attempt out where there will be none."""
        shown = super().to_representation(instance)
        if instance.state != QueueEntry.State.QUEUED:
            shown["next_attempt_at"] = None
        return shown


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One try to hand a message on, with the other server's own words."""

    recipient = serializers.SerializerMethodField()

    class Meta:
        model = Attempt
        fields = [
            "recipient",
            "number",
            "at",
            "duration_ms",
            "host",
            "address",
            "tls",
            "outcome",
            "code",
            "enhanced",
            "reply",
        ]

    def get_recipient(self, attempt: Attempt) -> str:
        """Name the recipient."""
        recipients: dict[int, str] = self.context.get("recipients", {})
        return recipients.get(attempt.trace_id, "")


class QueuedMessageDetailSerializer(QueuedMessageSerializer):
    """A message in the queue, with its recipients and all attempts (the last 500), oldest first."""

    recipients = serializers.SerializerMethodField()
    attempts = serializers.SerializerMethodField()

    class Meta(QueuedMessageSerializer.Meta):
        fields = [*QueuedMessageSerializer.Meta.fields, "recipients", "attempts"]

    def get_recipients(self, message: QueuedMessage) -> list[dict[str, Any]]:  # noqa: ARG002
        """List the recipients that the caller may see."""
        return list(QueueRecipientSerializer(self.context["entries"], many=True).data)

    def get_attempts(self, message: QueuedMessage) -> list[dict[str, Any]]:  # noqa: ARG002
        """List the attempts at them."""
        return list(AttemptSerializer(self.context["attempts"], many=True, context=self.context).data)


class LoggedRecipientSerializer(serializers.ModelSerializer[MessageTrace]):
    """What became of a message for one recipient."""

    outcome = serializers.CharField(source="status")

    class Meta:
        model = MessageTrace
        fields = ["recipient", "outcome", "at"]


class LoggedMessageSerializer(LoggedRecipientSerializer):
    """A message to one recipient, as the log has it."""

    id = QueueIdField(source="message", help_text="The queue id, as in logs and replies.")
    direction = serializers.SerializerMethodField()

    class Meta:
        model = MessageTrace
        fields = ["id", "at", "direction", "outcome", "sender", "recipient", "message_id", "subject", "size"]

    def get_direction(self, trace: MessageTrace) -> str:
        """Say which way it came."""
        return _DIRECTION_WORDS.get(trace.direction, trace.direction)


class MessageSerializer(serializers.Serializer[Any]):
    """A message and all of its recipients."""

    id = serializers.CharField(help_text="The queue id, as in logs and replies.")
    received_at = serializers.DateTimeField()
    direction = serializers.ChoiceField(choices=list(DIRECTIONS))
    sender = serializers.CharField()
    message_id = serializers.CharField(help_text="The Message-ID of its header.")
    subject = serializers.CharField()
    size = serializers.IntegerField()
    recipients = LoggedRecipientSerializer(many=True)


def message_of(traces: Iterable[MessageTrace]) -> dict[str, Any]:
    """Return what ``MessageSerializer`` shows, out of the traces of one message."""
    traces = list(traces)
    first = traces[0]
    return {
        "id": to_text(first.message),
        "received_at": first.at,
        "direction": _DIRECTION_WORDS.get(first.direction, first.direction),
        "sender": first.sender,
        "message_id": first.message_id,
        "subject": first.subject,
        "size": first.size,
        "recipients": traces,
    }


class EventSerializer(serializers.Serializer[Any]):
    """Something that happened to a message: the facts, and the same in words of the caller's language."""

    kind = serializers.CharField()
    time = serializers.DateTimeField()
    recipient = serializers.CharField(help_text="Empty: all of them.")
    detail = serializers.DictField()
    title = serializers.CharField()
    text = serializers.CharField()
    quote = serializers.CharField(help_text="What the other server said, word for word.")
    tone = serializers.ChoiceField(choices=["good", "bad", "wait", "plain"])


def moment(at: Any) -> str:
    """Write a time as all answers have it."""
    return str(serializers.DateTimeField().to_representation(at))
