"""Who changes what somebody else has changed meanwhile is told so, and nothing is lost."""

import pytest

from accounts.models import User

pytestmark = pytest.mark.django_db
PASSWORD = "another_password_9"


@pytest.fixture(params=["user", "domain"])
def thing(request, make_user, domain):
    """Where a user or domain lives, and a change that can be made twice with different values."""
    if request.param == "user":
        return f"/api/v1/users/user_{make_user('bob@example.com').pk}", {"quota": 5}, {"quota": 6}
    return f"/api/v1/domains/domain_{domain.pk}", {"max_users": 5}, {"max_users": 6}


def test_it_is_sent_with_the_object_and_a_known_one_is_304(write_api, thing):
    path, change, _ = thing
    first = write_api.get(path)
    assert first["ETag"].startswith('"')
    for given in (first["ETag"], f'"x", {first["ETag"]}', f"W/{first['ETag']}", "*"):
        again = write_api.get(path, HTTP_IF_NONE_MATCH=given)
        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == first["ETag"]
    for given in ('"x"', "nonsense", ""):
        assert write_api.get(path, HTTP_IF_NONE_MATCH=given).json() == first.json()
    changed = write_api.patch(path, change)
    assert changed["ETag"] == write_api.get(path)["ETag"] != first["ETag"]


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_change_with_an_older_one_is_412_and_does_nothing(write_api, thing, method):
    path, change, other = thing
    if method == "delete" and "domain_" in path:
        User.objects.all().delete()
    old = write_api.get(path)["ETag"]
    new = write_api.put(path, change, HTTP_IF_MATCH=old)
    assert new.status_code == 200
    before = write_api.get(path).json()
    for given in (old, '"x"', f"W/{new['ETag']}", "nonsense", "", new["ETag"].strip('"')):
        refused = getattr(write_api, method)(path, other, HTTP_IF_MATCH=given)
        assert refused.status_code == 412, given
        assert refused.json()["error"]["code"] == "PRECONDITION_FAILED"
    assert write_api.get(path).json() == before
    assert getattr(write_api, method)(path, other, HTTP_IF_MATCH=f'"x", {new["ETag"]}').status_code in (200, 204)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_star_matches_whatever_is_there(write_api, thing, method):
    path, change, _ = thing
    assert getattr(write_api, method)(path, change, HTTP_IF_MATCH="*").status_code in (200, 204)
    if method == "delete":
        assert write_api.delete(path, HTTP_IF_MATCH="*").status_code == 404


def test_it_stands_for_what_callers_change_and_not_for_what_moves_by_itself(write_api, make_user):
    from django.utils import timezone

    bob = make_user("bob@example.com")
    path = f"/api/v1/users/user_{bob.pk}"
    seen = {write_api.get(path)["ETag"]}
    User.objects.update(used_quota=9, last_login=timezone.now())
    assert write_api.get(path)["ETag"] in seen
    for change in (
        {"quota": 1},
        {"enabled": False},
        {"groups": ["x"]},
        {"email": "b@example.com"},
        {"username": "b"},
        {"password": PASSWORD},
    ):
        etag = write_api.patch(path, change)["ETag"]
        assert etag not in seen, change
        seen.add(etag)


def test_two_of_a_kind_have_different_ones(write_api, make_user):
    etags = {write_api.get(f"/api/v1/users/user_{make_user(f'{name}@example.com').pk}")["ETag"] for name in "ab"}
    assert len(etags) == 2


def test_a_change_reads_the_row_again_so_that_another_one_is_not_undone(write_api, make_user, monkeypatch):
    """Two changes of different fields at once: both stay."""
    from accounts import viewsets

    bob = make_user("bob@example.com")
    original = viewsets.locked

    def locked(user):
        User.objects.filter(pk=bob.pk).update(quota=77)
        return original(user)

    monkeypatch.setattr(viewsets, "locked", locked)
    assert write_api.patch(f"/api/v1/users/user_{bob.pk}", {"enabled": False}).json()["quota"] == 77
    bob.refresh_from_db()
    assert (bob.quota, bob.is_active) == (77, False)
