"""A deleted user is gone for everybody, comes back as before, or goes for good with all mail; others lose nothing."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.env import current
from accounts import trash
from accounts.addresses import resolve
from accounts.models import Alias, AliasTarget, ApiKey, User
from accounts.passwords import shut_out, verify
from accounts.powers import ForbiddenError, locked
from domains import trash as domain_trash
from domains.models import Domain
from mailcore.store import removal
from mailcore.store.models import Expunged, Mailbox, Message
from mailqueue.models import Body

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def delete(user, at=None):
    with transaction.atomic():
        trash.delete(locked(user), at or timezone.now())
    return User.everybody.get(pk=user.pk)


def restore(user):
    with transaction.atomic():
        found = trash.find(user.pk, timezone.now())
        trash.restore(found, timezone.now())
    return User.objects.get(pk=user.pk)


def long_ago():
    return timezone.now() - timedelta(days=current().trash_days, seconds=1)


def fill(owner, body, count=5):
    for name in ("INBOX", "Sent"):
        box = Mailbox.objects.create(owner=owner, name=name, uidvalidity=1)
        for uid in range(1, count + 1):
            Message.objects.create(mailbox=box, uid=uid, body=body, modseq=1, internal_date=0, saved_at=0, size=1)
        Expunged.objects.create(mailbox=box, uid=9, modseq=1)


def test_a_deleted_user_gets_no_login_and_no_mail_and_is_in_no_list(make_user):
    bob = make_user("bob@example.com", username="bob")
    assert verify("bob", PASSWORD, "192.0.2.1", "imap") is not None
    delete(bob)
    for login in ("bob", "bob@example.com", f"deleted user {bob.pk}"):
        assert verify(login, PASSWORD, "192.0.2.1", "imap") is None
    assert resolve("bob@example.com").status == "unknown"
    assert shut_out([bob.pk]) == {bob.pk}
    assert not User.objects.exists()


def test_a_restored_user_is_as_before(make_user):
    bob = make_user("bob@example.com", username="bob", quota=7, full_name="Bob")
    body = Body.objects.create(size=1, data=b"x")
    fill(bob, body)
    before = User.objects.filter(pk=bob.pk).values().get()
    restored = restore(delete(bob))
    assert User.objects.filter(pk=bob.pk).values().get() == {**before, "restored_at": restored.restored_at}
    assert verify("bob", PASSWORD, "192.0.2.1", "imap") is not None
    assert resolve("bob@example.com").users[0].id == bob.pk
    assert Message.objects.filter(mailbox__owner=bob).count() == 10


def test_who_was_disabled_is_disabled_again(make_user):
    assert not restore(delete(make_user("bob@example.com", is_active=False))).is_active


def test_keys_stay_revoked(make_user):
    bob = make_user("bob@example.com")
    ApiKey.issue("k", ["read"], owner=bob)
    restore(delete(bob))
    assert ApiKey.objects.get().revoked_at is not None


def test_who_takes_the_address_is_somebody_else_and_the_old_user_does_not_come_back(make_user):
    old = delete(make_user("bob@example.com", username="bob"))
    new = make_user("bob@example.com", username="robert")
    assert new.pk != old.pk
    assert resolve("bob@example.com").users[0].id == new.pk
    with pytest.raises(ConflictError):
        restore(old)
    delete(new)
    assert restore(old).email == "bob@example.com"


@pytest.mark.parametrize("taker", ["name", "address as name", "alias", "place", "quota", "domain", "new domain"])
def test_what_was_given_away_meanwhile_keeps_the_user_out(make_user, domain, taker):
    old = delete(make_user("bob@example.com", username="bob", quota=60))
    if taker == "name":
        make_user("other@example.com", username="bob")
    elif taker == "address as name":
        make_user("other@example.com", username="bob@example.com")
    elif taker == "alias":
        Alias.objects.create(address="bob@example.com", domain=domain)
    elif taker == "place":
        make_user("other@example.com")
        Domain.objects.update(max_users=1)
    elif taker == "quota":
        make_user("other@example.com", quota=50)
        Domain.objects.update(max_quota=100)
    else:
        with transaction.atomic():
            domain_trash.delete(domain_trash.locked(domain.pk), timezone.now())
        if taker == "new domain":
            Domain.objects.create(name="example.com")
    before = User.everybody.filter(pk=old.pk).values().get()
    with pytest.raises(ConflictError):
        restore(old)
    assert User.everybody.filter(pk=old.pk).values().get() == before


def test_deleting_makes_room_in_the_domain(make_user, domain):
    from accounts.limits import save_within_limits

    Domain.objects.update(max_users=1, max_quota=10)
    delete(make_user("bob@example.com", quota=10))
    save_within_limits(User(username="new", email="new@example.com", quota=10))


def test_an_alias_that_points_at_a_deleted_user_has_nowhere_to_go_until_the_restore(make_user, domain):
    bob = make_user("bob@example.com")
    alias = Alias.objects.create(address="team@example.com", domain=domain)
    AliasTarget.objects.create(alias=alias, address="bob@example.com")
    old = delete(bob)
    assert resolve("team@example.com").status == "unknown"
    restore(old)
    assert resolve("team@example.com").users[0].id == bob.pk


def test_a_web_session_does_not_outlive_a_deletion_even_after_the_restore(client, make_user):
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    make_user("second@example.com", is_staff=True, is_superuser=True)
    assert client.login(username="root@example.com", password=PASSWORD)
    assert client.get("/admin/").status_code == 200
    old = delete(root)
    assert client.get("/admin/").status_code == 302
    restore(old)
    assert client.get("/admin/").status_code == 302
    assert client.login(username="root@example.com", password=PASSWORD)
    assert client.get("/admin/").status_code == 200


def test_the_last_administrator_is_not_deleted(make_user):
    root = make_user("root@example.com", is_superuser=True, is_staff=True)
    with pytest.raises(ForbiddenError):
        delete(root)
    assert User.objects.get().is_active


def test_quotas_of_deleted_users_are_checked_too(make_user, capsys):
    bob = delete(make_user("bob@example.com"))
    User.everybody.update(used_quota=77)
    call_command("checkquota")
    assert User.everybody.get(pk=bob.pk).used_quota == 0


def test_bodies_of_deleted_users_stay(make_user, monkeypatch):
    from mailcore.store import pruning

    monkeypatch.setattr(pruning, "GRACE", -1)
    body = Body.objects.create(size=1, data=b"x")
    fill(make_user("bob@example.com"), body)
    delete(User.objects.get())
    call_command("prunebodies")
    assert Body.objects.count() == 1


class TestPurging:
    """After the days in the trash everything goes, a few messages at a time."""

    def test_everything_of_the_user_goes_and_nothing_of_others(self, make_user, monkeypatch):
        monkeypatch.setattr(removal, "SLICE", 2)
        bob, eve, new = make_user("bob@example.com"), make_user("eve@example.com"), make_user("new@example.com")
        body = Body.objects.create(size=1, data=b"x")
        for owner in (bob, eve, new):
            fill(owner, body)
        ApiKey.issue("k", ["read"], owner=bob)
        delete(bob, long_ago())
        delete(new)
        assert trash.purge(timezone.now() - timedelta(days=current().trash_days), True) == 1
        assert User.everybody.count() == 3
        call_command("purgetrash")
        assert set(User.everybody.values_list("pk", flat=True)) == {eve.pk, new.pk}
        assert set(Mailbox.objects.values_list("owner_id", flat=True)) == {eve.pk, new.pk}
        assert Message.objects.count() == 20
        assert Expunged.objects.count() == 4
        assert not ApiKey.objects.exists()
        assert Body.objects.count() == 1
        call_command("purgetrash")
        assert User.everybody.count() == 2

    def test_what_is_due_is_beyond_restoring_before_it_is_purged(self, make_user):
        from django.http import Http404

        old = delete(make_user("bob@example.com"), long_ago())
        with pytest.raises(Http404):
            restore(old)

    def test_nobody_restores_half_a_mailbox(self, make_user, monkeypatch):
        """Whatever stops a purge in the middle, what it began with does not come back."""
        from django.http import Http404

        from accounts import removal as erasing

        old = delete(make_user("bob@example.com"))

        def stop(user_id):
            raise RuntimeError("the power went")

        monkeypatch.setattr(erasing, "_before_removal", [stop])
        with pytest.raises(RuntimeError):
            trash.purge(timezone.now(), False)
        with pytest.raises(Http404):
            restore(old)
        monkeypatch.undo()
        assert trash.purge(timezone.now(), False) == 1


class TestDomains:
    """Deleted domains, with their aliases."""

    def delete(self, domain, at=None):
        with transaction.atomic():
            domain_trash.delete(domain_trash.locked(domain.pk), at or timezone.now())

    @pytest.fixture
    def team(self, domain):
        alias = Alias.objects.create(address="team@example.com", domain=domain, enabled=False)
        AliasTarget.objects.create(alias=alias, address="x@example.org")
        AliasTarget.objects.create(alias=alias, address="y@example.org")
        return Alias.objects.filter(pk=alias.pk).values().get()

    def test_its_name_and_its_aliases_are_free(self, domain, team):
        self.delete(domain)
        assert not Domain.objects.exists()
        assert not Alias.objects.exists()
        assert resolve("team@example.com").status == "not_local"
        new = Domain.objects.create(name="example.com")
        Alias(address="team@example.com").full_clean()
        assert new.pk != domain.pk
        with pytest.raises(ConflictError):
            domain_trash.restore(domain.pk, timezone.now())

    def test_it_comes_back_with_its_aliases_as_they_were(self, domain, team):
        before = Domain.objects.values().get()
        team["created_at"] = team["created_at"].replace(microsecond=team["created_at"].microsecond // 1000 * 1000)
        self.delete(domain)
        domain_trash.restore(domain.pk, timezone.now())
        assert Domain.objects.values().get() == before
        assert Alias.objects.values().get() == team
        assert set(AliasTarget.objects.values_list("address", flat=True)) == {"x@example.org", "y@example.org"}

    def test_one_with_users_stays_and_one_with_deleted_users_goes(self, domain, make_user):
        bob = make_user("bob@example.com")
        with pytest.raises(ConflictError):
            self.delete(domain)
        old = delete(bob)
        self.delete(domain)
        domain_trash.restore(domain.pk, timezone.now())
        assert restore(old).email == "bob@example.com"

    def test_it_goes_for_good_after_its_users(self, domain, make_user):
        delete(make_user("bob@example.com"), long_ago())
        self.delete(domain, long_ago())
        call_command("purgetrash")
        call_command("purgetrash")
        assert not User.everybody.exists()
        assert not Domain.everything.exists()

    def test_quickstart_makes_what_is_deleted_anew(self, domain, make_user, capsys):
        delete(make_user("bob@example.com"))
        self.delete(domain)
        call_command("quickstart", "--domain", "example.com", "--json")
        assert Domain.objects.get().pk != domain.pk
        assert User.objects.filter(email="user@example.com").exists()
