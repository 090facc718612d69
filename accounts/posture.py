"""The posture checks about accounts: hashes, administrators, API keys."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, User
from security.posture import Finding, check, failed, passed

# What a password hash of ours begins with, and one that opens nothing.
_GOOD_HASH = "argon2$argon2id$"
_NO_PASSWORD = "!"  # noqa: S105 - what Django puts in the place of a hash
# More administrators than this are more than anybody keeps an eye on.
MOST_ADMINISTRATORS = 5
IDLE = timedelta(days=90)


def register() -> None:
    """Register them all."""
    check(
        "password_hashes",
        3,
        password_hashes,
        title=_("All passwords are hashed with Argon2id"),
        advice=_("Have these users set a new password."),
        texts={"weak": _("Accounts with another hash: %(count)s.")},
    )
    check(
        "administrators",
        2,
        administrators,
        title=_("There are administrators, but not too many"),
        advice=_("Keep one to five administrators, each with an account of their own."),
        texts={"none": _("Nobody can administer the server."), "count": _("Administrators: %(count)s.")},
    )
    check(
        "idle_administrators",
        1,
        idle_administrators,
        title=_("All administrators are still about"),
        advice=_("Disable administrators who are not needed any more."),
        texts={"idle": _("Administrators who have not logged in for 90 days: %(count)s.")},
    )
    check(
        "api_keys",
        2,
        api_keys,
        title=_("Powerful API keys have an end"),
        advice=_("Replace keys with `admin` by keys that expire."),
        texts={"endless": _("Keys with `admin` that never expire: %(count)s.")},
    )
    check(
        "api_key_use",
        1,
        api_key_use,
        title=_("All API keys are in use"),
        advice=_("Revoke keys that nobody uses."),
        texts={"idle": _("Keys that have not been used for 90 days: %(count)s.")},
    )


def password_hashes() -> Finding:
    """Count accounts that could be broken into faster than they should, had somebody the table."""
    active = User.objects.filter(is_active=True)
    weak = active.exclude(Q(password__startswith=_GOOD_HASH) | Q(password__startswith=_NO_PASSWORD)).count()
    return failed("weak", count=weak) if weak else passed()


def administrators() -> Finding:
    """Count who may do everything."""
    count = User.objects.filter(is_superuser=True, is_active=True).count()
    if not count:
        return failed("none")
    return passed("count", count=count) if count <= MOST_ADMINISTRATORS else failed("count", count=count)


def idle_administrators() -> Finding:
    """Count administrators who have not been here for long."""
    before = timezone.now() - IDLE
    never = Q(last_login__isnull=True, created_at__lt=before)
    idle = User.objects.filter(Q(last_login__lt=before) | never, is_superuser=True, is_active=True).count()
    return failed("idle", count=idle) if idle else passed()


def api_keys() -> Finding:
    """Count keys that may do everything for ever. There are few keys: they are looked at here, not by the database."""
    in_force = ApiKey.objects.in_force(timezone.now()).filter(expires_at__isnull=True)
    endless = sum("admin" in permissions for permissions in in_force.values_list("permissions", flat=True))
    return failed("endless", count=endless) if endless else passed()


def api_key_use() -> Finding:
    """Count keys that lie about."""
    before = timezone.now() - IDLE
    unused = Q(last_used_at__lt=before) | Q(last_used_at__isnull=True, created_at__lt=before)
    idle = ApiKey.objects.in_force(timezone.now()).filter(unused).count()
    return failed("idle", count=idle) if idle else passed()
