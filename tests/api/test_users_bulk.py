"""Many users in one request: each row by itself, as JSON and as CSV, and rehearsed without a trace."""

import json

import pytest
from django.db import OperationalError
from rest_framework import serializers

from accounts.models import Alias, User
from accounts.passwords import verify
from accounts.viewsets import UserViewSet
from domains.models import Domain
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
BULK, IMPORT = "/api/v1/users/bulk", "/api/v1/users/import"
PASSWORD = "secure_password_123"
HEADER = "username,email,password,quota,enabled,groups"


def user(name, **fields):
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD, **fields}


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch):
    """One hash for all: what is tested here is not how long it takes."""
    from django.contrib.auth.hashers import make_password

    from accounts import bulk

    hashed = make_password(PASSWORD)
    monkeypatch.setattr(bulk, "make_password", lambda password: hashed)


def post(api, rows, query=""):
    response = api.post(f"{BULK}{query}", {"users": rows}, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def import_csv(api, text, query=""):
    body = text if isinstance(text, bytes) else text.encode()
    return api.post(f"{IMPORT}{query}", body, content_type="text/csv")


def verdicts(answer):
    assert [row["row"] for row in answer["results"]] == list(range(1, len(answer["results"]) + 1))
    found = [row.get("error", {}).get("code") or row["status"] for row in answer["results"]]
    assert answer["created"] == found.count("created")
    assert answer["failed"] == len(found) - answer["created"]
    for row in answer["results"]:
        if row["status"] == "failed":
            assert set(row) == {"row", "status", "error"}
            assert set(row["error"]) == {"code", "details", "fields"}
            assert row["error"]["details"]
    return found


def test_a_bad_row_stops_no_other(write_api, domain):
    Alias.objects.create(address="taken@example.com", domain=domain)
    rows = [
        user("a", quota=5, groups=["staff"]),
        user("b", quota=-1),
        user("a", username="x"),
        {**user("c"), "username": "a"},
        user("taken"),
        "nonsense",
        None,
        [],
        {},
        user("d", email="d@elsewhere.example"),
        user("e", groups=["admin"]),
        user("f", password="short"),
        user("g", enabled=False),
    ]
    answer = post(write_api, rows)
    bad, twice = "INVALID_REQUEST", "CONFLICT"
    assert verdicts(answer) == [
        "created",
        bad,
        twice,
        twice,
        twice,
        bad,
        bad,
        bad,
        bad,
        bad,
        "FORBIDDEN",
        bad,
        "created",
    ]
    assert list(answer["results"][1]["error"]["fields"]) == ["quota"]
    assert set(User.objects.values_list("username", "quota", "is_active")) == {("a", 5, True), ("g", 0, False)}
    assert answer["results"][0]["id"] == f"user_{User.objects.get(username='a').pk}"
    assert write_api.get(f"/api/v1/users/{answer['results'][0]['id']}").json()["groups"] == ["staff"]
    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["user_created", "user_created", "users_created"]
    last = AuditEntry.objects.order_by("id").last()
    assert (last.metadata["created"], last.metadata["failed"]) == (2, 11)


def test_a_rehearsal_says_the_same_and_writes_nothing(write_api, domain):
    Domain.objects.update(max_users=4, max_quota=100)
    User.objects.create(username="old", email="old@example.com", domain=domain)
    before = AuditEntry.objects.count(), list(User.objects.values())
    rows = [
        user("a", quota=60),
        user("a"),
        user("b", username="a@example.com"),
        user("old"),
        user("c", quota=41),
        user("d", quota=40),
        user("e", groups=["admin"]),
        user("f", quota=0),
        user("g"),
        user("h", email="nobody"),
    ]
    rehearsed = post(write_api, rows, "?dry_run=1")
    assert (AuditEntry.objects.count(), list(User.objects.values())) == before
    assert not any("id" in row for row in rehearsed["results"])
    bad, twice = "INVALID_REQUEST", "CONFLICT"
    expected = ["created", twice, twice, twice, bad, "created", "FORBIDDEN", "created", bad, bad]
    assert verdicts(rehearsed) == expected
    assert verdicts(post(write_api, rows)) == expected


def test_a_file_is_imported(write_api, domain):
    text = f'{HEADER}\r\na,a@example.com,{PASSWORD},5,true,users;staff\r\n"b ""q""",b@example.com,{PASSWORD},,0,\r\n'
    answer = import_csv(write_api, text)
    assert answer.status_code == 200, answer.content
    assert verdicts(answer.json()) == ["created", "INVALID_REQUEST"]
    assert list(answer.json()["results"][1]["error"]["fields"]) == ["username"]
    made = User.objects.get()
    assert (made.username, made.quota, made.is_active) == ("a", 5, True)
    assert sorted(group.name for group in made.groups.all()) == ["staff", "users"]
    assert verify("a@example.com", PASSWORD, "192.0.2.1", "imap") is not None
    assert AuditEntry.objects.order_by("id").last().action == "users_imported"
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"\ufeff{HEADER}\na,a@example.com,{PASSWORD},,,\n", ["a"]),
        (f"email,password,username\na@example.com,{PASSWORD},a", ["a"]),
        (f"Username, EMAIL ,password\na,a@example.com,{PASSWORD}\n\n\nb,b@example.com,{PASSWORD}\n", ["a", "b"]),
        (f'username,email,password\n"\u00fcml\u00e4ut",a@example.com,{PASSWORD}\n', ["\u00fcml\u00e4ut"]),
    ],
)
def test_files_of_all_sorts_are_read(write_api, domain, text, names):
    assert verdicts(import_csv(write_api, text).json()) == ["created"] * len(names)
    assert sorted(User.objects.values_list("username", flat=True)) == names


