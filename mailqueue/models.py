"""Accepted messages and their bodies, the outbound queue, its routes, and the timeline of every message.

A message has one id from the moment it is accepted (``a3mailer_site.ids``): the queue id of logs and replies. It names
the message in the queue, in the traces and in the events, and stays when the message has left.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from a3mailer_site.ids import new_id, to_text
from a3mailer_site.keys import decrypt, encrypt
from a3mailer_site.models import Cached


class Body(models.Model):
    """The bytes of one accepted message, stored once for all recipients; see ``bodies.py``.

    Small ones are kept in ``data``; a row without ``data`` has its bytes in a file of the storage ``bodies``.
    """

    id = models.BigIntegerField(primary_key=True, default=new_id)
    size = models.BigIntegerField()
    data = models.BinaryField(null=True)

    class Meta:
        verbose_name = _("body")
        verbose_name_plural = _("bodies")

    def __str__(self) -> str:
        return to_text(self.id)


class Lane(models.TextChoices):
    """Where in the queue a message stands: the first of these that applies. Together they are the whole queue."""

    BOUNCE = "bounce", _("Notices")  # without a sender, and here only
    INCOMING = "incoming", _("Incoming")  # a delivery into a mailbox here is put off
    OUTGOING = "outgoing", _("Outgoing")  # a recipient's first attempt is due or under way
    RETRY = "retry", _("Retry")  # what is left: waits for a later attempt, or is held


class QueuedMessage(models.Model):
    """A message that still has somewhere to go. The row ends when its last recipient has.

    ``lane`` and the four flags say what the entries say; ``standing.py`` keeps them so, and the counters with them.
    """

    id = models.BigIntegerField(primary_key=True, default=new_id)
    body = models.ForeignKey(Body, on_delete=models.PROTECT, related_name="queued")
    sender = models.CharField(_("sender"), max_length=320, blank=True, help_text=_("Empty for bounces."))
    size = models.BigIntegerField(_("size"))
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    ret = models.CharField(max_length=4, blank=True)  # RFC 3461 section 4.3: FULL or HDRS
    envid = models.CharField(max_length=100, blank=True)  # RFC 3461 section 4.4, decoded
    smtputf8 = models.BooleanField(default=False)
    eight_bit = models.BooleanField(default=False)
    requiretls = models.BooleanField(default=False)  # RFC 8689
    submitter_id = models.BigIntegerField(_("submitted by"), null=True, blank=True)
    release_at = models.DateTimeField(_("not before"), null=True, blank=True)  # RFC 4865, or time to think it over
    lane = models.CharField(_("lane"), max_length=8, choices=Lane, blank=True, default="")  # empty: in the trash
    fresh = models.BooleanField(default=False)  # a recipient waits for its first attempt
    deferred = models.BooleanField(default=False)  # the last attempt at a recipient came to nothing for now
    held = models.BooleanField(default=False)  # a recipient is held
    bounced = models.BooleanField(default=False)  # a recipient has failed for good

    class Meta:
        verbose_name = _("queued message")
        verbose_name_plural = _("queued messages")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["lane", "id"], name="queued_lane"),
            models.Index(fields=["id"], name="queued_deferred", condition=Q(deferred=True)),
            models.Index(fields=["id"], name="queued_held", condition=Q(held=True)),
        ]

    def __str__(self) -> str:
        return self.queue_id

    @property
    def queue_id(self) -> str:
        """The id as it stands in logs and replies."""
        return to_text(self.id)


class QueueTally(models.Model):
    """By how much a transaction has changed the numbers of messages. The sums over all rows are the numbers.

    Rows are only added, so that no transaction waits for another one; ``counts.fold`` makes one of many.
    """

    incoming = models.BigIntegerField(default=0)
    outgoing = models.BigIntegerField(default=0)
    retry = models.BigIntegerField(default=0)
    bounce = models.BigIntegerField(default=0)
    fresh = models.BigIntegerField(default=0)
    deferred = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    bounced = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("queue tally")
        verbose_name_plural = _("queue tallies")

    def __str__(self) -> str:
        return str(self.pk)


class QueuePurge(models.Model):
    """One act of taking mail out of the queue, into the trash; see ``purging.py``."""

    queue = models.CharField(_("lane"), max_length=8, choices=Lane, blank=True)  # empty: chosen messages
    message = models.BigIntegerField(null=True, blank=True)  # the one that was chosen
    messages = models.PositiveBigIntegerField(_("messages"), default=0)
    deleted_at = models.DateTimeField(_("deleted"), default=timezone.now)
    by = models.CharField(_("by"), max_length=254)
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)
    emptied_at = models.DateTimeField(_("gone for good"), null=True, blank=True)

    class Meta:
        verbose_name = _("purge of the queue")
        verbose_name_plural = _("trash of the queue")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"purge_{self.pk}"


class QueueEntryQuerySet(models.QuerySet["QueueEntry"]):
    """Questions asked of the queue."""

    def waiting(self) -> "QueueEntryQuerySet":
        """Entries that still want an attempt."""
        return self.filter(state=QueueEntry.State.QUEUED)

    def open(self) -> "QueueEntryQuerySet":
        """Entries that have not come to an end: waiting or held."""
        return self.filter(state__in=OPEN_STATES)

    def in_lane(self, lane: str) -> "QueueEntryQuerySet":
        """Entries of messages in this lane; said so that one can go through them in the order of messages."""
        return self.filter(Exists(QueuedMessage.objects.filter(pk=OuterRef("message"), lane=lane)))

    def in_flight(self, now: datetime) -> "QueueEntryQuerySet":
        """Entries that a worker has in hand."""
        return self.exclude(lease_owner="").filter(lease_until__gt=now)

    def due(self, now: datetime) -> "QueueEntryQuerySet":
        """Entries whose time has come, that nobody has leased, and whose destination takes them as far as we know."""
        return self.waiting().filter(parked=Parked.NO, next_attempt_at__lte=now).exclude(lease_until__gt=now)

    def parked(self, now: datetime) -> "QueueEntryQuerySet":
        """Entries that wait for their destination, and that nobody has leased."""
        return self.waiting().filter(parked__gt=Parked.NO).exclude(lease_until__gt=now)


class Parked(models.IntegerChoices):
    """Whether a recipient waits for its destination, which has a row then (``QueueDestination``)."""

    NO = 0
    BUSY = 1  # there is enough in hand for it: the first attempt is due all the same
    PUT_OFF = 2  # it is away or paused: as good as an attempt that came to nothing


class QueueEntry(models.Model):
    """One recipient of a queued message."""

    class State(models.TextChoices):
        """Where it stands. Leases are separate: a leased entry is a queued one that a worker has in hand."""

        QUEUED = "queued", _("Queued")
        HELD = "held", _("Held")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")
        PURGED = "purged", _("In the trash")

    id = models.BigIntegerField(primary_key=True, default=new_id)
    message = models.ForeignKey(QueuedMessage, on_delete=models.CASCADE, related_name="entries")
    trace_id = models.BigIntegerField()  # MessageTrace
    recipient = models.CharField(_("recipient"), max_length=320)
    destination = models.CharField(_("destination"), max_length=253)  # domain as A-labels, lower case
    return_path = models.CharField(_("return path"), max_length=320, blank=True)  # empty: the message's sender
    orcpt = models.CharField(max_length=500, blank=True)  # RFC 3461 section 4.2, "type;address", decoded
    notify = models.CharField(max_length=30, blank=True)  # RFC 3461 section 4.1: NEVER or a list
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_reply = models.TextField(_("last reply"), blank=True)
    delay_notified_at = models.DateTimeField(null=True, blank=True)
    crashes = models.PositiveSmallIntegerField(default=0)  # attempts that ended in an exception of ours
    local = models.BooleanField(default=False)  # the last attempt was to put it into a mailbox here
    hold_reason = models.CharField(_("held because"), max_length=200, blank=True)  # a code: ``holds.py``
    turn = models.BigIntegerField(default=0)  # whose turn comes first, in microseconds since 1970: ``turns.py``
    parked = models.PositiveSmallIntegerField(choices=Parked, default=Parked.NO)
    purge = models.ForeignKey(QueuePurge, models.PROTECT, related_name="entries", null=True, db_index=False)
    purged_state = models.CharField(max_length=10, blank=True)  # what ``state`` was before it went into the trash

    objects = QueueEntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("queue entry")
        verbose_name_plural = _("queue")
        ordering = ["next_attempt_at"]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="queue_due", condition=Q(state="queued", parked=0)),
            models.Index(fields=["turn"], name="queue_turn", condition=Q(state="queued", parked=0)),
            models.Index(
                fields=["destination", "turn"], name="queue_parked", condition=Q(state="queued", parked__gt=0)
            ),
            models.Index(fields=["message"], name="queue_parked_long", condition=Q(state="queued", parked__gt=0)),
            models.Index(fields=["destination", "message"], name="queue_destination"),
            models.Index(fields=["lease_owner"], name="queue_leased", condition=~Q(lease_owner="")),
            models.Index(fields=["purge", "message"], name="queue_purged", condition=Q(purge__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{to_text(self.message_id)} {self.recipient}"


class QueueDestinationQuerySet(models.QuerySet["QueueDestination"]):
    """Questions asked of the destinations."""

    def ready(self, now: datetime) -> "QueueDestinationQuerySet":
        """Those of which parked entries may be claimed: one, to see whether anybody is there, where it is away."""
        return self.filter(paused=False, next_attempt_at__lte=now).exclude(probing_until__gt=now)


class QueueDestination(models.Model):
    """A destination that mail waits for: busy, away, or paused by somebody. See ``mailcore/delivery/claims.py``.

    What waits is parked: it is not among the due entries, so that nobody who looks for these has to go past it.
    """

    name = models.CharField(_("destination"), max_length=253, primary_key=True)  # as in ``QueueEntry.destination``
    since = models.DateTimeField(_("since"), default=timezone.now)
    failures = models.PositiveIntegerField(_("failures"), default=0)  # in a row, at which nobody was there; 0: busy
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now, db_index=True)
    probing_until = models.DateTimeField(null=True)  # somebody is trying whether it is back
    last_reply = models.TextField(_("last reply"), blank=True)
    paused = models.BooleanField(_("paused"), default=False)
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)  # of the pause
    paused_by = models.CharField(_("by"), max_length=254, blank=True)

    objects = QueueDestinationQuerySet.as_manager()

    class Meta:
        verbose_name = _("destination that mail waits for")
        verbose_name_plural = _("destinations that mail waits for")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """``paused``, ``away`` or ``busy``."""
        return "paused" if self.paused else "away" if self.failures else "busy"


OPEN_STATES = (QueueEntry.State.QUEUED, QueueEntry.State.HELD)


class Suppression(models.Model):
    """An address that a domain does not write to. See ``suppressions.py``."""

    class Reason(models.TextChoices):
        """Why."""

        BOUNCE = "bounce", _("Bounced")
        COMPLAINT = "complaint", _("Complained")
        HAND = "hand", _("Entered by hand")

    domain = models.CharField(_("domain"), max_length=253, help_text=_("The domain that sends."))  # A-labels
    address = models.CharField(_("address"), max_length=320)  # canonical: ``suppressions.canonical``
    reason = models.CharField(_("reason"), max_length=9, choices=Reason, default=Reason.HAND)
    reply = models.CharField(_("because"), max_length=500, blank=True)
    message = models.BigIntegerField(_("message"), null=True, blank=True, editable=False)  # the one that came back
    at = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["domain", "address"], name="suppression_once")]

    def __str__(self) -> str:
        return self.address


class Route(models.Model):
    """Where mail for a domain goes instead of to its MX hosts. ``*`` is the smart host for all other domains."""

    class Tls(models.TextChoices):
        """How much TLS matters on this route."""

        NEVER = "never", _("Never")
        OPPORTUNISTIC = "opportunistic", _("When offered")
        REQUIRED = "required", _("Required, with a valid certificate")

    domain = models.CharField(_("domain"), max_length=253, unique=True, help_text=_("* for all other domains."))
    host = models.CharField(_("host"), max_length=253)
    port = models.PositiveIntegerField(_("port"), default=25)
    tls = models.CharField(_("TLS"), max_length=14, choices=Tls, default=Tls.OPPORTUNISTIC)
    username = models.CharField(_("user name"), max_length=254, blank=True)
    password_encrypted = models.TextField(blank=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("route")
        verbose_name_plural = _("routes")
        ordering = ["domain"]

    def __str__(self) -> str:
        return f"{self.domain} → {self.host}:{self.port}"

    @property
    def password(self) -> str:
        """The password for AUTH, kept encrypted with the data directory's key."""
        return decrypt(self.password_encrypted)

    @password.setter
    def password(self, value: str) -> None:
        self.password_encrypted = encrypt(value)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the domain in its one form."""
        self.domain = self.domain.strip().rstrip(".").lower()
        super().save(*args, **kwargs)


class SendingTally(models.Model):
    """To how many recipients elsewhere a user, or all users of a domain, have sent in one hour of the clock."""

    class Kind(models.TextChoices):
        """Who is counted."""

        USER = "user", _("User")
        DOMAIN = "domain", _("Domain")

    kind = models.CharField(_("kind"), max_length=6, choices=Kind)
    number = models.BigIntegerField()  # the user's or the domain's
    hour = models.IntegerField()  # hours since 1970
    recipients = models.PositiveBigIntegerField(_("recipients"), default=0)
    held = models.PositiveBigIntegerField(_("held"), default=0)  # of these
    alarmed = models.BooleanField(default=False)  # the administrator knows

    class Meta:
        verbose_name = _("sending tally")
        verbose_name_plural = _("sending tallies")
        constraints = [models.UniqueConstraint(fields=["kind", "number", "hour"], name="sending_tally_once")]
        indexes = [models.Index(fields=["hour"], name="sending_tally_hour")]

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {self.hour}"


class SubmissionManager(models.Manager["Submission"]):
    """What was handed in a short while ago."""

    def find(self, user: int, mark: bytes, seconds: int) -> int | None:
        """Return the queue id of the message that this user handed in with this mark within so many seconds.

        One that did not reach a recipient, or was taken out of the queue, does not count: who hands it in again wants
        it sent.
        """
        since = timezone.now() - timedelta(seconds=seconds)
        found = (
            self.filter(user=user, mark=mark, at__gt=since).order_by("-id").values_list("message", flat=True).first()
        )
        if found is None:
            return None
        fates = set(MessageTrace.objects.filter(message=found).values_list("status", flat=True))
        return found if fates and fates.isdisjoint(MessageTrace.UNDELIVERED) else None

    def forget_outlived(self, seconds: int) -> int:
        """Remove what nobody will look for any more; returns how many."""
        return self.filter(at__lte=timezone.now() - timedelta(seconds=seconds)).delete()[0]


class Submission(models.Model):
    """A message that somebody handed in, by what tells it from all others. The last one counts."""

    user = models.BigIntegerField()  # no foreign key: it outlives nobody by more than an hour
    mark = models.BinaryField(max_length=32)
    message = models.BigIntegerField()  # the queue id
    at = models.DateTimeField(db_index=True)

    objects = SubmissionManager()

    class Meta:
        indexes = [models.Index(fields=["user", "mark"], name="submission_mark")]

    def __str__(self) -> str:
        return to_text(self.message)


class StsPolicyManager(models.Manager["StsPolicy"]):
    """Policies as plain values; times in seconds since 1970."""

    def find(self, domain: str) -> tuple[str, str, list[str], int, float] | None:
        """Return id, mode, hosts, greatest age and end of a domain's policy."""
        row = self.filter(domain=domain).first()
        return None if row is None else (row.policy_id, row.mode, row.hosts, row.max_age, row.ends_at.timestamp())

    def keep(self, domain: str, policy_id: str, mode: str, hosts: Iterable[str], max_age: int, ends: float) -> None:
        """Put a policy in the place of the one before."""
        values = {
            "policy_id": policy_id,
            "mode": mode,
            "hosts": list(hosts),
            "max_age": max_age,
            "ends_at": datetime.fromtimestamp(ends, UTC),
        }
        self.update_or_create(domain=domain, defaults=values)

    def forget_outlived(self, now: datetime) -> int:
        """Remove the policies that are over; returns how many."""
        return self.filter(ends_at__lte=now).delete()[0]


