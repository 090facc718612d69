"""``Idempotency-Key``: what comes twice acts once and is answered alike; what should be tried again is not kept."""

import hashlib
import json
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from a3mailer_site.api import idempotency
from a3mailer_site.figures import figures
from a3mailer_site.models import KeptAnswer
from accounts.models import ApiKey
from domains.models import Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
PATH, BODY = "/api/v1/domains", {"domain": "new.example"}


def post(api, key="k1", path=PATH, body=BODY, **headers):
    return api.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY=key, **headers)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "\u00fc", "a\x00b", "\x7f"])
def test_a_key_in_another_form_is_400_and_nothing_happens(write_api, key):
    response = post(write_api, key)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "INVALID_REQUEST"
    assert not Domain.objects.exists()
    assert not KeptAnswer.objects.exists()


@pytest.mark.parametrize("key", ["x", " ", "x" * 200, "8e03978e-40d5-43dd-bc93-6894a57f9324", "~!@#$%^&*()'\"<>"])
def test_the_second_time_the_first_answer_comes_again(write_api, key):
    first = post(write_api, key)
    second = post(write_api, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    for name in ("Content-Type", "Location", "Content-Language"):
        assert second[name] == first[name]
    assert second["X-Request-ID"] != first["X-Request-ID"]
    assert Domain.objects.count() == 1
    assert AuditEntry.objects.count() == 1


def test_a_refusal_is_said_again_too_in_the_language_of_the_first(write_api):
    first = post(write_api, body={"domain": ""}, HTTP_ACCEPT_LANGUAGE="en")
    second = post(write_api, body={"domain": ""}, HTTP_ACCEPT_LANGUAGE="zh-Hans")
    assert first.status_code == second.status_code == 400
    assert first.content == second.content
    assert second["Content-Language"] == first["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("path", "body"),
    [(PATH, {"domain": "other.example"}), ("/api/v1/groups", BODY), (f"{PATH}?x=1", BODY), (PATH, {})],
)
def test_the_key_belongs_to_one_request(write_api, path, body):
    post(write_api)
    response = post(write_api, path=path, body=body)
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "CONFLICT"
    assert "Retry-After" not in response
    assert Domain.objects.count() == 1


def test_the_key_belongs_to_one_caller(client_with, make_user):
    make_user("root@example.com", is_staff=True, is_superuser=True)
    first, second, browser = client_with("write"), client_with("write"), APIClient()
    browser.login(username="root@example.com", password="correct horse battery")
    assert [post(api).status_code for api in (first, second, browser)] == [201, 409, 409]
    assert [post(api).status_code for api in (first, second, browser)] == [201, 409, 409]
    assert set(KeptAnswer.objects.values_list("caller", flat=True)) >= {f"key_{key.pk}" for key in ApiKey.objects.all()}
    assert KeptAnswer.objects.filter(caller__startswith="user_").count() == 1


def test_strangers_have_none(client_with, write_api):
    _key, secret = ApiKey.issue("over", ["write"], expires_at=timezone.now() - timedelta(seconds=1))
    for api in (client_with(), APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")):
        assert post(api).status_code == 401
    assert not KeptAnswer.objects.exists()


def test_a_revoked_key_is_told_nothing_again(client_with):
    api = client_with("write")
    post(api)
    ApiKey.objects.all().revoke(timezone.now())
    assert post(api).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"HTTP_IDEMPOTENCY_KEY": "k1"}])