@pytest.mark.parametrize(
    ("cells", "fields"),
    [
        ("a", ["non_field_errors"]),
        (f"a,a@example.com,{PASSWORD},1,true,x,more", ["non_field_errors"]),
        (",,,,,", ["username", "email", "password"]),
        (f"a,a@example.com,{PASSWORD},five,true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},-1,true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},{10**29},true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},{10**400},true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},1.5,true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},NaN,true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},\u0661,true,", ["quota"]),
        (f"a,a@example.com,{PASSWORD},1,maybe,", ["enabled"]),
        (f'"a\nb",a@example.com,{PASSWORD},1,true,', ["username"]),
        (f'"a\r\nb",a@example.com,{PASSWORD},1,true,', ["username"]),
        (f'a,"a@example.com\r\nBcc: x",{PASSWORD},1,true,', ["email"]),
        (f"a,a@example.com,{PASSWORD},1,true,{'x' * 151}", ["groups"]),
        (f"a,a@example.com,{PASSWORD},1,true,{';'.join(f'g{n}' for n in range(51))}", ["groups"]),
        (f"a,=cmd|' /C calc'!A0,{PASSWORD},1,true,", ["email"]),
    ],
)
def test_a_hostile_line_fails_alone_and_names_its_field(write_api, domain, cells, fields):
    answer = import_csv(write_api, f"{HEADER}\n{cells}\nz,z@example.com,{PASSWORD},,,\n")
    assert answer.status_code == 200, answer.content
    assert verdicts(answer.json()) == ["INVALID_REQUEST", "created"]
    found = answer.json()["results"][0]["error"]["fields"]
    assert sorted({name.split(".")[0] for name in found}) == sorted(fields)
    assert [row.username for row in User.objects.all()] == ["z"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbf",
        HEADER.encode(),
        b"username,email\na,a@example.com",
        b"username,email,password,admin\na,a@example.com,x,1",
        b"username,email,password,used_quota\na,a@example.com,x,1",
        b"username,email,password,username\na,a@example.com,x,b",
        b"username,email,password\na,a\x00@example.com,x",
        b"username,email,password\n\xff\xfe,a@example.com,x",
        b"username,email,password\n\xed\xa0\x80,a@example.com,x",
        b'username,email,password\n"a,a@example.com,x',
        b'username,email,password\n"a"b,a@example.com,x',
        b"username,email,password\n" + b"x" * 200_000 + b",a@example.com,x",
        b"username,email,password\n" + b"a,b,c\n" * 1001,
    ],
)
def test_what_is_no_such_file_is_400(write_api, domain, body):
    response = import_csv(write_api, body)
    assert response.status_code == 400, response.content
    assert response.json()["error"]["code"] == "INVALID_REQUEST"
    assert not User.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {},
        "x",
        {"users": None},
        {"users": {}},
        {"users": "x"},
        {"users": []},
        {"users": 7},
        {"user": [user("a")]},
        {"users": [{}] * 1001},
    ],
)
def test_what_is_no_such_list_is_400(write_api, domain, body):
    response = write_api.post(BULK, body, format="json")
    assert response.status_code == 400, response.content
    assert not AuditEntry.objects.exists()