class StsPolicy(models.Model):
    """What another domain has said of its mail hosts (MTA-STS, RFC 8461), as long as it said that this holds."""

    domain = models.CharField(max_length=253, unique=True)  # A-labels
    policy_id = models.CharField(max_length=32)
    mode = models.CharField(max_length=10)
    hosts = models.JSONField()
    max_age = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    objects = StsPolicyManager()

    def __str__(self) -> str:
        return f"{self.domain}: {self.mode}"


class MessageTrace(models.Model):
    """One message to one recipient: what one searches by when mail is missing. Ids sort by time."""

    class Direction(models.TextChoices):
        """Which way it came."""

        INBOUND = "in", _("Received")
        SUBMITTED = "sub", _("Submitted")
        INTERNAL = "int", _("Made here")  # bounces

    class Status(models.TextChoices):
        """How it stands with this recipient."""

        DELIVERED = "delivered", _("Delivered")
        EXPANDED = "expanded", _("Passed to the targets of an alias")
        QUEUED = "queued", _("Queued")
        DEFERRED = "deferred", _("Deferred")
        SENT = "sent", _("Sent on")
        FAILED = "failed", _("Failed")
        HELD = "held", _("Held")
        PURGED = "purged", _("In the trash")

    UNDELIVERED = frozenset({Status.FAILED, Status.PURGED})

    id = models.BigIntegerField(primary_key=True, default=new_id)
    message = models.BigIntegerField()  # the queue id
    at = models.DateTimeField(_("at"), default=timezone.now)
    direction = models.CharField(_("direction"), max_length=3, choices=Direction)
    status = models.CharField(_("status"), max_length=10, choices=Status)
    sender = models.CharField(_("sender"), max_length=320, blank=True)
    recipient = models.CharField(_("recipient"), max_length=320)
    message_id = models.CharField(_("Message-ID"), max_length=250, blank=True)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    size = models.BigIntegerField(_("size"), default=0)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("message log")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["message"], name="trace_message"),
            # The operator classes let PostgreSQL find beginnings; equality uses these indexes all the same.
            models.Index(fields=["sender", "id"], name="trace_sender", opclasses=["varchar_pattern_ops", "int8_ops"]),
            models.Index(
                fields=["recipient", "id"], name="trace_recipient", opclasses=["varchar_pattern_ops", "int8_ops"]
            ),
            models.Index(fields=["message_id"], name="trace_message_id"),
        ]

    def __str__(self) -> str:
        return f"{to_text(self.message)} {self.recipient}"

    @property
    def queue_id(self) -> str:
        """The message's id as it stands in logs and replies."""
        return to_text(self.message)


