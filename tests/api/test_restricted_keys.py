"""A key for some domains sees, makes and changes nothing elsewhere."""

import pytest

from accounts.models import ApiKey, User
from accounts.powers import locked
from domains.models import Domain

pytestmark = pytest.mark.django_db
USER = {"username": "new", "email": "new@example.com", "password": "secure_password_123"}


@pytest.fixture
def inside(make_user):
    return make_user("in@example.com")


@pytest.fixture
def outside(domain):
    other = Domain.objects.create(name="other.example")
    return User.objects.create(username="out@other.example", email="out@other.example", domain=other)


@pytest.fixture
def nowhere(domain):
    return User.objects.create(username="root", is_superuser=True, is_staff=True)


@pytest.fixture
def tenant(client_with, monkeypatch):
    """A key with all permissions, for example.com only."""
    client = client_with("read", "write", "admin")
    if any(field.name == "domains" for field in ApiKey._meta.get_fields()):
        ApiKey.objects.update(domains=["example.com"])
    else:
        monkeypatch.setattr(ApiKey, "domains", ["example.com"], raising=False)
    return client


def test_lists_and_searches_end_at_the_domain(tenant, inside, outside, nowhere):
    for query in ("", "?search=example"):
        users = tenant.get(f"/api/v1/users{query}").json()
        assert ([user["email"] for user in users["users"]], users["total"]) == (["in@example.com"], 1)
        domains = tenant.get(f"/api/v1/domains{query}").json()
        assert ([row["domain"] for row in domains["domains"]], domains["total"]) == (["example.com"], 1)
    assert tenant.get("/api/v1/users?limit=1").json()["total"] == 1


def test_what_is_outside_is_not_there(tenant, inside, outside, nowhere):
    assert tenant.get(f"/api/v1/users/user_{inside.pk}").status_code == 200
    for user in (outside, nowhere):
        path = f"/api/v1/users/user_{user.pk}"
        for method in ("get", "put", "patch", "delete"):
            assert getattr(tenant, method)(path, {"quota": 1}).status_code == 404
    path = f"/api/v1/domains/domain_{outside.domain_id}"
    for method in ("get", "put", "patch", "delete"):
        assert getattr(tenant, method)(path, {"max_users": 1}).status_code == 404
    assert User.objects.filter(quota=1).count() == 0


@pytest.mark.parametrize(
    "email", ["new@other.example", "new@OTHER.example", "new@nowhere.example", " new@other.example"]
)
def test_nobody_is_made_or_moved_outside(tenant, inside, outside, email):
    assert tenant.post("/api/v1/users", {**USER, "email": email}).status_code == 403
    assert tenant.patch(f"/api/v1/users/user_{inside.pk}", {"email": email}).status_code == 403
    rows = tenant.post("/api/v1/users/bulk", {"users": [{**USER, "email": email}, USER]}).json()["results"]
    assert [row.get("error", {}).get("code") for row in rows] == ["FORBIDDEN", None]
    assert User.objects.get(pk=inside.pk).email == "in@example.com"


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_who_is_moved_away_in_this_moment_is_out_of_reach(tenant, inside, outside, monkeypatch, method):
    def moved(user):
        User.objects.filter(pk=user.pk).update(email="in@other.example", domain=outside.domain)
        return locked(user)

    monkeypatch.setattr("accounts.viewsets.locked", moved)
    assert getattr(tenant, method)(f"/api/v1/users/user_{inside.pk}", {"quota": 1}).status_code == 404
    assert User.objects.get(pk=inside.pk).quota == 0


@pytest.mark.parametrize(
    "name", ["out@other.example", "free@other.example", "FREE@OTHER.example", '"free"@other.example']
)
def test_no_login_name_is_an_address_outside_taken_or_not(tenant, inside, outside, name):
    assert tenant.post("/api/v1/users", {**USER, "username": name}).status_code == 403
    assert tenant.patch(f"/api/v1/users/user_{inside.pk}", {"username": name}).status_code == 403
    for query in ("", "?dry_run=1"):
        (row,) = tenant.post(f"/api/v1/users/bulk{query}", {"users": [{**USER, "username": name}]}).json()["results"]
        assert row["error"]["code"] == "FORBIDDEN"
    assert tenant.patch(f"/api/v1/users/user_{inside.pk}", {"username": "mine@example.com"}).status_code == 200


def test_inside_it_works(tenant, inside):
    made = tenant.post("/api/v1/users", USER)
    assert made.status_code == 201
    assert tenant.delete(made["Location"]).status_code == 204
    assert tenant.get("/api/v1/users?deleted=1").json()["total"] == 1
    assert tenant.post(f"{made['Location']}/restore").status_code == 200
    assert tenant.patch(f"/api/v1/domains/domain_{inside.domain_id}", {"max_users": 9}).status_code == 200


def test_the_trash_of_others_is_closed(tenant, inside, outside, admin_api):
    from django.db import transaction
    from django.utils import timezone

    from accounts import trash
    from accounts.powers import locked

    with transaction.atomic():
        trash.delete(locked(outside), timezone.now())
    assert tenant.get("/api/v1/users?deleted=1").json()["total"] == 0
    assert tenant.post(f"/api/v1/users/user_{outside.pk}/restore").status_code == 404


def test_domains_are_made_and_deleted_by_keys_for_all(tenant, domain):
    assert tenant.post("/api/v1/domains", {"domain": "new.example"}).status_code == 403
    assert tenant.delete(f"/api/v1/domains/domain_{domain.pk}").status_code == 403
    assert tenant.post(f"/api/v1/domains/domain_{domain.pk}/restore").status_code == 403
    assert tenant.get("/api/v1/domains?deleted=1").json()["total"] == 0
    assert Domain.objects.get().name == "example.com"


def test_power_over_the_whole_server_is_not_within_a_domain(tenant, make_user):
    """Otherwise such a key would make itself an administrator of everything."""
    assert tenant.post("/api/v1/users", {**USER, "groups": ["admin"]}).status_code == 403
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    make_user("second@example.com", is_staff=True, is_superuser=True)
    assert tenant.patch(f"/api/v1/users/user_{root.pk}", {"password": "taken_over_123"}).status_code == 403
    assert tenant.delete(f"/api/v1/users/user_{root.pk}").status_code == 403
