"""Aliases over HTTP: refusals, the whole walk, mail really goes there, and keys that are bound to domains."""

import json

import pytest
from rest_framework.test import APIClient

from accounts.addresses import resolve
from accounts.alias_serializers import MOST_TARGETS
from accounts.models import Alias, AliasTarget, ApiKey
from domains.models import Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
NEW = {"address": "sales@example.com", "targets": ["alice@example.com", "bob@example.org"]}


@pytest.fixture
def other(db):
    return Domain.objects.create(name="other.example")


@pytest.fixture
def bound(domain):
    _key, secret = ApiKey.issue("bound", ["write"], domains=["example.com"])
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")


def make(api, address, *targets, **fields):
    response = api.post(
        "/api/v1/aliases", {"address": address, "targets": list(targets or ["x@example.org"]), **fields}
    )
    assert response.status_code == 201, response.content
    return response.json()


REFUSED = [
    ({"address": ""}, "address"),
    ({"address": "nobody"}, "address"),
    ({"address": "@"}, "address"),
    ({"address": "a@elsewhere.example"}, "address"),
    ({"address": "a%b@example.com"}, "address"),
    ({"address": "a\r\nb@example.com"}, "address"),
    ({"address": "a\u200bb@example.com"}, "address"),
    ({"address": 7}, "address"),
    ({"address": None}, "address"),
    ({"address": ["a@example.com"]}, "address"),
    ({"address": "x" * 321}, "address"),
    ({"targets": []}, "targets"),
    ({"targets": None}, "targets"),
    ({"targets": "alice@example.com"}, "targets"),
    ({"targets": [7]}, "targets"),
    ({"targets": [""]}, "targets"),
    ({"targets": ["nobody"]}, "targets"),
    ({"targets": ["@example.org"]}, "targets"),
    ({"targets": ["x@[192.0.2.1]"]}, "targets"),
    ({"targets": ["a\nb@example.org"]}, "targets"),
    ({"targets": ["SALES@Example.COM"]}, "targets"),
    ({"targets": [f"u{n}@example.org" for n in range(MOST_TARGETS + 1)]}, "targets"),
    ({"enabled": 1}, "enabled"),
    ({"enabled": "true"}, "enabled"),
    ({"enabled": None}, "enabled"),
]


@pytest.mark.parametrize(("change", "field"), REFUSED)
def test_what_is_no_alias_is_400_and_the_field_is_named(write_api, domain, change, field):
    response = write_api.post("/api/v1/aliases", {**NEW, **change})
    assert response.status_code == 400, response.content
    assert any(name.split(".")[0] == field for name in response.json()["error"]["fields"])
    assert not Alias.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(("change", "field"), REFUSED)
def test_the_same_is_refused_in_a_change(write_api, domain, change, field):
    made = make(write_api, address=NEW["address"])
    for method in (write_api.put, write_api.patch):
        assert method(f"/api/v1/aliases/{made['id']}", change).status_code == 400
    assert write_api.get(f"/api/v1/aliases/{made['id']}").json() == made


@pytest.mark.parametrize("address", ["taken@example.com", "TAKEN@example.com", "bob@example.com"])
def test_an_address_that_is_taken_is_409(write_api, make_user, address):
    make_user("bob@example.com")
    make(write_api, "taken@example.com")
    response = write_api.post("/api/v1/aliases", {**NEW, "address": address})
    assert response.status_code == 409, response.content
    assert "address" in response.json()["error"]["details"]


def test_the_whole_walk(write_api, make_user):
    alice = make_user("alice@example.com")
    response = write_api.post("/api/v1/aliases", {**NEW, "targets": ["Alice@Example.com", "bob@example.org"] * 2})
    made = response.json()
    assert made == {"id": made["id"], **NEW, "enabled": True, "created_at": made["created_at"]}
    assert response["Location"] == f"/api/v1/aliases/{made['id']}"
    assert write_api.get(response["Location"]).json() == made
    found = resolve("sales@example.com")
    assert ([user.id for user in found.users], found.external) == ([alice.pk], ("bob@example.org",))

    path = response["Location"]
    changed = write_api.put(path, {"targets": ["carol@example.org"]}).json()
    assert changed == {**made, "targets": ["carol@example.org"]}
    assert resolve("sales@example.com").external == ("carol@example.org",)
    assert write_api.patch(path, {"enabled": False}).json()["enabled"] is False
    assert resolve("sales@example.com").status == "disabled"
    moved = write_api.patch(path, {"enabled": True, "address": "shop@example.com"}).json()
    assert (moved["address"], moved["targets"]) == ("shop@example.com", ["carol@example.org"])
    assert (resolve("sales@example.com").status, resolve("shop@example.com").status) == ("unknown", "ok")

    assert write_api.delete(path).status_code == 204
    assert write_api.get(path).status_code == 404
    assert resolve("shop@example.com").status == "unknown"
    assert not AliasTarget.objects.exists()


