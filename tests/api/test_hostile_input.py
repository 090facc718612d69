"""Hostile input for every operation that the OpenAPI document names, new ones included: refused in the envelope.

Never a 500; and what is refused has written nothing. What does no harm may be taken: a name of strange letters is one.
"""

import hashlib
import json

import pytest
from described import WRITES, Ids, document, followed, operations, records, request_examples, request_schema
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import ApiKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]

BIG = "9" * 31
# As they stand in the JSON: not everything that can be sent can be said in Python.
VALUES = [
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"\\udfff\\ud800"',
    BIG,
    f"-{BIG}",
    "9" * 400,
    "-1",
    "1.5",
    "1e30",
    "-0.0",
    "true",
    "false",
    "null",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "[true, 1]",
    '[{"a": []}]',
    '{"a": {"b": []}}',
    "[" * 10_000 + "]" * 10_000,
    '{"a":' * 10_000 + "1" + "}" * 10_000,
    '""',
    '" "',
    '"1"',
    '"true"',
    '"x\\r\\nSet-Cookie: stolen=1"',
    '"a\\nlevel=error forged"',
    '"\\u2028\\u2029\\u0085"',
    '"\\u202egnp.exe"',
    '"\\u200b\\ufeff"',
    '"\\u0430dmin"',
    '"\\uff41dmin"',
    '"../../etc/passwd"',
    '"<script>alert(1)</script>"',
    '"\'; DROP TABLE accounts_user; --"',
    '"%s%n{0}{{7*7}}${7*7}"',
    '"2024-13-45T99:99:99Z"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    json.dumps("x" * 100_000),
    json.dumps(["x"] * 2_000),
]
BODIES = [
    b"",
    b" ",
    b"null",
    b"[]",
    b"[1]",
    b'"x"',
    b"1",
    b"true",
    b"{",
    b"{}{}",
    b"{'a': 1}",
    b'{"a": 1,}',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"\x00",
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "\n"}',
    b'{"\\u0000": 1}',
    b'{"\\ud800": 1}',
    b'{"": {"": {"": 1}}}',
    b'{"__proto__": {"is_superuser": true}, "is_superuser": true, "pk": 1, "id": "user_1"}',
    b"[" * 10_000,
    b"[" * 10_000 + b"]" * 10_000,
    b'{"a":' * 65 + b"1" + b"}" * 65,
    b'{"a": ' + b"9" * 5_000 + b"}",
    b'{"x": "' + b"x" * 2 * 1024 * 1024 + b'"}',
]
HEADERS = [
    {"HTTP_X_REQUEST_ID": "a\r\nSet-Cookie: stolen=1"},
    {"HTTP_X_REQUEST_ID": "x" * 100_000},
    {"HTTP_USER_AGENT": 'a\r\n{"level": "forged"}\x00\x1b[31m\xff'},
    {"HTTP_ACCEPT_LANGUAGE": "../../etc;q=x, \x00, zh-" + "x" * 5000},
    {"HTTP_ACCEPT": "application/json;q=x;\x00"},
    {"HTTP_IDEMPOTENCY_KEY": "a\r\nb"},
    {"HTTP_IDEMPOTENCY_KEY": "\x00"},
    {"HTTP_IF_MATCH": '"x", *, W/"\x00"'},
    {"HTTP_IF_NONE_MATCH": "\r\n"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_X_FORWARDED_FOR": "1.2.3.4, \x00, ::ffff:999"},
    {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"},
    {"CONTENT_TYPE": "application/json; charset=utf-7"},
    {"CONTENT_TYPE": "application/json; charset=\x00"},
    {"CONTENT_TYPE": "multipart/form-data; boundary=" + "x" * 5000},
    {"CONTENT_TYPE": "\x00"},
]
QUERIES = ["page", "limit", "search", "dry_run", "explain", "format", "deleted", "since", "start_date"]
QUERY_VALUES = [
    BIG,
    "0",
    "-1",
    "1e3",
    "%00",
    "%ff",
    "%ed%a0%80",
    "a%0d%0ab",
    "x" * 3000,
    "%F0%9F%92%A9",
    "[]",
    "\u0661",
    "%",
]
PATHS = ["0", "-1", BIG, "%00", "%ff", "%2e%2e", "..", "%2f", "%0d%0a", "x" * 3000, "\u0661", "null", "user_1%20", "*"]


def no_harm(response, tables, before):
    """Look at an answer and at the database; return what the database is now."""
    status = response.status_code
    # 429 would mean that everything after it was not tried.
    assert status != 429, "the limits of the API stand in the way of this test"
    assert status < 500 or status == 503, response.content[:500]
    for name, value in response.headers.items():
        assert "\r" not in value + name
        assert "\n" not in value + name
    assert "stolen" not in response.cookies
    if status < 400:
        return state(tables)
    if status == 503 and "error" not in response.json():
        return state(tables)  # an answer of health, and the server is not running
    error = response.json()["error"]
    assert response["Content-Type"] == "application/json; charset=utf-8"
    assert set(error) - {"fields"} == {"code", "message", "details", "timestamp", "request_id"}
    assert "Traceback" not in response.content.decode()
    after = state(tables)
    assert after == before, [name for name in after if after[name] != before[name]]
    return after


def state(tables):
    """What stands in every table, in few bytes."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            found[table] = hashlib.sha256(repr(sorted(map(repr, cursor.fetchall()))).encode()).digest()
    return found


@pytest.fixture
def tables():
    """All tables but those that a refusal may write: sessions, and the audit log, which keeps refusals too."""
    unwatched = {"django_session", "security_auditentry", "django_migrations", "auth_permission", "django_content_type"}
    return [name for name in connection.introspection.table_names() if name not in unwatched]


@pytest.fixture
def caller():
    _key, secret = ApiKey.issue("hostile", ["admin"])
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", raise_request_exception=False)
    client.get("/api/v1/users")  # the first use is written down
    return client


def members(operation):
    """Names of the body's fields, and a body that would be taken: from the examples, or made of the schema."""
    schema = request_schema(operation) or {}
    shown = [value for value in request_examples(operation) if isinstance(value, dict)]
    names = list(schema.get("properties", {})) or list(shown[0] if shown else ())
    base = (
        dict(shown[0]) if shown else {name: plain(followed(one)) for name, one in schema.get("properties", {}).items()}
    )
    return names, base


def plain(schema):
    """A value that a schema would take, more or less."""
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if "enum" in schema:
        return schema["enum"][0]
    return {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}.get(kind, "x@described.example")


OPERATIONS = operations(*WRITES)
NAMES = [f"{method} {path}" for method, path, _operation in OPERATIONS]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_bodies_that_are_none(caller, tables, method, path, operation):
    where = path.format_map(Ids(records()))
    now = state(tables)
    for body in BODIES:
        response = caller.generic(method.upper(), where, body, content_type="application/json")
        now = no_harm(response, tables, now)
        if request_schema(operation) is not None and method in {"post", "put", "patch"}:
            is_object = body[:1] == b"{" or not body.strip()
            assert is_object or response.status_code >= 400, body[:60]


@pytest.mark.parametrize(
    ("method", "path", "operation", "field"),
    [(m, p, o, field) for m, p, o in OPERATIONS for field in members(o)[0]],
    ids=[f"{m} {p} {field}" for m, p, o in OPERATIONS for field in members(o)[0]],
)
def test_fields_of_every_kind_but_the_right_one(caller, tables, method, path, operation, field):
    where = path.format_map(Ids(records()))
    _names, base = members(operation)
    others = {name: value for name, value in base.items() if name != field}
    inner = json.dumps(others)[1:-1]
    now = state(tables)
    for value in VALUES:
        body = "{" + ", ".join(part for part in (inner, f"{json.dumps(field)}: {value}") if part) + "}"
        response = caller.generic(method.upper(), where, body, content_type="application/json")
        now = no_harm(response, tables, now)
    twice = "{" + ", ".join(part for part in (inner, f'"{field}": 1, "{field}": 2') if part) + "}"
    response = caller.generic(method.upper(), where, twice, content_type="application/json")
    assert response.status_code in {400, 404}
    no_harm(response, tables, now)


@pytest.mark.parametrize(
    ("method", "path", "operation"), operations(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_headers_and_queries(caller, tables, method, path, operation):
    where = path.format_map(Ids(records()))
    _names, base = members(operation)
    now = state(tables)
    for headers in HEADERS:
        body = json.dumps(base) if method in WRITES else ""
        kind = {"CONTENT_TYPE": "application/json", **headers}
        now = no_harm(caller.generic(method.upper(), where, body, **kind), tables, now)
    known = {
        followed(parameter)["name"] for parameter in operation["parameters"] if followed(parameter)["in"] == "query"
    }
    asked = [(name, value) for name in sorted(known) for value in QUERY_VALUES]
    for name, value in [*asked, *((name, "%00") for name in QUERIES if name not in known)]:
        response = caller.generic(method.upper(), f"{where}?{name}={value}", "{}", content_type="application/json")
        now = no_harm(response, tables, now)
        if name in {"page", "limit"} and name in known and method == "get":
            assert response.status_code == 400, value


@pytest.mark.parametrize(
    ("method", "path"),
    [(m, p) for m, p, _o in operations() if "{" in p],
    ids=[f"{m} {p}" for m, p, _o in operations() if "{" in p],
)
def test_ids_in_paths(caller, tables, method, path):
    records()
    before = state(tables)
    name = path.partition("{")[2].partition("}")[0]
    for value in [*PATHS, f"{name.removesuffix('_id')}_{BIG}", f"{name.removesuffix('_id')}_-1"]:
        response = caller.generic(
            method.upper(), path.format_map(dict.fromkeys([name], value)), "{}", content_type="application/json"
        )
        no_harm(response, tables, before)
        assert response.status_code >= 400, value


def test_the_document_has_everything_that_this_drives():
    assert len(OPERATIONS) >= 15
    assert {"post", "put", "patch", "delete"} == {method for method, _path, _operation in OPERATIONS}
    assert document()["paths"]
