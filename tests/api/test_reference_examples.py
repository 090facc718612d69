"""The reference's examples for these endpoints, as data: requests are taken as they stand, answers have its fields."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey, User
from domains.models import Domain

pytestmark = pytest.mark.django_db

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

# The bodies of docs: "创建用户", "更新用户", "添加域名", "获取 API 密钥".
DOMAIN = {"domain": "example.com", "enabled": True, "max_users": 1000, "max_quota": 107374182400}
USER = {
    "username": "john.doe",
    "email": "john.doe@example.com",
    "password": "secure_password_123",
    "quota": 1073741824,
    "enabled": True,
    "groups": ["users", "staff"],
}
SDK_USER = {"username": "john.doe", "email": "john.doe@example.com", "password": "secure_password"}
USER_CHANGE = {"quota": 2147483648, "enabled": True, "groups": ["users", "staff", "admin"]}
KEY = {"name": "monitoring-key", "permissions": ["read", "write"], "expires_at": "2099-12-31T23:59:59Z"}

LISTED_USER = {"id", "username", "email", "quota", "used_quota", "enabled", "created_at", "last_login"}


def test_the_whole_walk_with_a_read_write_key_as_the_reference_has_them(write_api):
    domain = write_api.post("/api/v1/domains", DOMAIN)
    assert domain.status_code == 201, domain.content
    assert domain.json() == {
        "id": domain.json()["id"],
        **DOMAIN,
        "send_limit_hour": 0,
        "send_limit_day": 0,
        "user_count": 0,
        "used_quota": 0,
        "created_at": domain.json()["created_at"],
    }
    assert re.fullmatch(r"domain_\d+", domain.json()["id"])
    assert domain["Location"] == f"/api/v1/domains/{domain.json()['id']}"
    assert write_api.get(domain["Location"]).json() == domain.json()

    user = write_api.post("/api/v1/users", USER)
    assert user.status_code == 201, user.content
    assert user["Location"] == f"/api/v1/users/{user.json()['id']}"
    assert re.fullmatch(r"user_\d+", user.json()["id"])
    assert user.json() == {
        "id": user.json()["id"],
        "username": "john.doe",
        "email": "john.doe@example.com",
        "quota": 1073741824,
        "used_quota": 0,
        "undo_seconds": 0,
        "send_limit_hour": None,
        "send_limit_day": None,
        "enabled": True,
        "groups": ["staff", "users"],
        "created_at": user.json()["created_at"],
        "last_login": None,
    }
    assert TIME.fullmatch(user.json()["created_at"])
    assert write_api.get(user["Location"]).json() == user.json()

    User.objects.update(last_login=timezone.now())
    listed = write_api.get("/api/v1/users?page=1&limit=50&search=john").json()
    assert set(listed) == {"users", "total", "page", "limit"}
    assert (listed["total"], listed["page"], listed["limit"]) == (1, 1, 50)
    assert set(listed["users"][0]) >= LISTED_USER
    assert TIME.fullmatch(listed["users"][0]["last_login"])

    # The example makes an administrator: that needs more than "write".
    refused = write_api.put(user["Location"], USER_CHANGE)
    assert refused.status_code == 403
    assert not User.objects.get().is_superuser
    changed = write_api.put(user["Location"], {**USER_CHANGE, "groups": ["users"]})
    assert changed.status_code == 200, changed.content
    assert changed.json()["quota"] == 2147483648
    assert changed.json()["groups"] == ["users"]
    assert changed.json()["email"] == "john.doe@example.com"

    assert write_api.get("/api/v1/domains").json()["domains"][0]["user_count"] == 1
    gone = write_api.delete(user["Location"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert write_api.get(user["Location"]).status_code == 404


def test_the_update_example_with_an_administrators_key(admin_api, domain):
    user = admin_api.post("/api/v1/users", USER).json()
    changed = admin_api.put(f"/api/v1/users/{user['id']}", USER_CHANGE)
    assert changed.status_code == 200
    assert changed.json()["groups"] == ["admin", "staff", "users"]
    row = User.objects.get()
    assert row.is_superuser
    assert row.is_staff


def test_the_sdks_user_has_three_fields(write_api):
    write_api.post("/api/v1/domains", DOMAIN)
    made = write_api.post("/api/v1/users", SDK_USER)
    assert made.status_code == 201, made.content
    assert (made.json()["quota"], made.json()["enabled"], made.json()["groups"]) == (0, True, [])


def test_the_key_example(admin_api):
    made = admin_api.post("/api/v1/auth/keys", KEY)
    assert made.status_code == 201, made.content
    body = made.json()
    reference = {"key_id", "api_key", "name", "permissions", "created_at", "expires_at"}
    assert set(body) == reference | {"allowed_networks", "domains"}
    assert (body["allowed_networks"], body["domains"]) == (None, None)
    assert re.fullmatch(r"key_\d+", body["key_id"])
    assert re.fullmatch(r"sk_live_[A-Za-z0-9_-]{43}", body["api_key"])
    assert body["permissions"] == ["read", "write"]
    assert body["expires_at"] == KEY["expires_at"]
    assert TIME.fullmatch(body["created_at"])
    admin_api.credentials(HTTP_AUTHORIZATION=f"Bearer {body['api_key']}")
    assert admin_api.get("/api/v1/users").status_code == 200
    assert admin_api.get("/api/v1/auth/keys").status_code == 403


def test_server_info_has_the_references_fields(read_api, monkeypatch):
    from monitoring import server

    monkeypatch.setattr(server, "call", lambda command, timeout: STATUS)
    body = read_api.get("/api/v1/server/info").json()
    assert set(body) >= {"version", "build_date", "uptime", "hostname", "features", "status"}
    assert body["features"] == ["smtp", "submission", "imap", "pop3", "monitoring", "security"]
    assert (body["uptime"], body["status"]) == (86400, "running")
    assert TIME.fullmatch(body["build_date"])
    assert body["listeners"]["imaps"] == "127.0.0.1:2993"
    assert "managesieve" not in body["listeners"]


STATUS = {
    "state": "running",
    "uptime": 86400.7,
    "processes": [],
    "listeners": [
        {"name": "smtp", "address": "127.0.0.1:2525", "served": True},
        {"name": "submissions", "address": "127.0.0.1:2465", "served": True},
        {"name": "imaps", "address": "127.0.0.1:2993", "served": True},
        {"name": "pop3", "address": "127.0.0.1:2110", "served": True},
        {"name": "managesieve", "address": "127.0.0.1:4190", "served": False},
        {"name": "http", "address": "127.0.0.1:8080", "served": True},
    ],
}


def test_the_error_example_names_the_missing_field(write_api):
    error = write_api.post("/api/v1/users", {"username": "x"}, HTTP_ACCEPT_LANGUAGE="en").json()["error"]
    assert error["code"] == "INVALID_REQUEST"
    assert error["details"] == "Field 'email' is required."
    assert set(error["fields"]) == {"email", "password"}


REFUSED_USERS = [
    ({}, "username"),
    ({"username": ""}, "username"),
    ({"username": "a b"}, "username"),
    ({"username": 7}, "username"),
    ({"username": True}, "username"),
    ({"username": None}, "username"),
    ({"username": ["x"]}, "username"),
    ({"username": "x" * 255}, "username"),
    ({"username": "x\u200bx"}, "username"),
    ({"email": "nobody"}, "email"),
    ({"email": ""}, "email"),
    ({"email": None}, "email"),
    ({"email": "x@elsewhere.example"}, "email"),
    ({"email": "a%b@example.com"}, "email"),
    ({"email": "@example.com"}, "email"),
    ({"password": ""}, "password"),
    ({"password": "short"}, "password"),
    ({"password": "password123"}, "password"),
    ({"password": "john.doe12"}, "password"),
    ({"password": "x" * 1025}, "password"),
    ({"password": "\u00e9" * 600}, "password"),
    ({"quota": -1}, "quota"),
    ({"quota": "5"}, "quota"),
    ({"quota": True}, "quota"),
    ({"quota": 1.5}, "quota"),
    ({"quota": 1.0}, "quota"),
    ({"quota": 2**63}, "quota"),
    ({"quota": 10**400}, "quota"),
    ({"quota": None}, "quota"),
    ({"enabled": "true"}, "enabled"),
    ({"enabled": 1}, "enabled"),
    ({"enabled": None}, "enabled"),
    ({"groups": "staff"}, "groups"),
    ({"groups": [7]}, "groups"),
    ({"groups": [""]}, "groups"),
    ({"groups": ["x" * 151]}, "groups"),
    ({"groups": {"a": 1}}, "groups"),
    ({"groups": [f"g{number}" for number in range(51)]}, "groups"),
]


@pytest.mark.parametrize(("change", "field"), REFUSED_USERS)
def test_a_user_that_is_not_right_is_400_and_the_field_is_named(write_api, domain, change, field):
    body = {**USER, **change} if change else {}
    response = write_api.post("/api/v1/users", body)
    assert response.status_code == 400, response.content
    error = response.json()["error"]
    assert error["code"] == "INVALID_REQUEST"
    assert any(name.split(".")[0] == field for name in error["fields"]), error
    assert not User.objects.exists()


@pytest.mark.parametrize(("change", "field"), [row for row in REFUSED_USERS if row[0]])
def test_the_same_is_refused_in_a_change(write_api, domain, change, field):
    user = write_api.post("/api/v1/users", USER).json()
    before = write_api.get(f"/api/v1/users/{user['id']}").json()
    response = write_api.patch(f"/api/v1/users/{user['id']}", change)
    assert response.status_code == 400, response.content
    assert write_api.get(f"/api/v1/users/{user['id']}").json() == before


def test_fields_that_are_not_for_callers_are_left_alone(write_api, domain):
    body = {
        **USER,
        "id": "user_7",
        "used_quota": 5,
        "created_at": "2001-01-01T00:00:00Z",
        "is_superuser": True,
        "is_staff": True,
    }
    made = write_api.post("/api/v1/users", body).json()
    row = User.objects.get()
    assert (row.used_quota, row.is_superuser, row.is_staff) == (0, False, False)
    assert made["id"] == f"user_{row.pk}"
    assert made["created_at"] != "2001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "again", [{"email": "other@example.com"}, {"username": "other"}, {"username": "JOHN.DOE", "email": "o@example.com"}]
)
def test_a_name_or_address_that_is_taken_is_409(write_api, domain, again):
    assert write_api.post("/api/v1/users", USER).status_code == 201
    response = write_api.post("/api/v1/users", {**USER, **again})
    assert response.status_code == 409, response.content
    assert response.json()["error"]["code"] == "CONFLICT"
    assert User.objects.count() == 1


def test_a_change_never_writes_back_what_mail_has_counted(write_api, domain, monkeypatch):
    """A message that arrives while an administrator changes the quota must stay counted."""
    user = write_api.post("/api/v1/users", USER).json()
    original = User.full_clean

    def clean(self, *args, **kwargs):
        User.objects.filter(pk=self.pk).update(used_quota=77)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(User, "full_clean", clean)
    assert write_api.patch(f"/api/v1/users/{user['id']}", {"quota": 9}).status_code == 200
    assert User.objects.get().used_quota == 77


def test_passwords_are_hashed_and_never_said_again(write_api, domain):
    from accounts.passwords import verify
    from security.models import AuditEntry

    response = write_api.post("/api/v1/users", USER)
    assert "secure_password_123" not in response.content.decode()
    assert "secure_password_123" not in str(list(AuditEntry.objects.values()))
    assert verify("john.doe", "secure_password_123", address="192.0.2.1", protocol="imap") is not None
    write_api.patch(f"/api/v1/users/{response.json()['id']}", {"password": "another_password_9"})
    assert verify("john.doe", "secure_password_123", address="192.0.2.1", protocol="imap") is None
    assert verify("john.doe", "another_password_9", address="192.0.2.1", protocol="imap") is not None
    assert AuditEntry.objects.filter(action="user_updated").get().metadata["password_changed"] == "***"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": "com"}, "domain"),
        ({"domain": "a b.example"}, "domain"),
        ({"domain": "-a.example"}, "domain"),
        ({"domain": 7}, "domain"),
        ({"domain": None}, "domain"),
        ({"domain": "[192.0.2.1]"}, "domain"),
        ({"domain": "a" * 64 + ".example"}, "domain"),
        ({"domain": ".".join(["abcdefgh"] * 32)}, "domain"),
        ({"max_users": -1}, "max_users"),
        ({"max_users": 2**31}, "max_users"),
        ({"max_users": "9"}, "max_users"),
        ({"max_users": True}, "max_users"),
        ({"max_quota": 2**63}, "max_quota"),
        ({"max_quota": 1.5}, "max_quota"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
def test_a_domain_that_is_not_right_is_400(write_api, change, field):
    response = write_api.post("/api/v1/domains", {**DOMAIN, **change})
    assert response.status_code == 400, response.content
    assert field in response.json()["error"]["fields"]
    assert not Domain.objects.exists()


def test_a_domain_is_found_again_however_it_is_spelled(write_api):
    made = write_api.post("/api/v1/domains", {"domain": "B\u00dcCHER.example", "max_users": None})
    assert (made.json()["domain"], made.json()["max_users"]) == ("b\u00fccher.example", 0)
    assert Domain.objects.get().name == "xn--bcher-kva.example"
    assert write_api.post("/api/v1/domains", {"domain": "xn--bcher-kva.example"}).status_code == 409


def test_a_domain_is_changed_but_not_renamed_and_not_deleted_with_users(write_api, make_user, domain):
    path = f"/api/v1/domains/domain_{domain.pk}"
    assert write_api.put(path, {"enabled": False, "max_users": 5}).json()["enabled"] is False
    assert write_api.patch(path, {"domain": "example.com", "enabled": True}).status_code == 200
    assert write_api.patch(path, {"domain": "other.example"}).status_code == 400
    assert Domain.objects.get().max_users == 5
    bob = make_user("bob@example.com")
    assert write_api.delete(path).status_code == 409
    bob.delete()
    assert write_api.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": None}, "name"),
        ({"permissions": []}, "permissions"),
        ({"permissions": ["root"]}, "permissions"),
        ({"permissions": "read"}, "permissions"),
        ({"permissions": [["read"]]}, "permissions"),
        ({"permissions": ["read"] * 4}, "permissions"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": 7}, "expires_at"),
    ],
)
def test_a_key_that_is_not_right_is_400(admin_api, change, field):
    response = admin_api.post("/api/v1/auth/keys", {**KEY, **change})
    assert response.status_code == 400, response.content
    assert any(name.split(".")[0] == field for name in response.json()["error"]["fields"])
    assert ApiKey.objects.count() == 1


def test_keys_are_listed_without_secrets_and_revoked(admin_api):
    made = admin_api.post("/api/v1/auth/keys", {"name": "x", "permissions": ["read"]}).json()
    listed = admin_api.get("/api/v1/auth/keys")
    assert listed.json()["total"] == 2
    assert made["api_key"] not in listed.content.decode()
    assert "digest" not in listed.content.decode()
    assert admin_api.delete(f"/api/v1/auth/keys/{made['key_id']}").status_code == 204
    assert admin_api.delete(f"/api/v1/auth/keys/{made['key_id']}").status_code == 404
    admin_api.credentials(HTTP_AUTHORIZATION=f"Bearer {made['api_key']}")
    assert admin_api.get("/api/v1/users").status_code == 401


class TestPages:
    """Lists, from the first page to past the last."""

    @pytest.fixture
    def many(self, domain):
        User.objects.bulk_create(
            [User(username=f"u{n:02}", email=f"u{n:02}@example.com", domain=domain) for n in range(55)]
        )

    def test_pages_follow_each_other(self, read_api, many):
        first = read_api.get("/api/v1/users").json()
        assert (len(first["users"]), first["total"], first["page"], first["limit"]) == (50, 55, 1, 50)
        second = read_api.get("/api/v1/users?page=2").json()
        assert len(second["users"]) == 5
        assert not {user["id"] for user in first["users"]} & {user["id"] for user in second["users"]}

    def test_a_page_past_the_end_is_empty(self, read_api, many):
        body = read_api.get("/api/v1/users?page=3&limit=50").json()
        assert body == {"users": [], "total": 55, "page": 3, "limit": 50}

    @pytest.mark.parametrize("name", ["page", "limit"])
    @pytest.mark.parametrize(
        "value", ["0", "-1", "x", "", "1.0", "1e3", "501", "99999999999999999999", "\u0661", " 1", "%00"]
    )
    def test_a_number_out_of_range_is_refused_with_its_name(self, read_api, many, name, value):
        if (name, value) == ("page", "501"):
            return
        response = read_api.get(f"/api/v1/users?{name}={value}")
        assert response.status_code == 400, response.content
        assert name in response.json()["error"]["fields"]

    def test_search_is_literal_and_without_case(self, read_api, many, domain):
        User.objects.create_user("a%b_c", None, email="x@example.com")
        assert read_api.get("/api/v1/users?search=U0").json()["total"] == 10
        assert read_api.get("/api/v1/users?search=%25").json()["total"] == 1
        assert read_api.get("/api/v1/users?search=_").json()["total"] == 1
        assert read_api.get("/api/v1/users?search=u01@EXAMPLE").json()["total"] == 1
        assert read_api.get("/api/v1/users?search=nobody").json() == {"users": [], "total": 0, "page": 1, "limit": 50}

    @pytest.mark.parametrize("value", ["%00", "x" * 201, "a%0Ab"])
    def test_a_search_that_is_no_text_is_refused(self, read_api, value):
        assert read_api.get(f"/api/v1/users?search={value}").status_code == 400
        assert read_api.get(f"/api/v1/domains?search={value}").status_code == 400

    def test_a_list_costs_the_same_queries_whatever_its_length(self, read_api, many, django_assert_max_num_queries):
        read_api.get("/api/v1/users?limit=50")  # what is remembered of the key is read once
        with django_assert_max_num_queries(4):
            read_api.get("/api/v1/users?limit=50")


class TestPower:
    """Holes of the reference: making, changing and removing administrators."""

    @pytest.fixture
    def root(self, make_user):
        return make_user("root@example.com", is_staff=True, is_superuser=True)

    @pytest.mark.parametrize("groups", [["admin"], ["Admin"], [" ADMIN "], ["\uff21dmin", "admin"]])
    def test_a_write_key_makes_no_administrator(self, write_api, domain, groups):
        response = write_api.post("/api/v1/users", {**USER, "groups": groups})
        assert response.status_code == 403, response.content
        assert not User.objects.exists()

    def test_a_write_key_gives_no_group_that_has_powers(self, write_api, domain):
        from django.contrib.auth.models import Group, Permission

        Group.objects.create(name="helpdesk").permissions.add(Permission.objects.first())
        assert write_api.post("/api/v1/users", {**USER, "groups": ["helpdesk"]}).status_code == 403

    @pytest.mark.parametrize(
        "change",
        [{"password": "taken_over_123"}, {"email": "x@example.com"}, {"quota": 1}, {"enabled": False}, {"groups": []}],
    )
    def test_a_write_key_does_not_touch_an_administrator(self, write_api, root, make_user, change):
        make_user("second@example.com", is_staff=True, is_superuser=True)
        assert write_api.patch(f"/api/v1/users/user_{root.pk}", change).status_code == 403
        assert write_api.delete(f"/api/v1/users/user_{root.pk}").status_code == 403
        staff = make_user("staff@example.com", is_staff=True)
        assert write_api.patch(f"/api/v1/users/user_{staff.pk}", change).status_code == 403

    @pytest.mark.parametrize("change", [{"enabled": False}, {"groups": []}, {"groups": ["users"]}])
    def test_the_last_administrator_stays(self, admin_api, root, make_user, change):
        make_user("off@example.com", is_staff=True, is_superuser=True, is_active=False)
        path = f"/api/v1/users/user_{root.pk}"
        assert admin_api.patch(path, change).status_code == 403
        assert admin_api.delete(path).status_code == 403
        make_user("second@example.com", is_staff=True, is_superuser=True)
        assert admin_api.patch(path, change).status_code == 200

    def test_nobody_deletes_themselves(self, client_with, root, make_user):
        make_user("second@example.com", is_staff=True, is_superuser=True)
        assert client_with("admin", owner=root).delete(f"/api/v1/users/user_{root.pk}").status_code == 403


class TestLimits:
    """What a domain allows its users together."""

    def make(self, api, name, **fields):
        return api.post(
            "/api/v1/users",
            {"username": name, "email": f"{name}@example.com", "password": "secure_password_123", **fields},
        )

    def test_a_full_domain_takes_nobody_more(self, write_api, domain):
        Domain.objects.update(max_users=2)
        assert [self.make(write_api, name).status_code for name in ("a", "b", "c")] == [201, 201, 400]
        assert write_api.patch(f"/api/v1/users/user_{User.objects.first().pk}", {"quota": 5}).status_code == 200

    def test_quotas_together_stay_under_the_ceiling(self, write_api, domain):
        Domain.objects.update(max_quota=100)
        assert [
            self.make(write_api, n, quota=q).status_code for n, q in (("a", 60), ("b", 41), ("c", 40), ("d", 0))
        ] == [
            201,
            400,
            201,
            201,
        ]
        path = f"/api/v1/users/user_{User.objects.get(username='a').pk}"
        assert write_api.patch(path, {"quota": 61}).status_code == 400
        assert write_api.patch(path, {"quota": 60}).status_code == 200
        Domain.objects.update(max_quota=10)
        assert write_api.patch(path, {"quota": 50}).status_code == 200


def test_every_change_is_in_the_audit_log_with_before_and_after(admin_api, domain):
    from security.models import AuditEntry

    made = admin_api.post("/api/v1/users", USER, HTTP_X_REQUEST_ID="trace-1").json()
    admin_api.patch(f"/api/v1/users/{made['id']}", {"quota": 5})
    admin_api.delete(f"/api/v1/users/{made['id']}")
    admin_api.post("/api/v1/domains", {"domain": "new.example"})
    key = admin_api.post("/api/v1/auth/keys", KEY).json()
    admin_api.delete(f"/api/v1/auth/keys/{key['key_id']}")
    entries = list(AuditEntry.objects.order_by("id"))
    actions = [entry.action for entry in entries]
    assert actions == [
        "user_created",
        "user_updated",
        "user_deleted",
        "domain_created",
        "api_key_created",
        "api_key_revoked",
    ]
    assert entries[0].request_id == "trace-1"
    assert entries[0].source_ip == "127.0.0.1"
    assert entries[1].metadata["before"] == {"quota": 1073741824}
    assert entries[1].metadata["after"] == {"quota": 5}
    assert all(entry.metadata["key_id"].startswith("key_") for entry in entries)
    assert key["api_key"] not in json.dumps([entry.metadata for entry in entries])


def test_a_change_that_fails_leaves_no_audit_entry(write_api, domain):
    from security.models import AuditEntry

    write_api.post("/api/v1/users", {**USER, "password": "x"})
    assert not AuditEntry.objects.exists()


def test_in_strict_times_nothing_of_the_reference_is_lost(write_api, domain, monkeypatch):
    import dataclasses

    from a3mailer_site import env

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), strict_permissions=True))
    assert write_api.post("/api/v1/users", USER).status_code == 201


def test_an_expiry_in_another_zone_is_kept_as_the_same_moment(admin_api):
    end = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    body = {"name": "x", "permissions": ["read"], "expires_at": end.astimezone().isoformat()}
    assert admin_api.post("/api/v1/auth/keys", body).json()["expires_at"] == end.strftime("%Y-%m-%dT%H:%M:%SZ")
