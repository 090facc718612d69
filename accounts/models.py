"""Users, aliases and API keys."""

import hashlib
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, Group, PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from a3mailer_site.models import Cached, Generation
from a3mailer_site.trash import oldest_restorable, restorable_until
from domains.models import Domain


class UserManager(BaseUserManager["User"]):
    """The users that are here, and not those in the trash; makes users as ``createsuperuser`` and tests expect."""

    def get_queryset(self) -> models.QuerySet["User"]:
        """Leave out deleted users, so that nobody takes one for a user who is here."""
        return super().get_queryset().filter(deleted_at__isnull=True)

    def create_user(self, username: str, password: str | None = None, **fields: object) -> "User":
        """Make a user; an address without its domain here is refused by ``full_clean``."""
        user = self.model(username=username, **fields)
        user.set_password(password)
        with transaction.atomic():
            user.full_clean(exclude=["password"])
            user.save()
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: object) -> "User":
        """Make an administrator of everything."""
        return self.create_user(username, password, is_staff=True, is_superuser=True, **fields)


class UserQuerySet(models.QuerySet["User"]):
    """Questions asked of all users, the deleted ones too."""

    def restorable(self, since: datetime) -> "UserQuerySet":
        """Users in the trash that may be had back; ``since`` is the oldest deletion that is not too old."""
        return self.filter(deleted_at__gt=since).exclude(deleted_username="")


class User(Cached, AbstractBaseUser, PermissionsMixin):
    """Somebody who may log in. With an address also a mailbox; an administrator can do without.

    ``used_quota`` is kept in the transactions that insert and expunge mail; ``checkquota`` proves it.

    A deleted user stays with mailboxes and mail for a while (``trash.py``). The names are in ``deleted_username`` and
    ``deleted_email`` then and free for others; ``username`` is something that nobody can log in with. ``objects`` are
    the users that are here, ``everybody`` has the deleted ones too.
    """

    cached_under = "addresses"

    username = models.CharField(_("login name"), max_length=254, unique=True)
    email = models.CharField(_("address"), max_length=320, null=True, blank=True, unique=True)
    # No index of its own: the one below begins with it.
    domain = models.ForeignKey(
        Domain, on_delete=models.PROTECT, null=True, blank=True, related_name="users", db_index=False
    )
    full_name = models.CharField(_("name"), max_length=200, blank=True)
    quota = models.PositiveBigIntegerField(_("quota"), default=0, help_text=_("In bytes. 0: no limit."))
    used_quota = models.PositiveBigIntegerField(_("used"), default=0, editable=False)
    undo_seconds = models.PositiveSmallIntegerField(
        _("seconds to think it over"),
        default=0,
        validators=[MaxValueValidator(600)],
        help_text=_("What the user sends waits so long, and can be taken back meanwhile. 0: it goes at once."),
    )
    send_limit_hour = models.PositiveIntegerField(
        _("recipients an hour"),
        null=True,
        blank=True,
        help_text=_("Mail to more recipients elsewhere is held. 0: no limit. Empty: as set for the server."),
    )
    send_limit_day = models.PositiveIntegerField(
        _("recipients a day"),
        null=True,
        blank=True,
        help_text=_("Mail to more recipients elsewhere is held. 0: no limit. Empty: as set for the server."),
    )
    is_active = models.BooleanField(
        _("enabled"), default=True, help_text=_("A disabled user cannot log in and receives no mail.")
    )
    is_staff = models.BooleanField(_("administrator"), default=False, help_text=_("May enter the web admin."))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True, editable=False)
    deleted_username = models.CharField(_("login name"), max_length=254, blank=True, editable=False)
    deleted_email = models.CharField(_("address"), max_length=320, null=True, blank=True, editable=False)
    deleted_active = models.BooleanField(default=False, editable=False)  # whether enabled, for the restore
    restored_at = models.DateTimeField(_("restored"), null=True, blank=True, editable=False)

    objects = UserManager()
    everybody = UserQuerySet.as_manager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["username"]
        indexes = [
            # Counts users without a look at them: those of a domain, and all.
            models.Index(fields=["domain", "deleted_at"], name="user_domain"),
            models.Index(fields=["deleted_at"], name="user_trash", condition=Q(deleted_at__isnull=False)),
            # Each deletion asks who else is an administrator, and few of many are.
            models.Index(fields=["id"], name="user_administrators", condition=Q(is_superuser=True)),
        ]

    def __str__(self) -> str:
        return self.deleted_email or self.deleted_username or self.email or self.username

    def get_session_auth_hash(self) -> str:
        """Return what a web session is bound to: the password, and that the user was not deleted since it began."""
        bound = super().get_session_auth_hash()
        if self.restored_at is None:
            return bound
        return salted_hmac("accounts.User.restored", f"{bound} {self.restored_at.isoformat()}").hexdigest()

    @property
    def may_log_in(self) -> bool:
        """Whether neither the user nor the domain is disabled."""
        return self.is_active and (self.domain is None or self.domain.enabled)

    @property
    def restorable_until(self) -> datetime | None:
        """When what is in the trash goes for good."""
        return None if self.deleted_at is None else restorable_until(self.deleted_at)

    def clean(self) -> None:
        """Bring names into their one form; the rules for addresses are in ``addresses.py``."""
        from accounts.addresses import claim_address, fold, hold_domains  # noqa: PLC0415 - addresses.py reads these models

        # A form hands over None for what it has refused already.
        self.username = fold((self.username or "").strip())
        if any(unicodedata.category(sign)[0] in "CZ" for sign in self.username):
            raise ValidationError({"username": _("A login name has no spaces and no control characters.")})
        # A login may be a name or an address: one person's name must not be another's address.
        hold_domains(self.username, self.email or "")
        if User.objects.filter(email=self.username).exclude(pk=self.pk).exists():
            taken = ValidationError(_("This is somebody else's address."), code="unique")
            raise ValidationError({"username": taken})
        if self.email:
            try:
                self.email, self.domain = claim_address(self.email, user=self)
            except ValidationError as error:
                raise ValidationError({"email": error.error_list}) from error
        else:
            self.email, self.domain = None, None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; what other transactions keep in the row (``used_quota``, ``last_login``) stays as they wrote it."""
        if not self._state.adding and not args and kwargs.get("update_fields") is None:
            kept = {"id", "used_quota", "last_login"}
            kwargs["update_fields"] = [field.name for field in self._meta.concrete_fields if field.name not in kept]
        super().save(*args, **kwargs)


class DeletedUserManager(models.Manager["DeletedUser"]):
    """The trash as it can be had back now."""

    def get_queryset(self) -> models.QuerySet["DeletedUser"]:
        """Return the deleted users that are not too old."""
        lasting = super().get_queryset().filter(deleted_at__gt=oldest_restorable(timezone.now()))
        return lasting.exclude(deleted_username="")


class DeletedUser(User):
    """A user in the trash, for the web admin."""

    objects = DeletedUserManager()  # type: ignore[assignment, misc] # of another set of rows

    class Meta:
        proxy = True
        verbose_name = _("deleted user")
        verbose_name_plural = _("deleted users")
        ordering = ["-deleted_at", "-pk"]


class Alias(Cached):
    """An address that stands for others. With an empty local part (``@example.com``) the domain's catch-all."""

    cached_under = "addresses"

    address = models.CharField(_("address"), max_length=320, unique=True)
    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="aliases", editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("alias")
        verbose_name_plural = _("aliases")
        ordering = ["address"]

    def __str__(self) -> str:
        return self.address

    def clean(self) -> None:
        """Bring the address into its one form and see that nobody else has it."""
        from accounts.addresses import claim_address, hold_domains  # noqa: PLC0415 - addresses.py reads these models

        hold_domains(self.address)
        try:
            self.address, self.domain = claim_address(self.address, alias=self)
        except ValidationError as error:
            raise ValidationError({"address": error.error_list}) from error