class MessageEvent(models.Model):
    """Something that happened to a message; without ``trace_id`` to all of its recipients."""

    class Kind(models.TextChoices):
        """What happened. ``detail`` has the facts; ``timeline.py`` puts them into words."""

        RECEIVED = "received", _("Received")  # connection, TLS, login, acceptance: one row
        DELIVERED = "delivered", _("Delivered")  # into a mailbox
        QUEUED = "queued", _("Queued")
        ATTEMPT = "attempt", _("Attempt")  # with the remote's words
        SENT = "sent", _("Sent on")
        DEFERRED = "deferred", _("Deferred")
        FAILED = "failed", _("Failed")
        BOUNCED = "bounced", _("Bounce sent")
        DELAY_NOTICE = "delay", _("Delay notice sent")
        HELD = "held", _("Held")
        RELEASED = "released", _("Released")
        RETRIED = "retried", _("Retry asked for")
        PURGED = "purged", _("Put into the trash")
        RESTORED = "restored", _("Taken out of the trash")
        RETURNED = "returned", _("Reported on")  # another server's report came back later
        COMPLAINED = "complained", _("Complained about")  # a recipient has called it spam (RFC 5965)
        MAILBOX = "mailbox", _("Changed in the mailbox")  # read, moved, deleted

    id = models.BigAutoField(primary_key=True)
    message = models.BigIntegerField()
    trace_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=10, choices=Kind)
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]
        indexes = [models.Index(fields=["message"], name="event_message")]

    def __str__(self) -> str:
        return f"{to_text(self.message)} {self.kind}"