def test_a_catch_all_takes_what_nothing_else_takes(write_api, make_user):
    bob = make_user("bob@example.com")
    made = make(write_api, "@Example.COM", "bob@example.com")
    assert made["address"] == "@example.com"
    assert resolve("whatever@example.com").users[0].id == bob.pk
    assert write_api.post("/api/v1/aliases", {**NEW, "address": "@example.com"}).status_code == 409


def test_circles_do_no_harm(write_api, domain):
    """No alias can be judged alone: the next one closes the circle."""
    make(write_api, "a@example.com", "b@example.com")
    make(write_api, "b@example.com", "c@example.com", "a@example.com")
    make(write_api, "c@example.com", "a@example.com")
    assert resolve("a@example.com").status == "loop"
    alias = Alias.objects.get(address="c@example.com")
    write_api.patch(f"/api/v1/aliases/alias_{alias.pk}", {"targets": ["a@example.com", "x@example.org"]})
    assert resolve("a@example.com").external == ("x@example.org",)


def test_a_list_is_searched_paged_and_costs_the_same_whatever_its_length(
    write_api, domain, django_assert_max_num_queries
):
    for number in range(12):
        make(write_api, f"a{number:02}@example.com", f"t{number}@target{number % 2}.example", "y@example.org")
    body = write_api.get("/api/v1/aliases?limit=5&page=3").json()
    assert (len(body["aliases"]), body["total"], body["page"], body["limit"]) == (2, 12, 3, 5)
    assert write_api.get("/api/v1/aliases?search=A1").json()["total"] == 2
    assert write_api.get("/api/v1/aliases?search=target1").json()["total"] == 6
    assert write_api.get("/api/v1/aliases?search=%25").json()["total"] == 0
    for bad in ("limit=0", "limit=501", "page=x", "search=%00", "search=a%0Ab"):
        assert write_api.get(f"/api/v1/aliases?{bad}").status_code == 400
    with django_assert_max_num_queries(4):
        write_api.get("/api/v1/aliases?limit=50")


@pytest.mark.parametrize("alias_id", ["alias_0", "alias_x", "user_1", "1", "alias_99999999999999999999", "alias_999"])
def test_what_is_no_alias_is_404(write_api, alias_id):
    for method in ("get", "put", "patch", "delete"):
        assert getattr(write_api, method)(f"/api/v1/aliases/{alias_id}", {}).status_code == 404


class TestBoundKeys:
    """A key that is bound to domains sees and changes nothing of others."""

    def test_others_are_not_there(self, bound, write_api, other):
        make(write_api, "a@example.com")
        hidden = make(write_api, "b@other.example", "a@example.com")
        assert [one["address"] for one in bound.get("/api/v1/aliases").json()["aliases"]] == ["a@example.com"]
        assert bound.get("/api/v1/aliases?search=b@").json()["total"] == 0
        for method in ("get", "put", "patch", "delete"):
            assert getattr(bound, method)(f"/api/v1/aliases/{hidden['id']}", {}).status_code == 404
        assert Alias.objects.count() == 2

    @pytest.mark.parametrize("address", ["c@other.example", "b@other.example", "@other.example", "x@nowhere.example"])
    def test_making_one_elsewhere_is_403_whether_or_not_it_is_there(self, bound, write_api, other, address):
        make(write_api, "b@other.example")
        assert bound.post("/api/v1/aliases", {**NEW, "address": address}).status_code == 403
        own = make(bound, "mine@example.com")
        assert bound.patch(f"/api/v1/aliases/{own['id']}", {"address": address}).status_code == 403
        assert Alias.objects.get(address="mine@example.com")

    def test_its_own_are(self, bound):
        made = make(bound, "a@Example.COM", "anybody@example.org")
        assert bound.patch(f"/api/v1/aliases/{made['id']}", {"enabled": False}).status_code == 200
        assert bound.delete(f"/api/v1/aliases/{made['id']}").status_code == 204


def test_what_happens_is_written_down_with_before_and_after(write_api, domain):
    made = make(write_api, "a@example.com", "x@example.org", "y@example.org")
    write_api.patch(f"/api/v1/aliases/{made['id']}", {"targets": ["y@example.org", "z@example.org"]})
    write_api.delete(f"/api/v1/aliases/{made['id']}")
    entries = list(AuditEntry.objects.order_by("id"))
    assert [entry.action for entry in entries] == ["alias_created", "alias_updated", "alias_deleted"]
    assert all(entry.metadata["target"] == made["id"] for entry in entries)
    assert entries[1].metadata["before"] == {"targets": ["x@example.org", "y@example.org"]}
    assert entries[1].metadata["after"] == {"targets": ["y@example.org", "z@example.org"]}
    assert json.loads(json.dumps(entries[2].metadata["before"]))["address"] == "a@example.com"


def test_reading_needs_read_and_changing_write(client_with, domain):
    for permissions, get, post in (
        ((), 401, 401),
        (("read",), 200, 403),
        (("write",), 200, 201),
        (("admin",), 200, 409),
    ):
        api = client_with(*permissions)
        assert api.get("/api/v1/aliases").status_code == get
        assert api.post("/api/v1/aliases", NEW).status_code == post
