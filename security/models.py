"""The audit log and the recent login failures."""

from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


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
        indexes = [models.Index(fields=["id"], name="audit_unsealed", condition=models.Q(seq__isnull=True))]

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
