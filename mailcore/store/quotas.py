"""How much a user may have, as IMAP tells it (RFC 9208): one quota root a user, named as the user is.

All mailboxes of a user belong to the one root, whoever looks at them. A user without any limit has no root.
"""

from typing import NamedTuple

from django.db.models import Q, Sum

from a3mailer_site.env import current
from accounts.models import User
from mailcore.store import access
from mailcore.store.models import Mailbox
from mailcore.store.refusals import NoSuchQuotaRootError


class Quota(NamedTuple):
    """A quota root. Sizes in bytes; a limit of 0 is none."""

    root: str
    size: int
    size_limit: int
    messages: int
    messages_limit: int

    @property
    def is_limited(self) -> bool:
        """There is any limit."""
        return bool(self.size_limit or self.messages_limit)


def quota_of(owner: int) -> Quota:
    """Return the quota of a user."""
    email, username, quota, used = User.objects.values_list("email", "username", "quota", "used_quota").get(pk=owner)
    messages = Mailbox.objects.filter(owner_id=owner).aggregate(total=Sum("messages"))["total"] or 0
    return Quota(access.label(email, username), used, quota, messages, current().user_message_limit)


def find_quota(account: int, root: str) -> Quota:
    """Return a quota by its name: the account's own, or another's of whom it may read a mailbox; administrators any.

    Raises ``NoSuchQuotaRootError``, the same whether there is none or it may not be seen.
    """
    owners = User.objects.filter(Q(email=root) | Q(email__isnull=True, username=root))
    owner = owners.values_list("pk", flat=True).first()
    if owner is None or not (owner == account or _is_administrator(account) or _reads(account, owner)):
        raise NoSuchQuotaRootError(root)
    found = quota_of(owner)
    if not found.is_limited:
        raise NoSuchQuotaRootError(root)
    return found


def _is_administrator(account: int) -> bool:
    return User.objects.filter(pk=account, is_active=True, is_superuser=True).exists()


def _reads(account: int, owner: int) -> bool:
    granted = access.granted(account)
    shared = Mailbox.objects.filter(owner_id=owner, access_rights__isnull=False).order_by().distinct()
    return any("r" in granted.get(mailbox, "") for mailbox in shared.values_list("pk", flat=True))
