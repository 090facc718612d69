"""How much room there is."""

from typing import Any

from mailcore.dialogue import Question
from mailcore.imap.answers.common import Answer, find, refusing
from mailcore.imap.questions import GetQuota, GetQuotaRoot, Quota
from mailcore.store import access, quotas
from mailcore.transport import Doors


@refusing
async def get_quota(question: GetQuota, doors: Doors) -> Quota:
    """Return a quota root by its name."""
    return Quota(*await doors.database(quotas.find_quota, question.account, question.root))


@refusing
async def get_quota_root(question: GetQuotaRoot, doors: Doors) -> Quota | None:
    """Return the quota root of a mailbox: that of its owner."""
    return await doors.database(_quota_root, question.account, question.name)


def _quota_root(account: int, name: str) -> Quota | None:
    place = access.resolve(account, name, "r")
    if not place.mailbox:
        find(place.owner, place.name)
    found = quotas.quota_of(place.owner)
    return Quota(*found) if found.is_limited else None


ANSWERS: dict[type[Question], Answer[Any, Any]] = {
    GetQuota: get_quota,
    GetQuotaRoot: get_quota_root,
}
