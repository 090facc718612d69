"""Two requests at the same moment do not both take a domain's last place, nor the last of its quota, nor an address."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Alias, ApiKey, User
from domains.models import Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*requests):
    """Make requests (method, path, body, headers) in threads of their own; returns the answers."""
    _key, secret = ApiKey.issue("test", ["admin"])
    together = threading.Barrier(len(requests))
    answers = []

    def make(method, path, body=None, **headers):
        client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", **headers)
        together.wait(10)
        try:
            answers.append(getattr(client, method)(f"/api/v1/{path}", body, format="json"))
        finally:
            connection.close()

    threads = [threading.Thread(target=make, args=request[:3], kwargs=dict(request[3:])) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(requests)
    return answers


def statuses(answers):
    return sorted(answer.status_code for answer in answers)


def post_at_once(bodies):
    return statuses(at_once(*[("post", "users", body) for body in bodies]))


def body(number, **fields):
    return {"username": f"u{number}", "email": f"u{number}@example.com", "password": "secure_password_123", **fields}


def deleted(number, domain, **fields):
    """Somebody in the trash."""
    from accounts import trash
    from accounts.powers import locked

    user = User.objects.create(username=f"u{number}", email=f"u{number}@example.com", domain=domain, **fields)
    with transaction.atomic():
        trash.delete(locked(user), timezone.now())
    return f"users/user_{user.pk}"


def test_the_last_place_is_taken_once():
    Domain.objects.create(name="example.com", max_users=3)
    assert post_at_once([body(number) for number in range(6)]) == [201] * 3 + [400] * 3
    assert User.objects.count() == 3


def test_the_last_of_the_quota_is_given_once():
    Domain.objects.create(name="example.com", max_quota=100)
    assert post_at_once([body(number, quota=40) for number in range(5)]) == [201] * 2 + [400] * 3
    assert sum(User.objects.values_list("quota", flat=True)) == 80


def test_an_address_is_given_once():
    Domain.objects.create(name="example.com")
    assert post_at_once([body(1) for _ in range(4)]) == [201] + [409] * 3


def test_restores_and_new_users_share_the_last_places():
    domain = Domain.objects.create(name="example.com", max_users=3)
    restores = [("post", f"{deleted(number, domain)}/restore") for number in range(3)]
    answers = at_once(*restores, *[("post", "users", body(number)) for number in range(10, 13)])
    assert sum(status in (200, 201) for status in statuses(answers)) == 3
    assert set(statuses(answers)) <= {200, 201, 400, 409}
    assert User.objects.count() == 3


def test_restores_and_raised_quotas_share_the_last_of_it():
    domain = Domain.objects.create(name="example.com", max_quota=100)
    here = User.objects.create(username="here", email="here@example.com", domain=domain)
    restores = [("post", f"{deleted(number, domain, quota=40)}/restore") for number in range(3)]
    at_once(*restores, ("patch", f"users/user_{here.pk}", {"quota": 40}))
    assert sum(User.objects.values_list("quota", flat=True)) == 80


def test_an_address_goes_to_the_old_user_or_to_a_new_one():
    domain = Domain.objects.create(name="example.com")
    path = deleted(1, domain)
    answers = at_once(("post", f"{path}/restore"), ("post", "users", body(1)), ("post", f"{path}/restore"))
    assert User.objects.filter(email="u1@example.com").count() == 1
    assert sum(status in (200, 201) for status in statuses(answers)) == 1


def test_lists_of_users_share_the_last_places():
    Domain.objects.create(name="example.com", max_users=5)
    lists = [{"users": [body(f"{one}x{number}") for number in range(4)]} for one in range(3)]
    answers = at_once(*[("post", "users/bulk", users) for users in lists])
    assert statuses(answers) == [200] * 3
    assert sum(answer.json()["created"] for answer in answers) == User.objects.count() == 5


def test_lists_with_the_same_users_make_each_once():
    Domain.objects.create(name="example.com")
    users = {"users": [body(number) for number in range(4)]}
    answers = at_once(*[("post", "users/bulk", users) for _ in range(3)])
    assert sum(answer.json()["created"] for answer in answers) == User.objects.count() == 4
    codes = {row["error"]["code"] for answer in answers for row in answer.json()["results"] if "error" in row}
    assert codes == {"CONFLICT"}


def test_of_changes_with_the_same_etag_one_wins():
    domain = Domain.objects.create(name="example.com")
    user = User.objects.create(username="u", email="u@example.com", domain=domain)
    for path, name in ((f"users/user_{user.pk}", "quota"), (f"domains/domain_{domain.pk}", "max_users")):
        _key, secret = ApiKey.issue("test", ["read"])
        etag = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}").get(f"/api/v1/{path}")["ETag"]
        answers = at_once(*[("patch", path, {name: 5 + n}, ("HTTP_IF_MATCH", etag)) for n in range(4)])
        assert statuses(answers) == [200] + [412] * 3


def test_changes_of_different_fields_all_stay():
    domain = Domain.objects.create(name="example.com")
    user = User.objects.create(username="u", email="u@example.com", domain=domain)
    path = f"users/user_{user.pk}"
    changes = [{"quota": 9}, {"enabled": False}, {"username": "other"}, {"groups": ["staff"]}]
    assert statuses(at_once(*[("patch", path, change) for change in changes])) == [200] * 4
    user.refresh_from_db()
    assert (user.quota, user.is_active, user.username, user.groups.count()) == (9, False, "other", 1)


def test_two_administrators_do_not_delete_each_other():
    users = [User.objects.create(username=f"root{n}", is_superuser=True, is_staff=True) for n in range(2)]
    assert statuses(at_once(*[("delete", f"users/user_{user.pk}") for user in users])) == [204, 403]
    assert User.objects.filter(is_active=True, is_superuser=True).count() == 1


def test_a_domain_is_deleted_or_gets_a_user_and_never_both():
    for number in range(5):
        domain = Domain.objects.create(name="example.com")
        made, gone = at_once(("post", "users", body(number)), ("delete", f"domains/domain_{domain.pk}"))
        found = {made.status_code, gone.status_code}
        assert found in ({201, 409}, {204, 400}), found
        assert Domain.objects.count() == User.objects.count()
        User.objects.all().delete()
        Domain.everything.all().delete()


def test_an_address_goes_to_a_user_or_to_an_alias_and_never_to_both():
    domain = Domain.objects.create(name="example.com")
    for number in range(8):
        user = User.objects.create(username=f"u{number}", email=f"old{number}@example.com", domain=domain)
        other = User.objects.create(username=f"o{number}", email=f"other{number}@example.com", domain=domain)
        address = f"new{number}@example.com"
        answers = at_once(
            ("patch", f"users/user_{user.pk}", {"email": address}),
            ("post", "aliases", {"address": address, "targets": ["x@example.org"]}),
            ("patch", f"users/user_{other.pk}", {"username": address}),
        )
        holders = [User.objects.filter(email=address), Alias.objects.filter(address=address)]
        assert sum(rows.count() for rows in holders) <= 1, statuses(answers)
        assert not User.objects.filter(email=address).exists() or not User.objects.filter(username=address).exists()
        assert set(statuses(answers)) == {200, 409} or 201 in statuses(answers)


def test_an_alias_goes_away_with_its_domain_or_is_not_made():
    for _ in range(5):
        domain = Domain.objects.create(name="example.com")
        old = Alias.objects.create(address="old@example.com", domain=domain)
        alias = {"address": "new@example.com", "targets": ["x@example.org"]}
        made, changed, gone = at_once(
            ("post", "aliases", alias),
            ("patch", f"aliases/alias_{old.pk}", {"enabled": False}),
            ("delete", f"domains/domain_{domain.pk}"),
        )
        assert {made.status_code, changed.status_code, gone.status_code} <= {200, 201, 204, 400, 404}
        assert not Alias.objects.exists()
        Domain.everything.all().delete()


def test_an_alias_that_is_deleted_does_not_come_back_by_a_change():
    domain = Domain.objects.create(name="example.com")
    for number in range(5):
        alias = Alias.objects.create(address=f"a{number}@example.com", domain=domain)
        path = f"aliases/alias_{alias.pk}"
        at_once(("delete", path), ("delete", path), ("patch", path, {"enabled": False}))
        assert not Alias.objects.exists()
        entries = AuditEntry.objects.filter(action="alias_deleted", metadata__target=f"alias_{alias.pk}")
        assert entries.count() == 1


def test_the_trash_is_emptied_by_two_at_once():
    from datetime import timedelta

    from accounts import trash

    domain = Domain.objects.create(name="example.com")
    for number in range(6):
        deleted(number, domain)
    before, gone = timezone.now() + timedelta(seconds=1), []

    def purge():
        try:
            gone.append(trash.purge(before, False))
        finally:
            connection.close()

    threads = [threading.Thread(target=purge) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(gone) == 6
    assert not User.everybody.exists()
