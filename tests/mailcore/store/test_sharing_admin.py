"""What users have shared, as administrators see it, and how they end it."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse

from mailcore.store import access
from mailcore.store.access import AccessChange
from mailcore.store.commit import run
from mailcore.store.models import AccessRight, Mailbox
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
LIST = reverse("admin:store_accessright_changelist")


@pytest.fixture
def ann(make_user):
    return make_user("ann@example.com")


@pytest.fixture
def bob(make_user):
    return make_user("bob@example.com")


@pytest.fixture
def work(ann, bob):
    """A mailbox of Ann's that Bob may read, a group may fill, everybody but one may see."""
    mailbox = Mailbox.objects.create(owner=ann, name="Work/2026", uidvalidity=1)
    Group.objects.create(name="helpers")
    for identifier, rights in [
        ("bob@example.com", "lr"),
        ("$helpers", "lip"),
        ("anyone", "l"),
        ("-bob@example.com", "w"),
    ]:
        run(AccessChange(ann.pk, mailbox.pk, identifier, "", rights, by=ann.pk))
    return mailbox


@pytest.fixture
def root(make_user, client):
    user = make_user("root@example.com", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


def stop(client, rows):
    return client.post(LIST, {"action": "stop_sharing", "_selected_action": [row.pk for row in rows]}, follow=True)


def test_each_right_is_said_in_words(client, root, work):
    page = client.get(LIST).content.decode()
    for words in (
        "ann@example.com",
        "Work/2026",
        "bob@example.com",
        "see the name, read",
        "helpers",
        "see the name, add messages, send to it",
        "everybody in the owner&#x27;s domain",
        "not: mark",
    ):
        assert words in page, words


def test_it_is_said_in_chinese_too(client, root, work):
    page = client.get(LIST, headers={"accept-language": "zh-hans"}).content.decode()
    assert "查看名称" in page
    assert "see the name" not in page


@pytest.mark.parametrize(
    ("sought", "found"), [("bob@example.com", 2), ("ann@example.com", 4), ("ann@example", 0), ("nobody", 0)]
)
def test_one_looks_for_the_owner_or_for_who_is_let_in(client, root, work, sought, found):
    assert client.get(LIST, {"q": sought}).context["cl"].result_count == found


def test_who_is_in_the_trash_is_not_shown(client, root, work, bob, ann):
    from django.utils import timezone

    from accounts import trash

    trash.delete(bob, timezone.now())
    assert client.get(LIST).context["cl"].result_count == 2
    trash.delete(ann, timezone.now())
    assert client.get(LIST).context["cl"].result_count == 0


def test_an_administrator_ends_it_at_once_and_it_is_written_down(client, root, work, bob):
    assert access.rights_in(bob.pk, work.pk) == "lr"
    page = stop(client, AccessRight.objects.filter(user=bob, negative=False))
    assert "1 right taken away." in page.content.decode()
    assert access.rights_in(bob.pk, work.pk) == "l"  # as anybody in the domain
    assert AccessRight.objects.count() == 3
    entry = AuditEntry.objects.filter(action="mailbox_access_changed").latest("pk")
    assert entry.user_id == f"user_{root.pk}"
    assert entry.metadata["before"] == {"rights": "lr"}
    assert entry.metadata["after"] == {"rights": ""}


def test_all_kinds_of_entries_end(client, root, work):
    stop(client, AccessRight.objects.all())
    assert not AccessRight.objects.exists()


def test_who_may_only_look_cannot_end_it(client, make_user, work):
    staff = make_user("staff@example.com", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_accessright"))
    client.force_login(staff)
    assert client.get(LIST).status_code == 200
    stop(client, AccessRight.objects.all())
    assert AccessRight.objects.count() == 4


def test_who_has_no_permission_sees_nothing(client, make_user, work):
    client.force_login(make_user("staff@example.com", is_staff=True))
    assert client.get(LIST).status_code == 403


def test_an_owner_or_a_stranger_needs_the_right_as_before(work, bob):
    with pytest.raises(access.NoPermissionError):
        run(AccessChange(work.owner_id, work.pk, "bob@example.com", "", "lra", by=bob.pk))
