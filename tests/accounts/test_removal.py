"""A removed user is gone with mail and keys, and what others share stays."""

import pytest

from accounts.addresses import resolve
from accounts.models import ApiKey, User
from accounts.powers import ForbiddenError
from accounts.removal import remove
from mailcore.store import removal
from mailcore.store.models import Expunged, Mailbox, Message
from mailqueue.models import Body

pytestmark = pytest.mark.django_db


def test_everything_of_the_user_goes_and_nothing_of_others(make_user, monkeypatch):
    monkeypatch.setattr(removal, "SLICE", 2)
    bob, eve = make_user("bob@example.com"), make_user("eve@example.com")
    body = Body.objects.create(size=1, data=b"x")
    for owner in (bob, eve):
        for name in ("INBOX", "Sent"):
            box = Mailbox.objects.create(owner=owner, name=name, uidvalidity=1)
            for uid in range(1, 6):
                Message.objects.create(mailbox=box, uid=uid, body=body, modseq=1, internal_date=0, saved_at=0, size=1)
            Expunged.objects.create(mailbox=box, uid=9, modseq=1)
    ApiKey.issue("k", ["read"], owner=bob)
    remove(bob)
    assert list(User.objects.all()) == [eve]
    assert set(Mailbox.objects.values_list("owner_id", flat=True)) == {eve.pk}
    assert Message.objects.count() == 10
    assert Expunged.objects.count() == 2
    assert not ApiKey.objects.exists()
    assert Body.objects.count() == 1
    assert resolve("bob@example.com").status == "unknown"


def test_the_last_administrator_is_not_removed(make_user):
    root = make_user("root@example.com", is_superuser=True, is_staff=True)
    with pytest.raises(ForbiddenError):
        remove(root)
    assert User.objects.get().is_active
