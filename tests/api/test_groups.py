"""Groups over HTTP: the first ones, the built-in one, names, and who may change which."""

import re
import unicodedata

import pytest
from django.contrib.auth.models import Group, Permission
from rest_framework.test import APIClient

from accounts.models import ApiKey
from security.models import AuditEntry

pytestmark = pytest.mark.django_db


def test_three_are_there_from_the_start(read_api):
    body = read_api.get("/api/v1/groups").json()
    assert (body["total"], body["page"], body["limit"]) == (3, 1, 50)
    assert [(one["name"], one["members"], one["built_in"]) for one in body["groups"]] == [
        ("admin", 0, True),
        ("users", 0, False),
        ("staff", 0, False),
    ]
    assert body["groups"][0]["id"] == "group_admin"


def test_when_a_group_was_made_is_known_whoever_made_it(write_api, read_api, domain):
    """A group that a user is the first to be in is made with the user."""
    user = {"username": "x", "email": "x@example.com", "password": "secure_password_123", "groups": ["fresh"]}
    assert write_api.post("/api/v1/users", user).status_code == 201
    Group.objects.bulk_create([Group(name="from before")])
    found = {one["name"]: one["created_at"] for one in read_api.get("/api/v1/groups").json()["groups"]}
    assert found["fresh"].endswith("Z")
    assert found["users"].endswith("Z")
    assert (found["admin"], found["from before"]) == (None, None)


def test_members_are_counted(admin_api, read_api, make_user):
    make_user("root@example.com", is_staff=True, is_superuser=True)
    for name in ("a", "b"):
        user = make_user(f"{name}@example.com")
        assert admin_api.patch(f"/api/v1/users/user_{user.pk}", {"groups": ["staff", "users"]}).status_code == 200
    found = {one["name"]: one["members"] for one in read_api.get("/api/v1/groups").json()["groups"]}
    assert found == {"admin": 1, "users": 2, "staff": 2}
    assert read_api.get("/api/v1/groups/group_admin").json()["members"] == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_pages_hold_every_group_once(read_api, limit):
    for name in ("x", "y", "z"):
        Group.objects.create(name=name)
    seen = []
    for page in range(1, 8):
        body = read_api.get(f"/api/v1/groups?limit={limit}&page={page}").json()
        assert body["total"] == 6
        assert len(body["groups"]) <= limit
        seen += [one["name"] for one in body["groups"]]
    assert seen == ["admin", "users", "staff", "x", "y", "z"]


@pytest.mark.parametrize("name", ["", " ", None, 7, True, ["x"], "x" * 151, "a\r\nb", "a\u200bb", "a\tb", "\u2028"])
def test_what_is_no_name_is_400(write_api, name):
    response = write_api.post("/api/v1/groups", {"name": name})
    assert response.status_code == 400, response.content
    assert "name" in response.json()["error"]["fields"]
    assert Group.objects.count() == 2


@pytest.mark.parametrize(
    "name", ["users", "USERS", " staff ", "admin", "Admin", "ADMIN ", "\uff41dmin", "\uff21\uff24MIN"]
)
def test_a_name_that_is_taken_is_409(write_api, name):
    assert write_api.post("/api/v1/groups", {"name": name}).status_code == 409
    other = Group.objects.create(name="other")
    assert write_api.put(f"/api/v1/groups/group_{other.pk}", {"name": name}).status_code == 409
    assert not Group.objects.filter(name__iexact="admin").exists()


