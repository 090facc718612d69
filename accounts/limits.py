"""How many users and how much quota a domain may have, and the one way to save a user within that."""

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


def check_limits(user: User) -> None:
    """Raise ``ValidationError`` when the domain has no room for the user as it now is.

    Call it in the save's transaction: the domain's row is locked until the commit, so two requests cannot both take
    the last place. Quotas that are 0 (no limit) add nothing to the domain's sum.
    """
    if user.domain_id is None:
        return
    domain = Domain.objects.select_for_update().get(pk=user.domain_id)
    before = User.objects.filter(pk=user.pk).values_list("domain_id", "quota").first() if user.pk else None
    others = User.objects.filter(domain=domain).exclude(pk=user.pk or 0)
    moves_in = before is None or before[0] != domain.pk
    if domain.max_users and moves_in and others.count() >= domain.max_users:
        full = ValidationError(_("The domain has its %(most)s users already."), params={"most": domain.max_users})
        raise ValidationError({"email": full})
    # Who only lowers a quota may do so even where the sum is over the ceiling already.
    rises = moves_in or before is None or user.quota > before[1]
    if domain.max_quota and rises:
        given = others.aggregate(sum=Sum("quota"))["sum"] or 0
        if given + user.quota > domain.max_quota:
            left = max(0, domain.max_quota - given)
            spent = ValidationError(_("The domain has %(left)s bytes of quota left."), params={"left": left})
            raise ValidationError({"quota": spent})
