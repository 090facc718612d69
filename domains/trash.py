"""Deleted domains: kept for ``A3MAILER_TRASH_DAYS``, their names free at once, and had back with what went along.

A domain that has users is not deleted. What belongs to it in apps above (its aliases) is put away by them: they
register in ``ready()`` what to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError
from django.http import Http404
from django.utils.translation import gettext as _

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.trash import oldest_restorable
from domains.models import Domain
from domains.names import to_unicode


@dataclass(frozen=True, slots=True)
class _Belonging:
    put_away: Callable[[Domain], Any]
    bring_back: Callable[[Domain, Any], None]


_belongings: dict[str, _Belonging] = {}


def goes_along(name: str, put_away: Callable[[Domain], Any], bring_back: Callable[[Domain, Any], None]) -> None:
    """Have ``put_away`` called in the transaction that deletes a domain, ``bring_back`` in the one that restores it.

    ``put_away`` takes its rows away and returns what ``bring_back`` needs, as plain JSON values.
    """
    _belongings[name] = _Belonging(put_away, bring_back)


def locked(domain_id: int) -> Domain:
    """Return a domain that nobody else changes until the caller's transaction ends; raises ``Http404``."""
    domain = Domain.objects.select_for_update().filter(pk=domain_id).first()
    if domain is None:
        raise Http404
    return domain


def delete(domain: Domain, now: datetime) -> None:
    """Put a locked domain into the trash; raises ``ConflictError`` while it has users."""
    if has_users(domain):
        raise ConflictError(_("The domain still has users."))
    domain.kept = {name: one.put_away(domain) for name, one in _belongings.items()}
    domain.deleted_name, domain.deleted_at = domain.name, now
    # No domain has a space, so nobody can want this name.
    domain.name = f"deleted domain {domain.pk}"
    domain.save()


def has_users(domain: Domain) -> bool:
    """Say whether there are users who are not deleted. Their rows are an upper app's; the relation is known here."""
    return Domain.objects.filter(pk=domain.pk, users__isnull=False, users__deleted_at__isnull=True).exists()


def restore(domain_id: int, now: datetime) -> Domain:
    """Take a domain out of the trash with what went along.

    Raises ``Http404`` when it is not there (any more), and ``ConflictError`` when there is a new one of its name.
    """
    with transaction.atomic():
        lasting = Domain.everything.select_for_update().restorable(oldest_restorable(now))
        domain = lasting.filter(pk=domain_id).first()
        if domain is None:
            raise Http404
        if Domain.objects.filter(name=domain.deleted_name).exists():
            taken = _("The domain %(name)s is here already.") % {"name": to_unicode(domain.deleted_name)}
            raise ConflictError(taken)
        domain.name, domain.deleted_name, domain.deleted_at = domain.deleted_name, "", None
        kept, domain.kept = domain.kept, {}
        domain.save()
        for name, value in kept.items():
            if name in _belongings:
                _belongings[name].bring_back(domain, value)
    return domain


def purge(before: datetime, dry_run: bool) -> int:
    """Delete domains for good; one whose users are still in the trash waits for them."""
    due = Domain.everything.filter(deleted_at__lte=before, users__isnull=True).order_by("pk")
    if dry_run:
        return due.count()
    gone = 0
    for pk in list(due.values_list("pk", flat=True)):
        try:
            with transaction.atomic():
                rows = Domain.everything.select_for_update().filter(pk=pk, deleted_at__lte=before)
                gone += sum(domain.delete()[0] > 0 for domain in rows)
        except ProtectedError:  # a user has been found meanwhile, who waits for his own purge
            continue
    return gone