def test_every_hostile_member_fails_alone(write_api, domain):
    from test_reference_examples import REFUSED_USERS, USER

    rows = [{**USER, **change} for change, _field in REFUSED_USERS if change]
    answer = post(write_api, [*rows, user("last")])
    assert verdicts(answer) == ["INVALID_REQUEST"] * len(rows) + ["created"]
    for row, (_change, name) in zip(answer["results"], [one for one in REFUSED_USERS if one[0]], strict=False):
        assert {field.split(".")[0] for field in row["error"]["fields"]} == {name}


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/form-data; boundary=x"])
def test_a_file_in_another_form_is_415(write_api, content_type):
    assert write_api.post(IMPORT, b"{}", content_type=content_type).status_code == 415


def test_these_two_take_two_mebibytes_and_all_others_one(write_api, domain):
    big = f"{HEADER}\n" + f"{'x' * 900},a@example.com,{PASSWORD},,,\n" * 1000 + "\n" * (1024 * 1024)
    assert len(big) > 1024 * 1024
    assert import_csv(write_api, big).status_code == 200
    assert import_csv(write_api, big + "\n" * 1024 * 1024).status_code == 413
    body = json.dumps({"users": [user("a")], "more": "x" * 1024 * 1024}).encode()
    assert write_api.post(BULK, body, content_type="application/json").status_code == 200
    assert write_api.post("/api/v1/users", body, content_type="application/json").status_code == 413


@pytest.mark.parametrize("path", [BULK, IMPORT])
def test_who_may_make_many(client_with, path):
    for permissions, status in [((), 401), (("read",), 403), (("write",), 400)]:
        kind = "text/csv" if path == IMPORT else "application/json"
        assert client_with(*permissions).post(path, b"x", content_type=kind).status_code == status
    assert client_with("write").get(path).status_code in (404, 405)
    assert client_with("write").post(f"{path}?dry_run=maybe", b"x", content_type=kind).status_code == 400


def test_an_administrators_key_makes_administrators(admin_api, domain):
    assert verdicts(post(admin_api, [user("root", groups=["admin"])])) == ["created"]
    assert User.objects.get().is_superuser


def test_passwords_are_hashed_by_two_threads_outside_of_every_transaction(write_api, domain, monkeypatch):
    import threading

    from accounts import bulk

    threads = []

    def hashing(password):
        threads.append(threading.current_thread())
        return "!"

    monkeypatch.setattr(bulk, "make_password", hashing)
    assert verdicts(post(write_api, [user(f"u{n}") for n in range(9)])) == ["created"] * 9
    assert len(set(threads)) <= 2
    assert threading.current_thread() not in threads


def test_when_the_database_goes_away_the_caller_learns_which_rows_were_made(write_api, domain, monkeypatch):
    from accounts import bulk_viewset

    original, calls = bulk_viewset.BulkUsersMixin._save, []

    def save(self, serializer):
        calls.append(1)
        if len(calls) == 2:
            raise OperationalError("database is locked")
        return original(self, serializer)

    monkeypatch.setattr(bulk_viewset.BulkUsersMixin, "_save", save)
    answer = post(write_api, [user("a"), user("b"), user("c")])
    assert verdicts(answer) == ["created", "SERVICE_UNAVAILABLE", "SERVICE_UNAVAILABLE"]
    assert len(calls) == 2
    assert User.objects.get().username == "a"


def test_a_mistake_of_ours_is_not_put_on_the_caller(write_api, domain, monkeypatch):
    from accounts import bulk_viewset

    def save(self, serializer):
        raise RuntimeError("SELECT secret")

    monkeypatch.setattr(bulk_viewset.BulkUsersMixin, "_save", save)
    response = write_api.post(BULK, {"users": [user("a")]}, format="json")
    assert response.status_code == 500
    assert "secret" not in response.content.decode()


def test_lists_do_not_take_all_threads_of_the_server(write_api, domain, monkeypatch):
    inside, answers = [], []

    def save(*_):
        inside.append(write_api.post("/api/v1/users/bulk", {"users": [user("x")]}, format="json"))
        raise serializers.ValidationError("not now")

    monkeypatch.setattr(UserViewSet, "save_new", save)
    for _ in range(2):  # what has ended makes room
        inside.clear()
        answers.append(write_api.post("/api/v1/users/bulk", {"users": [user("x")]}, format="json").status_code)
        assert sorted(answer.status_code for answer in inside) == [200, 200, 503]
        refused = next(answer for answer in inside if answer.status_code == 503)
        assert (refused.json()["error"]["code"], refused["Retry-After"]) == ("SERVICE_UNAVAILABLE", "5")
    assert answers == [200, 200]