class MailboxAct(models.Model):
    """What a client did to messages in a mailbox, one row a command however many messages it was about.

    ``acts.py`` finds the acts of one message: its delivery says where it went, and each copy or move where to look
    next. There is no foreign key: what became of a message is known for longer than the mailbox may last.
    """

    class Verb(models.TextChoices):
        """The command."""

        STORE = "store", _("Flags changed")
        COPY = "copy", _("Copied")
        MOVE = "move", _("Moved")
        APPEND = "append", _("Uploaded")
        REPLACE = "replace", _("Replaced")
        EXPUNGE = "expunge", _("Deleted")

    id = models.BigIntegerField(primary_key=True, default=new_id)
    mailbox = models.BigIntegerField()
    at = models.DateTimeField(_("at"), default=timezone.now)
    verb = models.CharField(_("act"), max_length=8, choices=Verb)
    uids = models.TextField(_("messages"))  # UIDs as IMAP writes sets: 1:3,7
    # login, address, protocol, device; flags; where copies went, their UIDs in the order of ``uids``
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("act in a mailbox")
        verbose_name_plural = _("acts in mailboxes")
        ordering = ["-id"]
        indexes = [models.Index(fields=["mailbox", "id"], name="act_mailbox")]

    def __str__(self) -> str:
        return f"{self.verb} {self.mailbox}:{self.uids[:40]}"


