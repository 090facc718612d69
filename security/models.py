"""The audit log, the recent login failures, who may not come in, and what the posture checks found."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from a3mailer_site.models import Cached

# Severities that the overview counts as security events.
NOTABLE = ("warning", "error", "critical")


class AuditEntry(models.Model):
    """Something that somebody did, or tried. Rows are only ever added.

    ``seq``, ``prev`` and ``hash`` are filled in afterwards, in order, by the one process that seals the log.
    User ids are text: an entry outlives the user.
    """

    class EventType(models.TextChoices):
        """The closed list of the API reference."""

        AUTHENTICATION = "authentication", _("Authentication")
        AUTHORIZATION = "authorization", _("Authorization")
        DATA_ACCESS = "data_access", _("Data access")
        CONFIGURATION_CHANGE = "configuration_change", _("Configuration change")
        SECURITY_VIOLATION = "security_violation", _("Security violation")
        SYSTEM = "system", _("System")
        NETWORK = "network", _("Network")
        EMAIL = "email", _("Email")
        ADMINISTRATIVE = "administrative", _("Administrative")

    class Severity(models.TextChoices):
        """How much it matters."""

        INFO = "info", _("Info")
        WARNING = "warning", _("Warning")
        ERROR = "error", _("Error")
        CRITICAL = "critical", _("Critical")

    class Outcome(models.TextChoices):
        """How it ended."""

        SUCCESS = "success", _("Success")
        FAILURE = "failure", _("Failure")
        UNKNOWN = "unknown", _("Unknown")

    at = models.DateTimeField(_("at"), default=timezone.now, editable=False, db_index=True)
    event_type = models.CharField(_("type"), max_length=24, choices=EventType)
    severity = models.CharField(_("severity"), max_length=8, choices=Severity, default=Severity.INFO)
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome, default=Outcome.SUCCESS)
    source_ip = models.GenericIPAddressField(_("source address"), null=True, blank=True)
    user_id = models.CharField(_("user id"), max_length=40, blank=True)
    action = models.CharField(_("action"), max_length=60)
    metadata = models.JSONField(_("details"), default=dict)
    request_id = models.CharField(_("request id"), max_length=80, blank=True)
    seq = models.BigIntegerField(null=True, unique=True, editable=False)
    prev = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        ordering = ["-id"]
        # What the API filters by, each with the time: a page and its total are read from an index of a million rows.
        indexes = [
            models.Index(fields=["id"], name="audit_unsealed", condition=Q(seq__isnull=True)),
            models.Index(fields=["event_type", "at"], name="audit_type"),
            models.Index(fields=["action", "at"], name="audit_action"),
            models.Index(fields=["outcome", "at"], name="audit_outcome"),
            models.Index(fields=["severity", "at"], name="audit_severity"),
            models.Index(fields=["source_ip", "at"], name="audit_source", condition=Q(source_ip__isnull=False)),
            models.Index(fields=["user_id", "at"], name="audit_user"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.at:%Y-%m-%d %H:%M:%S}"


class LoginFailureQuerySet(models.QuerySet["LoginFailure"]):
    """Questions asked of the recent failures."""

    def since(self, moment: datetime) -> "LoginFailureQuerySet":
        """Failures at or after ``moment``."""
        return self.filter(at__gte=moment)


class LoginFailure(models.Model):
    """A login that failed, on any protocol. Every process's limiter reads the recent ones."""

    at = models.DateTimeField(_("at"), default=timezone.now, db_index=True)
    address = models.GenericIPAddressField(_("address"))
    login = models.CharField(_("login"), max_length=254)
    protocol = models.CharField(_("protocol"), max_length=12)

    objects = LoginFailureQuerySet.as_manager()

    class Meta:
        verbose_name = _("login failure")
        verbose_name_plural = _("login failures")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["address", "at"], name="failure_address"),
            models.Index(fields=["login", "at"], name="failure_login"),
        ]

    def __str__(self) -> str:
        return f"{self.login} from {self.address}"


class AuditCheckpoint(models.Model):
    """Where the chain begins after old entries have been purged: number and hash of the last one that is gone.

    There is one row at most. ``seal`` covers it under the key of the chain, so that nobody else can move the beginning.
    """

    seq = models.BigIntegerField(_("number"))
    hash = models.CharField(_("hash"), max_length=64)
    purged_at = models.DateTimeField(_("purged"))
    seal = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("audit checkpoint")
        verbose_name_plural = _("audit checkpoints")

    def __str__(self) -> str:
        return str(self.seq)


