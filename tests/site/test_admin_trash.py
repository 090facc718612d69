"""Deleting in the web administration goes into the trash, and there it can be had back."""

import pytest
from django.urls import reverse

from accounts.models import Alias, ApiKey, DeletedUser, User
from accounts.passwords import verify
from domains.models import DeletedDomain, Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
NASTY = "<script>alert(1)</script>"


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def root(make_user):
    return make_user("root@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(client, root):
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    return client


def delete(browser, *rows):
    """Delete as people do: after a question."""
    path = url(type(rows[0]), "changelist")
    data = {"action": "delete_selected", "_selected_action": [row.pk for row in rows]}
    question = browser.post(path, data)
    assert question.status_code == 200
    return question, browser.post(path, {**data, "post": "yes"})


def restore(browser, model, *rows):
    data = {"action": "restore", "_selected_action": [row.pk for row in rows]}
    return browser.post(url(model, "changelist"), data, follow=True).content.decode()


def test_users_go_into_the_trash_and_come_back(browser, make_user):
    bob, eve = make_user("bob@example.com", full_name=NASTY), make_user("eve@example.com")
    ApiKey.issue("k", ["read"], owner=bob)
    question, done = delete(browser, bob, eve)
    assert "bob@example.com" in question.content.decode()
    assert done.status_code == 302
    assert User.objects.count() == 1
    assert verify("bob@example.com", PASSWORD, "192.0.2.1", "imap") is None
    for query in ({}, {"q": "bob"}, {"domain__id__exact": bob.domain_id}):
        page = browser.get(url(DeletedUser, "changelist"), query)
        assert page.status_code == 200
        assert "bob@example.com" in page.content.decode()
        assert NASTY not in page.content.decode()
    assert browser.get(url(DeletedUser, "change", bob.pk)).status_code == 200
    restore(browser, DeletedUser, bob, eve)
    assert User.objects.count() == 3
    assert verify("bob@example.com", PASSWORD, "192.0.2.1", "imap") is not None
    assert ApiKey.objects.get().revoked_at is not None
    actions = list(AuditEntry.objects.filter(metadata__by="web admin").values_list("action", flat=True))
    assert sorted(actions) == ["user_deleted"] * 2 + ["user_restored"] * 2


def test_who_cannot_come_back_is_named_and_the_others_do(browser, make_user):
    bob, eve = make_user("bob@example.com"), make_user("eve@example.com")
    delete(browser, bob, eve)
    make_user("bob@example.com")
    page = restore(browser, DeletedUser, bob, eve)
    assert "somebody else" in page
    assert set(User.objects.values_list("email", flat=True)) == {
        "root@example.com",
        "bob@example.com",
        "eve@example.com",
    }
    assert DeletedUser.objects.get().pk == bob.pk


def test_the_last_administrator_stays(browser, root):
    assert browser.post(url(User, "delete", root.pk), {"post": "yes"}).status_code == 403
    assert User.objects.get().is_active


def test_domains_go_with_their_aliases_and_come_back(browser):
    domain = Domain.objects.create(name="new.example")
    Alias.objects.create(address="team@new.example", domain=domain)
    assert browser.get(url(Domain, "delete", domain.pk)).status_code == 200
    assert browser.post(url(Domain, "delete", domain.pk), {"post": "yes"}).status_code == 302
    assert not Alias.objects.exists()
    page = browser.get(url(DeletedDomain, "changelist"), {"q": "new"})
    assert "new.example" in page.content.decode()
    assert browser.get(url(DeletedDomain, "change", domain.pk)).status_code == 200
    restore(browser, DeletedDomain, domain)
    assert Domain.objects.filter(name="new.example").exists()
    assert Alias.objects.get().address == "team@new.example"
    assert AuditEntry.objects.filter(action__in=["domain_deleted", "domain_restored"]).count() == 2


def test_a_domain_with_users_stays_and_the_page_says_why(browser, domain, make_user):
    question, _done = delete(browser, domain)
    assert "still has users" in question.content.decode()
    assert browser.post(url(Domain, "delete", domain.pk), {"post": "yes"}).status_code in (200, 302, 403)
    assert Domain.objects.filter(pk=domain.pk).exists()


def test_staff_without_the_right_see_no_trash(client, make_user, root):
    bob = make_user("bob@example.com", is_staff=True)
    client.force_login(bob, backend="accounts.passwords.PasswordBackend")
    for model in (DeletedUser, DeletedDomain):
        assert client.get(url(model, "changelist")).status_code == 403
        assert client.post(url(model, "changelist"), {"action": "restore", "_selected_action": [1]}).status_code == 403


def test_staff_with_the_right_restore_users_but_no_administrators(client, make_user, root):
    from django.contrib.auth.models import Permission

    staff, bob = make_user("staff@example.com", is_staff=True), make_user("bob@example.com")
    other = make_user("other@example.com", is_staff=True, is_superuser=True)
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    delete(client, bob, other)
    staff.user_permissions.add(Permission.objects.get(codename="delete_user"))
    client.force_login(staff, backend="accounts.passwords.PasswordBackend")
    page = restore(client, DeletedUser, bob, other)
    assert "Only an administrator" in page
    assert list(DeletedUser.objects.all()) == [DeletedUser.objects.get(pk=other.pk)]


def test_users_are_picked_and_not_listed_where_there_may_be_many(browser, make_user):
    """A select with 100,000 options would be no page."""
    make_user("needle@example.com")
    assert "needle@example.com" not in browser.get(url(ApiKey, "add")).content.decode()
    Domain.objects.create(name="needle.example")
    for model in (User, Alias, DeletedUser):
        assert "needle.example" not in browser.get(url(model, "changelist")).content.decode()
    query = {"term": "needle", "app_label": "accounts", "model_name": "apikey", "field_name": "owner"}
    assert browser.get(reverse("admin:autocomplete"), query).json()["results"][0]["text"] == "needle@example.com"