class Attempt(models.Model):
    """One try to hand a message on for one recipient, with the remote server's own words."""

    class Outcome(models.TextChoices):
        """How it ended."""

        SENT = "sent", _("Sent on")
        DEFERRED = "deferred", _("Deferred")
        FAILED = "failed", _("Failed")

    id = models.BigAutoField(primary_key=True)
    message = models.BigIntegerField(db_index=True)
    trace_id = models.BigIntegerField()
    number = models.PositiveIntegerField(_("number"))
    at = models.DateTimeField(_("at"), default=timezone.now)
    duration_ms = models.PositiveIntegerField(_("duration (ms)"), default=0)
    host = models.CharField(_("host"), max_length=253, blank=True)
    address = models.CharField(_("address"), max_length=60, blank=True)
    tls = models.CharField(_("TLS"), max_length=80, blank=True)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome)
    code = models.PositiveSmallIntegerField(_("code"), null=True)
    enhanced = models.CharField(_("enhanced code"), max_length=12, blank=True)
    reply = models.TextField(_("reply"), blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{to_text(self.message)} #{self.number} {self.outcome}"


class Webhook(Cached):
    """A program of somebody's that is told over HTTP what happens to mail. See ``webhooks.py`` and ``outbox.py``."""

    cached_under = "webhooks"

    class Event(models.TextChoices):
        """What can be told."""

        ACCEPTED = "accepted", _("Accepted")  # from somebody who has logged in, or over the API
        RECEIVED = "received", _("Received")  # from another server
        DELIVERED = "delivered", _("Delivered")  # into a mailbox here, or to the next server
        DEFERRED = "deferred", _("Deferred")
        BOUNCED = "bounced", _("Bounced")
        COMPLAINED = "complained", _("Complained")
        TEST = "test", _("Test")  # only when somebody asks for one

    url = models.CharField(_("URL"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True)
    events = models.JSONField(_("events"), default=list)  # of ``Event``
    domains = models.JSONField(null=True, blank=True)  # A-labels; null: all
    enabled = models.BooleanField(_("enabled"), default=True)
    secret_encrypted = models.TextField(editable=False)
    # The one before it signs too, until then.
    old_secret_encrypted = models.TextField(blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    # How it goes. Written by ``update``, which makes no cache forget.
    last_success_at = models.DateTimeField(_("last success"), null=True, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)  # since the last success
    not_before = models.DateTimeField(_("next attempt"), null=True, editable=False)
    lease_owner = models.CharField(max_length=80, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    # A replay under way: events of the message log after the one and up to the other are still to be put into the box.
    replay_after = models.BigIntegerField(null=True, editable=False)
    replay_up_to = models.BigIntegerField(null=True, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """The outbox: an event that a webhook has not been told yet, written in the transaction of the event itself.

    What has been told is deleted. No constraint on ``webhook``: mail must not be refused because one is deleted.
    """

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries", db_constraint=False, db_index=False)
    message = models.BigIntegerField()  # the queue id; 0 for a test
    trace_id = models.BigIntegerField(null=True)
    at = models.DateTimeField(_("at"))  # when it happened
    kind = models.CharField(_("event"), max_length=10)  # of ``MessageEvent``, or "test"
    detail = models.JSONField(default=dict)
    replayed = models.BooleanField(_("replayed"), default=False)
    queued_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)
    failed_at = models.DateTimeField(_("given up"), null=True)

    class Meta:
        verbose_name = _("event for a webhook")
        verbose_name_plural = _("events for webhooks")
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["webhook", "id"], name="delivery_waiting", condition=Q(failed_at=None)),
            models.Index(fields=["webhook", "message", "id"], name="delivery_order", condition=Q(failed_at=None)),
            models.Index(fields=["failed_at"], name="delivery_failed", condition=Q(failed_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {to_text(self.message)}"
