"""Two requests at the same moment do not both take a domain's last place, nor the last of its quota."""

import threading

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from domains.models import Domain

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(bodies):
    _key, secret = ApiKey.issue("test", ["write"])
    together = threading.Barrier(len(bodies))
    answers = []

    def post(body):
        client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")
        together.wait(10)
        try:
            answers.append(client.post("/api/v1/users", body, format="json").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=post, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


def body(number, **fields):
    return {"username": f"u{number}", "email": f"u{number}@example.com", "password": "secure_password_123", **fields}


def test_the_last_place_is_taken_once():
    Domain.objects.create(name="example.com", max_users=3)
    assert at_once([body(number) for number in range(6)]) == [201] * 3 + [400] * 3
    assert User.objects.count() == 3


def test_the_last_of_the_quota_is_given_once():
    Domain.objects.create(name="example.com", max_quota=100)
    assert at_once([body(number, quota=40) for number in range(5)]) == [201] * 2 + [400] * 3
    assert sum(User.objects.values_list("quota", flat=True)) == 80


def test_an_address_is_given_once():
    Domain.objects.create(name="example.com")
    assert at_once([body(1) for _ in range(4)]) == [201] + [409] * 3
