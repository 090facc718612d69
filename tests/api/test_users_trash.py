"""Deleting and restoring users and domains over HTTP, and who may."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey, User
from domains.models import Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
USER = {"username": "john.doe", "email": "john.doe@example.com", "password": "secure_password_123", "groups": ["users"]}


@pytest.fixture
def cuts(monkeypatch):
    """Hints that the server was given."""
    from accounts import viewsets

    given = []
    monkeypatch.setattr(viewsets, "hint", lambda command, **facts: given.append((command, facts)))
    return given


def test_a_deleted_user_is_in_the_trash_and_comes_back(write_api, domain, cuts):
    user = write_api.post("/api/v1/users", USER).json()
    path = f"/api/v1/users/{user['id']}"
    assert write_api.post(f"{path}/restore").status_code == 404
    gone = write_api.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert cuts == [("cut", {"account_id": int(user["id"].removeprefix("user_"))})]
    assert write_api.get(path).status_code == 404
    assert write_api.patch(path, {"quota": 1}).status_code == 404
    assert write_api.delete(path).status_code == 404
    for query in ("", "?search=john"):
        assert write_api.get(f"/api/v1/users{query}").json()["total"] == 0
    for query in ("", "&search=JOHN.doe@example"):
        trash = write_api.get(f"/api/v1/users?deleted=1{query}").json()
        assert trash["total"] == 1
        row = trash["users"][0]
        until = row.pop("restorable_until")
        assert until > row.pop("deleted_at")
        assert row == {**user, "enabled": False}
    assert write_api.get("/api/v1/users?deleted=1&search=nobody").json()["total"] == 0
    back = write_api.post(f"{path}/restore")
    assert (back.status_code, back.json()) == (200, user)
    assert back["ETag"] == write_api.get(path)["ETag"]
    assert write_api.get("/api/v1/users?deleted=1").json()["total"] == 0
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == [
        "user_created",
        "user_deleted",
        "user_restored",
    ]


def test_the_address_is_free_at_once_and_then_the_old_user_stays_out(write_api, domain):
    first = write_api.post("/api/v1/users", USER).json()
    write_api.delete(f"/api/v1/users/{first['id']}")
    second = write_api.post("/api/v1/users", USER)
    assert second.status_code == 201
    assert second.json()["id"] != first["id"]
    refused = write_api.post(f"/api/v1/users/{first['id']}/restore")
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "CONFLICT"
    assert User.objects.count() == 1


def test_a_restore_needs_room_in_the_domain(write_api, domain):
    first = write_api.post("/api/v1/users", USER).json()
    write_api.delete(f"/api/v1/users/{first['id']}")
    write_api.post("/api/v1/users", {**USER, "username": "x", "email": "x@example.com"})
    Domain.objects.update(max_users=1)
    assert write_api.post(f"/api/v1/users/{first['id']}/restore").status_code == 409
    assert User.objects.count() == 1


def test_what_has_been_in_the_trash_for_long_is_not_there(write_api, domain):
    user = write_api.post("/api/v1/users", USER).json()
    write_api.delete(f"/api/v1/users/{user['id']}")
    User.everybody.update(deleted_at=timezone.now() - timedelta(days=31))
    assert write_api.get("/api/v1/users?deleted=1").json()["users"] == []
    assert write_api.post(f"/api/v1/users/{user['id']}/restore").status_code == 404


@pytest.mark.parametrize("value", ["2", "yes", "true,", "%00", "-1"])
def test_a_switch_that_is_none_is_400(read_api, value):
    for path in ("users", "domains"):
        response = read_api.get(f"/api/v1/{path}?deleted={value}")
        assert response.status_code == 400
        assert "deleted" in response.json()["error"]["fields"]


@pytest.mark.parametrize(
    "name", ["user_x", "user_0", "user_-1", "12", "user_99999999999999999999", "domain_1", "%00", "user_1%0A"]
)
def test_an_id_that_is_none_is_404(write_api, name):
    assert write_api.post(f"/api/v1/users/{name}/restore").status_code == 404
    assert write_api.post(f"/api/v1/domains/{name}/restore").status_code == 404


@pytest.mark.parametrize("path", ["users/user_1/restore", "domains/domain_1/restore"])
def test_who_may_restore(client_with, path):
    for permissions, status in [((), 401), (("read",), 403), (("write",), 404), (("admin",), 404)]:
        assert client_with(*permissions).post(f"/api/v1/{path}").status_code == status
    assert client_with("admin").get(f"/api/v1/{path}").status_code == 405


def test_only_an_administrator_restores_an_administrator(write_api, admin_api, make_user):
    make_user("second@example.com", is_staff=True, is_superuser=True)
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    path = f"/api/v1/users/user_{root.pk}"
    assert write_api.delete(path).status_code == 403
    assert admin_api.delete(path).status_code == 204
    assert write_api.post(f"{path}/restore").status_code == 403
    assert admin_api.post(f"{path}/restore").json()["groups"] == ["admin"]


def test_a_key_of_a_deleted_user_never_holds_again(client_with, admin_api, make_user):
    bob = make_user("bob@example.com")
    client = client_with("read", owner=bob)
    assert client.get("/api/v1/users").status_code == 200
    path = f"/api/v1/users/user_{bob.pk}"
    assert admin_api.delete(path).status_code == 204
    assert client.get("/api/v1/users").status_code == 401
    assert admin_api.post(f"{path}/restore").status_code == 200
    assert client.get("/api/v1/users").status_code == 401
    assert ApiKey.objects.get(owner=bob).revoked_at is not None


def test_a_deleted_domain_is_in_the_trash_and_comes_back(write_api, domain, make_user):
    path = f"/api/v1/domains/domain_{domain.pk}"
    bob = make_user("bob@example.com")
    assert write_api.post(f"{path}/restore").status_code == 404
    assert write_api.delete(path).status_code == 409
    write_api.delete(f"/api/v1/users/user_{bob.pk}")
    shown = write_api.get(path).json()
    assert shown["user_count"] == 0
    assert write_api.delete(path).status_code == 204
    assert write_api.get(path).status_code == 404
    assert write_api.get("/api/v1/domains").json()["total"] == 0
    trash = write_api.get("/api/v1/domains?deleted=1&search=example").json()["domains"]
    assert trash[0].pop("restorable_until") > trash[0].pop("deleted_at")
    assert trash == [shown]
    assert write_api.post(f"/api/v1/users/user_{bob.pk}/restore").status_code == 409
    assert write_api.post(f"{path}/restore").json() == shown
    assert write_api.post(f"/api/v1/users/user_{bob.pk}/restore").status_code == 200


def test_a_domain_stays_deleted_when_there_is_a_new_one_of_its_name(write_api, domain):
    path = f"/api/v1/domains/domain_{domain.pk}"
    write_api.delete(path)
    new = write_api.post("/api/v1/domains", {"domain": "example.com"})
    assert new.status_code == 201
    assert write_api.post(f"{path}/restore").status_code == 409
    write_api.delete(new["Location"])
    assert write_api.post(f"{path}/restore").status_code == 200


def test_counts_of_domains_are_those_of_the_users_who_are_there(write_api, make_user, domain):
    other = Domain.objects.create(name="other.example")
    for name in ("a", "b", "c"):
        make_user(f"{name}@example.com")
    User.objects.update(used_quota=5)
    write_api.delete(f"/api/v1/users/user_{User.objects.first().pk}")
    listed = write_api.get("/api/v1/domains").json()["domains"]
    assert [(row["domain"], row["user_count"], row["used_quota"]) for row in listed] == [
        ("example.com", 2, 10),
        ("other.example", 0, 0),
    ]
    for row, one in zip(listed, (domain, other), strict=True):
        assert write_api.get(f"/api/v1/domains/domain_{one.pk}").json() == row


def test_lists_and_objects_show_the_same_of_a_user(admin_api, make_user):
    """A page is read past the serializer; a change of one that the other does not make is seen here."""
    from datetime import UTC, datetime

    bob = make_user("bob@example.com", quota=7, is_superuser=True, is_staff=True)
    User.objects.update(last_login=datetime(2024, 1, 15, 9, 30, 0, 999999, tzinfo=UTC), used_quota=5)
    path = f"/api/v1/users/user_{bob.pk}"
    admin_api.patch(path, {"groups": ["users", "admin", "Staff"]})
    make_user("eve@example.com")
    for query in ("", "?search=bob", "?limit=1", "?search=bob&limit=1"):
        assert admin_api.get(f"/api/v1/users{query}").json()["users"][0] == admin_api.get(path).json()
    assert admin_api.get(path).json()["last_login"] == "2024-01-15T09:30:00Z"


def test_the_total_is_exact_whatever_happens_between_two_lists(admin_api, make_user):
    path = "/api/v1/users?limit=1"
    assert admin_api.get(path).json()["total"] == 0
    made = []
    for number in range(1, 4):
        made.append(make_user(f"u{number}@example.com"))
        assert admin_api.get(path).json()["total"] == number
        assert admin_api.get(path).json()["total"] == number
    gone = f"/api/v1/users/user_{made[0].pk}"
    admin_api.delete(gone)
    assert admin_api.get(path).json()["total"] == 2
    admin_api.post(f"{gone}/restore")
    assert admin_api.get(path).json()["total"] == 3
    assert admin_api.get(f"{path}&page=9").json() == {"users": [], "total": 3, "page": 9, "limit": 1}