@pytest.mark.parametrize(("secret", "figure"), [(None, "succeeded"), ("sk_live_wrong", "failed")])
def test_a_key_is_counted_once_a_request(write_api, monkeypatch, headers, secret, figure):
    counted = []
    monkeypatch.setattr(figures, "count", lambda name, number=1: counted.append(name))
    if secret:
        write_api.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    write_api.post(PATH, BODY, format="json", **headers)
    assert [name for name in counted if name.startswith("login.")] == [f"login.api_key.{figure}"]


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_other_methods_do_without(admin_api, domain, method):
    path = f"/api/v1/domains/domain_{domain.pk}"
    getattr(admin_api, method)(path, {}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert not KeptAnswer.objects.exists()


def test_a_secret_that_is_shown_once_is_kept_sealed(admin_api):
    new = {"name": "x", "permissions": ["read"]}
    made = post(admin_api, path="/api/v1/auth/keys", body=new).json()
    assert post(admin_api, path="/api/v1/auth/keys", body=new).json() == made
    assert ApiKey.objects.filter(name="x").count() == 1
    row = KeptAnswer.objects.get()
    assert made["api_key"] not in row.answer
    assert made["name"] not in row.answer.split(".")


def test_a_password_cannot_be_guessed_at_by_what_is_kept(write_api, domain):
    body = {"username": "bob", "email": "bob@example.com", "password": "correct horse battery"}
    assert post(write_api, path="/api/v1/users", body=body).status_code == 201
    written = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    plain = b"\0".join([b"POST", b"/api/v1/users", b"application/json", written])
    assert KeptAnswer.objects.get().fingerprint != hashlib.sha256(plain).hexdigest()


@pytest.mark.parametrize(("path", "status"), [(PATH, 403), ("/api/v1/nothing", 404), ("/api/v1/server/info", 403)])
def test_who_may_only_read_leaves_nothing_behind(read_api, path, status):
    assert post(read_api, path=path).status_code == status
    assert not KeptAnswer.objects.exists()


def test_who_is_given_the_permission_can_try_again(client_with):
    client = client_with("read")
    assert post(client).status_code == 403
    ApiKey.objects.update(permissions=["write"])
    assert post(client).status_code == 201


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_go_better_is_tried_again(write_api, monkeypatch, status):
    from rest_framework.exceptions import Throttled

    from domains.viewsets import DomainViewSet

    faults = {429: Throttled(wait=3), 500: RuntimeError("x"), 503: OperationalError("locked")}

    def refuse(self, request, *args, **kwargs):
        raise faults[status]

    with monkeypatch.context() as broken:
        broken.setattr(DomainViewSet, "create", refuse)
        assert post(write_api).status_code == status
    assert not KeptAnswer.objects.exists()
    response = post(write_api)
    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response


def claimed(api, ago):
    """A claim whose process died ``ago`` seconds ago."""
    post(api)
    Domain.objects.all().delete()
    KeptAnswer.objects.update(answer="", claimed_at=timezone.now() - timedelta(seconds=ago))


def test_while_the_first_is_running_the_second_waits(write_api):
    claimed(write_api, ago=1)
    response = post(write_api)
    assert response.status_code == 409
    assert int(response["Retry-After"]) >= 1
    assert not Domain.objects.exists()


def test_a_request_that_died_does_not_block_for_ever(write_api):
    claimed(write_api, ago=idempotency.PATIENCE.total_seconds() + 1)
    response = post(write_api)
    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response
    assert post(write_api)["Idempotency-Replayed"] == "true"


def test_one_who_comes_back_from_the_dead_does_not_overwrite(write_api, monkeypatch):
    from domains.viewsets import DomainViewSet

    original = DomainViewSet.create

    def slow(self, request, *args, **kwargs):
        # So slow that somebody else has taken the claim over meanwhile, and answered.
        KeptAnswer.objects.update(claimed_at=timezone.now() + timedelta(seconds=1), answer="the other's")
        return original(self, request, *args, **kwargs)

    monkeypatch.setattr(DomainViewSet, "create", slow)
    assert post(write_api).status_code == 201
    assert KeptAnswer.objects.get().answer == "the other's"


def test_after_a_day_a_key_is_free_again(write_api):
    post(write_api)
    KeptAnswer.objects.update(claimed_at=timezone.now() - timedelta(hours=24, seconds=1))
    response = post(write_api, body={"domain": "another.example"})
    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response
    assert KeptAnswer.objects.count() == 1


def test_what_is_outlived_is_forgotten_and_nothing_else(write_api):
    now = timezone.now()
    rows = [
        KeptAnswer(caller="key_1", key=f"k{n}", fingerprint="", claimed_at=now - timedelta(hours=n)) for n in range(48)
    ]
    KeptAnswer.objects.bulk_create(rows)
    assert KeptAnswer.objects.forget_outlived(now) == 24
    assert KeptAnswer.objects.forget_outlived(now) == 0
    assert KeptAnswer.objects.count() == 24


def test_an_answer_that_cannot_be_read_any_more_is_a_conflict_and_no_500(write_api):
    post(write_api)
    KeptAnswer.objects.update(answer="gAAAAA-of-another-data-directory")
    assert post(write_api).status_code == 409
    assert Domain.objects.count() == 1


def test_while_the_database_is_away_it_is_503(write_api, monkeypatch):
    def away(*args):
        raise OperationalError("database is locked")

    monkeypatch.setattr(idempotency, "_claim", away)
    response = post(write_api)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(response["Retry-After"]) > 0
    assert not Domain.objects.exists()


def test_an_answer_that_cannot_be_kept_is_still_given(write_api, monkeypatch):
    def away(text):
        raise OperationalError("database is locked")

    monkeypatch.setattr(idempotency, "encrypt", away)
    assert post(write_api).status_code == 201


def test_its_page_shows_no_answers(client, write_api, make_user):
    post(write_api, "k<1>")
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    client.force_login(root, backend="accounts.passwords.PasswordBackend")
    row = KeptAnswer.objects.get()
    for page in ("/admin/site_floor/keptanswer/", f"/admin/site_floor/keptanswer/{row.pk}/change/"):
        response = client.get(page)
        assert response.status_code == 200
        assert b"k&lt;1&gt;" in response.content
        assert row.answer.encode() not in response.content
        assert row.fingerprint.encode() not in response.content


@pytest.mark.django_db(transaction=True)
def test_of_two_at_the_same_moment_exactly_one_acts():
    _key, secret = ApiKey.issue("test", ["write"])
    count, rounds = 4, 5
    for number in range(rounds):
        together, answers = threading.Barrier(count), []

        def send(number=number, together=together, answers=answers):
            api = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")
            together.wait(10)
            try:
                answers.append(post(api, f"k{number}", body={"domain": f"d{number}.example"}))
            finally:
                connection.close()

        threads = [threading.Thread(target=send) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(answer.status_code for answer in answers)
        assert set(statuses) <= {201, 409}, [answer.content for answer in answers]
        acted = [one for one in answers if one.status_code == 201 and "Idempotency-Replayed" not in one]
        assert len(acted) == 1
        assert all(json.loads(one.content) == json.loads(acted[0].content) for one in answers if one.status_code == 201)
        assert all(int(one["Retry-After"]) >= 1 for one in answers if one.status_code == 409)
        assert Domain.objects.filter(name=f"d{number}.example").count() == 1
    assert AuditEntry.objects.filter(action="domain_created").count() == rounds