class BlockedAddressQuerySet(models.QuerySet["BlockedAddress"]):
    """Questions asked of the block list."""

    def in_force(self, now: datetime) -> "BlockedAddressQuerySet":
        """Blocks that still hold at ``now``."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))

    def over(self, now: datetime) -> "BlockedAddressQuerySet":
        """Blocks whose time is over at ``now``."""
        return self.filter(expires_at__lte=now)


class BlockedAddress(Cached):
    """An address or a network that may not connect, to any protocol or to the web.

    A permanent block has no ``expires_at``; there is no second flag that could disagree with it. ``hits`` are
    connections and requests that were refused because of it, counted where they were refused.
    """

    cached_under = "blocks"

    class Source(models.TextChoices):
        """Who made the block."""

        API = "api", _("API")
        ADMIN = "admin", _("web admin")
        COMMAND = "command", _("command line")
        AUTOMATIC = "automatic", _("automatic")

    network = models.CharField(_("address or network"), max_length=43, unique=True)
    reason = models.CharField(_("reason"), max_length=255, blank=True)
    source = models.CharField(_("made by"), max_length=9, choices=Source, default=Source.API, editable=False)
    blocked_at = models.DateTimeField(_("blocked"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(
        _("expires"), null=True, blank=True, db_index=True, help_text=_("Empty: the block is permanent.")
    )
    hits = models.PositiveBigIntegerField(_("refused"), default=0, editable=False)
    last_seen = models.DateTimeField(_("last refused"), null=True, blank=True, editable=False)

    objects = BlockedAddressQuerySet.as_manager()

    class Meta:
        verbose_name = _("blocked address")
        verbose_name_plural = _("blocked addresses")
        ordering = ["-blocked_at", "-pk"]

    def __str__(self) -> str:
        return self.network


class AllowedNetwork(Cached):
    """An address or a network that is never blocked, whatever the block list says."""

    cached_under = "blocks"

    network = models.CharField(_("address or network"), max_length=43, unique=True)
    reason = models.CharField(_("reason"), max_length=255, blank=True)
    added_at = models.DateTimeField(_("added"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("allowed network")
        verbose_name_plural = _("allowed networks")
        ordering = ["network"]

    def __str__(self) -> str:
        return self.network


class Tally(models.Model):
    """How often something was refused in one minute. One row a minute and kind, so a flood does not fill the disk."""

    class Kind(models.TextChoices):
        """What was refused, and by which limit."""

        GLOBAL = "global", _("requests: limit of the server")
        PER_IP = "per_ip", _("requests: limit of an address")
        PER_USER = "per_user", _("requests: limit of a user or key")
        COSTLY = "costly", _("requests: limit of a costly operation")
        API_LOGIN = "api_login", _("API keys that do not hold")

    minute = models.DateTimeField(_("minute"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    count = models.PositiveBigIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("refused requests of a minute")
        verbose_name_plural = _("refused requests")
        ordering = ["-minute", "kind"]
        constraints = [models.UniqueConstraint(fields=["minute", "kind"], name="tally_minute_kind")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.kind}"


class PostureResult(models.Model):
    """What a posture check found when it ran last. The texts are the check's; here are only the facts in them."""

    class Status(models.TextChoices):
        """How a check came out. What is unknown does not count."""

        PASS = "pass", _("passed")
        FAIL = "fail", _("failed")
        UNKNOWN = "unknown", _("unknown")

    check_id = models.CharField(_("check"), max_length=40, primary_key=True)
    status = models.CharField(_("result"), max_length=7, choices=Status)
    text = models.CharField(max_length=40, blank=True, editable=False)
    facts = models.JSONField(_("details"), default=dict)
    ran_at = models.DateTimeField(_("checked"))

    class Meta:
        verbose_name = _("posture check")
        verbose_name_plural = _("posture checks")
        ordering = ["check_id"]

    def __str__(self) -> str:
        return self.check_id


_FORGOTTEN_AT_ONCE = 500


class GreylistedQuerySet(models.QuerySet["Greylisted"]):
    """Questions asked of those who had to come again."""

    def outlived(self, passed_before: datetime, first_before: datetime) -> "GreylistedQuerySet":
        """Rows that mean nothing any more: forgotten after they came again, or never come again."""
        return self.filter(Q(last_at__lt=passed_before) | Q(passed_at__isnull=True, first_at__lt=first_before))

    def forget(self) -> int:
        """Delete these, few rows a transaction, so that nobody waits for it; returns how many."""
        forgotten = 0
        while pks := list(self.order_by("pk").values_list("pk", flat=True)[:_FORGOTTEN_AT_ONCE]):
            forgotten += Greylisted.objects.filter(pk__in=pks).delete()[0]
        return forgotten


class Greylisted(models.Model):
    """A network, a sender and a recipient whose first message had to come again. See ``greylisting.py``."""

    network = models.CharField(_("network"), max_length=43)
    sender = models.CharField(_("sender"), max_length=254, blank=True)
    recipient = models.CharField(_("recipient"), max_length=254)
    first_at = models.DateTimeField(_("first seen"))
    passed_at = models.DateTimeField(_("came again"), null=True, blank=True)
    last_at = models.DateTimeField(_("last seen"), db_index=True)

    objects = GreylistedQuerySet.as_manager()

    class Meta:
        verbose_name = _("greylisted sender")
        verbose_name_plural = _("greylisted senders")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["network", "sender", "recipient"], name="greylisted_once")]

    def __str__(self) -> str:
        return f"{self.network} {self.sender} {self.recipient}"