@pytest.mark.parametrize(
    ("name", "status"),
    [("a\u200bb", 400), ("a\nb", 400), ("STAFF", 409), ("\uff41dmin", 409), ("cafe\u0301", 200)],
)
def test_a_group_made_by_naming_it_of_a_user_has_a_name_by_the_same_rules(write_api, make_user, name, status):
    Group.objects.get_or_create(name="staff")
    user, before = make_user("bob@example.com"), Group.objects.count()
    row = {"username": "eve", "email": "eve@example.com", "password": "secure_password_123", "groups": [name]}
    rehearsed = write_api.post("/api/v1/users/bulk?dry_run=1", {"users": [row]}).json()
    assert (rehearsed["created"] == 1) is (status == 200)
    assert write_api.patch(f"/api/v1/users/user_{user.pk}", {"groups": [name]}).status_code == status
    assert Group.objects.count() == before + (status == 200)
    # The same word in its other form is the same group.
    composed = unicodedata.normalize("NFC", name)
    assert write_api.patch(f"/api/v1/users/user_{user.pk}", {"groups": [composed]}).status_code == status
    assert Group.objects.count() == before + (status == 200)


def test_the_whole_walk(write_api):
    response = write_api.post("/api/v1/groups", {"name": "support"})
    made = response.json()
    assert response.status_code == 201
    created = made.pop("created_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert made == {"id": made["id"], "name": "support", "members": 0, "built_in": False}
    made["created_at"] = created
    assert write_api.get(response["Location"]).json() == made
    assert write_api.put(response["Location"], {"name": "\u5ba2\u670d"}).json()["name"] == "\u5ba2\u670d"
    assert write_api.patch(response["Location"], {}).json()["name"] == "\u5ba2\u670d"
    assert write_api.delete(response["Location"]).status_code == 204
    assert write_api.get(response["Location"]).status_code == 404
    actions = [entry.action for entry in AuditEntry.objects.order_by("id")]
    assert actions == ["group_created", "group_updated", "group_updated", "group_deleted"]
    renamed = AuditEntry.objects.order_by("id")[1].metadata
    assert (renamed["before"], renamed["after"]) == ({"name": "support"}, {"name": "\u5ba2\u670d"})


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_the_built_in_group_stays_even_for_administrators(admin_api, method):
    response = getattr(admin_api, method)("/api/v1/groups/group_admin", {"name": "x"})
    assert response.status_code == 403
    assert admin_api.get("/api/v1/groups").json()["groups"][0]["name"] == "admin"


def test_a_group_that_gives_permissions_is_for_administrators(write_api, admin_api):
    group = Group.objects.create(name="helpdesk")
    group.permissions.add(Permission.objects.first())
    path = f"/api/v1/groups/group_{group.pk}"
    assert write_api.patch(path, {"name": "x"}).status_code == 403
    assert write_api.delete(path).status_code == 403
    assert Group.objects.get(pk=group.pk).name == "helpdesk"
    assert not AuditEntry.objects.exists()
    assert admin_api.patch(path, {"name": "x"}).status_code == 200
    assert admin_api.delete(path).status_code == 204


@pytest.mark.parametrize(
    "group_id", ["group_0", "group_x", "admin", "user_1", "group_99999999999999999999", "group_999"]
)
def test_what_is_no_group_is_404(write_api, group_id):
    for method in ("get", "put", "patch", "delete"):
        assert getattr(write_api, method)(f"/api/v1/groups/{group_id}", {}).status_code == 404


def test_reading_needs_read_and_changing_write(client_with):
    for permissions, get, post in (
        ((), 401, 401),
        (("read",), 200, 403),
        (("write",), 200, 201),
        (("admin",), 200, 409),
    ):
        api = client_with(*permissions)
        assert api.get("/api/v1/groups").status_code == get
        assert api.post("/api/v1/groups", {"name": "g"}).status_code == post


def test_a_key_that_is_bound_to_domains_sees_none(domain):
    _key, secret = ApiKey.issue("bound", ["admin"], domains=["example.com"])
    assert APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}").get("/api/v1/groups").status_code == 403


def test_a_list_costs_the_same_queries_whatever_its_length(read_api, django_assert_max_num_queries):
    Group.objects.bulk_create([Group(name=f"g{number}") for number in range(40)])
    read_api.get("/api/v1/groups")
    with django_assert_max_num_queries(4):
        read_api.get("/api/v1/groups")
