"""How many users and how much quota a domain may have, and the one way to save a user within that."""

from collections import defaultdict
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.models import User
from domains.models import Domain


def save_within_limits(user: User) -> None:
    """Validate and save a user; raises ``ValidationError`` that names the field."""
    with transaction.atomic():
        user.full_clean(exclude=["password"])
        check_limits(user)
        user.save()


@dataclass(slots=True)
class Planned:
    """Users who are not there yet and would be, by domain: how many, and the sum of their quotas in bytes."""

    users: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    quota: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, user: User) -> None:
        """Count one more in."""
        if user.domain_id is not None:
            self.users[user.domain_id] += 1
            self.quota[user.domain_id] += user.quota


def check_limits(user: User, planned: Planned | None = None) -> None:
    """Raise ``ValidationError`` when the domain has no room for the user as it now is.

    Call it in the save's transaction: the domain's row is locked until the commit, so two requests cannot both take
    the last place. Quotas that are 0 (no limit) add nothing to the domain's sum. With ``planned`` nothing is locked: it
    is a rehearsal.
    """
    if user.domain_id is None:
        return
    domains = Domain.objects.filter(pk=user.domain_id)
    domain = (domains.select_for_update() if planned is None else domains).first()
    if domain is None:  # deleted since the address was looked at
        gone = ValidationError(_("There is no such domain here."), code="no_domain")
        raise ValidationError({"email": gone})
    planned = planned or Planned()
    before = User.objects.filter(pk=user.pk).values_list("domain_id", "quota").first() if user.pk else None
    others = User.objects.filter(domain=domain).exclude(pk=user.pk or 0)
    moves_in = before is None or before[0] != domain.pk
    if domain.max_users and moves_in and others.count() + planned.users[domain.pk] >= domain.max_users:
        full = ValidationError(_("The domain has its %(most)s users already."), params={"most": domain.max_users})
        raise ValidationError({"email": full})
    # Who only lowers a quota may do so even where the sum is over the ceiling already.
    rises = moves_in or before is None or user.quota > before[1]
    if domain.max_quota and rises:
        given = (others.aggregate(sum=Sum("quota"))["sum"] or 0) + planned.quota[domain.pk]
        if given + user.quota > domain.max_quota:
            left = max(0, domain.max_quota - given)
            spent = ValidationError(_("The domain has %(left)s bytes of quota left."), params={"left": left})
            raise ValidationError({"quota": spent})