class AliasTarget(Cached):
    """One of the addresses that an alias stands for, here or elsewhere."""

    cached_under = "addresses"

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="targets")
    address = models.CharField(_("address"), max_length=320)

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        constraints = [models.UniqueConstraint(fields=["alias", "address"], name="alias_target")]

    def __str__(self) -> str:
        return self.address

    def clean(self) -> None:
        """Bring the address into its one form."""
        from accounts.addresses import normalize  # noqa: PLC0415 - addresses.py reads these models

        try:
            self.address = normalize(self.address)
        except ValueError as error:
            raise ValidationError({"address": _("This is not a mail address.")}) from error


class GroupBirth(models.Model):
    """When a group was made, which Django's own table does not say. A group from before has none."""

    group = models.OneToOneField(Group, on_delete=models.CASCADE, primary_key=True, related_name="birth")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("making of a group")
        verbose_name_plural = _("makings of groups")

    def __str__(self) -> str:
        return str(self.group)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Questions asked of the keys."""

    def in_force(self, now: datetime) -> "ApiKeyQuerySet":
        """Keys that are neither revoked nor past their end at ``now``."""
        return self.filter(revoked_at__isnull=True).filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))

    def revoke(self, now: datetime) -> int:
        """End these keys now and for good; returns how many were still good. The rows stay, and so do their ids."""
        return self.filter(revoked_at__isnull=True).update(revoked_at=now)

    def note_use(self, now: datetime, step: timedelta) -> int:
        """Write down that these keys are used now, unless that was written less than ``step`` ago."""
        due = self.filter(Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - step))
        return super(ApiKeyQuerySet, due).update(last_used_at=now)

    def update(self, **fields: Any) -> int:
        """Change, and make every process forget the keys that it remembers."""
        with transaction.atomic():
            changed = super().update(**fields)
            Generation.objects.bump(ApiKey.cached_under)
        return changed


class ApiKey(Cached):
    """A key to the API. Only the SHA-256 of its 256 random bits is stored; the key itself is shown once.

    ``allowed_networks`` and ``domains`` (A-labels) bound it; ``None`` is no bound. Domains are names and no references:
    a domain that goes takes nothing from the list, or its last one would leave a key for all.
    """

    PREFIX = "sk_live_"
    PERMISSIONS = ("read", "write", "admin")

    cached_under = "api_keys"

    owner = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="api_keys")
    name = models.CharField(_("name"), max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("begins with"), max_length=16, editable=False)
    permissions = models.JSONField(_("permissions"), default=list)
    allowed_networks = models.JSONField(_("networks"), null=True, blank=True, default=None)
    domains = models.JSONField(_("domains"), null=True, blank=True, default=None)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def digest_of(cls, secret: str) -> str:
        """Return what is stored of a key. One round suffices: nobody can guess 256 random bits."""
        return hashlib.sha256(secret.encode()).hexdigest()

    @classmethod
    def issue(
        cls,
        name: str,
        permissions: list[str],
        *,
        owner: User | None = None,
        expires_at: datetime | None = None,
        allowed_networks: list[str] | None = None,
        domains: list[str] | None = None,
    ) -> tuple["ApiKey", str]:
        """Make a key; returns the row and the secret, which cannot be had again. The rules are in ``key_bounds.py``."""
        secret = cls.PREFIX + secrets.token_urlsafe(32)
        key = cls.objects.create(
            name=name,
            permissions=permissions,
            owner=owner,
            expires_at=expires_at,
            allowed_networks=allowed_networks,
            domains=domains,
            digest=cls.digest_of(secret),
            hint=secret[:12],
        )
        return key, secret
