"""Rate limits over HTTP: who is counted, who is refused, who never is, and how they are changed."""

import time

import pytest
from django.core.cache import caches
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.live import set_live
from security import budgets, ratelimits, tallies
from security.models import AuditEntry, Tally

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
LIMITS = "/api/v1/security/rate-limits"
CHEAP = "/api/v1/domains"
# The body of the reference: "配置速率限制".
EXAMPLE = {
    "global": {"max_requests": 1000, "window_seconds": 60},
    "per_ip": {"max_requests": 100, "window_seconds": 60},
    "per_user": {"max_requests": 500, "window_seconds": 60},
}


class Clock:
    """Stands still, at the beginning of a window, until a test moves it."""

    now = 0.0


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    Clock.now = time.time() // 3600 * 3600 + 1
    monkeypatch.setattr("security.middleware.time.time", lambda: Clock.now)


@pytest.fixture(autouse=True)
def _clear_text(monkeypatch):
    set_env(monkeypatch, clear_text_keys=True)


def set_env(monkeypatch, **changes):
    import dataclasses

    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **changes))


def put_in_force(**changes):
    set_live(ratelimits.SETTING, {scope: {**EXAMPLE[scope], **changes.get(scope, {})} for scope in EXAMPLE})


def statuses(client, count, path=CHEAP):
    return [client.get(path).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("method", "body", "none", "read", "write"),
    [("get", None, 401, 200, 200), ("put", EXAMPLE, 401, 403, 200)],
)
def test_who_may_do_what(client_with, monkeypatch, method, body, none, read, write):
    for permissions, status in (((), none), (("read",), read), (("write",), write), (("admin",), write)):
        assert getattr(client_with(*permissions), method)(LIMITS, body, format="json").status_code == status
    set_env(monkeypatch, strict_permissions=True)
    expected = 200 if method == "get" else 403
    assert getattr(client_with("write"), method)(LIMITS, body, format="json").status_code == expected


def one(scope, **values):
    return {scope: values}


@pytest.mark.parametrize(
    "body",
    [
        [],
        "x",
        5,
        {"global": None},
        {"global": 5},
        {"global": []},
        {"globl": {"max_requests": 1000}},
        one("per_ip", max_request=100),
        one("global", max_requests=59),
        one("per_ip", max_requests=9),
        one("per_ip", max_requests=0),
        one("per_ip", max_requests=-1),
        one("per_user", max_requests=1),
        one("per_user", max_requests=10**7 + 1),
        one("per_user", max_requests=10**30),
        one("per_user", max_requests=2**63),
        one("per_user", max_requests=True),
        one("per_user", max_requests="100"),
        one("per_user", max_requests=100.0),
        one("per_user", max_requests=None),
        one("per_user", window_seconds=0),
        one("per_user", window_seconds=3601),
        one("per_user", window_seconds="60"),
        {**EXAMPLE, "per_user": {"max_requests": 5, "window_seconds": 60}},
    ],
)
def test_what_is_refused_changes_nothing(client_with, body):
    api = client_with("write")
    answer = api.put(LIMITS, body, format="json")
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"
    shown = api.get(LIMITS).json()
    shown.pop("usage")
    assert shown == EXAMPLE
    assert not AuditEntry.objects.filter(action="rate_limits_updated").exists()


def test_the_references_example(client_with):
    api = client_with("write")
    shown = api.get(LIMITS).json()
    assert set(shown) == {"global", "per_ip", "per_user", "usage"}
    assert {scope: shown[scope] for scope in EXAMPLE} == EXAMPLE  # its numbers are our defaults
    assert api.put(LIMITS, EXAMPLE, format="json").json() == EXAMPLE
    assert not AuditEntry.objects.filter(action="rate_limits_updated").exists()  # nothing changed


def test_a_change_names_what_it_changes_and_is_written_down(client_with):
    api = client_with("write")
    answer = api.put(LIMITS, {"per_ip": {"max_requests": 250}}, format="json")
    assert answer.json() == {**EXAMPLE, "per_ip": {"max_requests": 250, "window_seconds": 60}}
    api.put(LIMITS, {"per_ip": {"window_seconds": 30}, "global": {"max_requests": 60}}, format="json")
    shown = api.get(LIMITS).json()
    assert shown["per_ip"] == {"max_requests": 250, "window_seconds": 30}
    assert shown["global"] == {"max_requests": 60, "window_seconds": 60}
    entries = AuditEntry.objects.filter(action="rate_limits_updated").order_by("id")
    assert entries[0].metadata["after"] == {"per_ip": {"max_requests": 250, "window_seconds": 60}}
    # What was shown can be sent back as it is.
    assert api.put(LIMITS, shown, format="json").status_code == 200


def test_an_address_has_its_limit_and_others_have_theirs(client_with):
    put_in_force(per_ip={"max_requests": 10})
    api, other = client_with("read", REMOTE_ADDR="192.0.2.1"), client_with("read", REMOTE_ADDR="192.0.2.2")
    answers = [api.get(CHEAP) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == [*map(str, range(9, -1, -1)), "0"]
    assert {answer["RateLimit-Limit"] for answer in answers} == {"10"}
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "RATE_LIMITED"
    assert refused.json()["error"]["request_id"] == refused["X-Request-ID"]
    assert int(refused["Retry-After"]) == int(refused["RateLimit-Reset"]) > 0
    assert statuses(other, 1) == [200]
    Clock.now += int(refused["Retry-After"])
    assert statuses(api, 1) == [200]


def test_failed_authentication_counts_too(client_with):
    put_in_force(per_ip={"max_requests": 10})
    stranger = APIClient(HTTP_AUTHORIZATION="Bearer sk_live_wrong", REMOTE_ADDR="192.0.2.1")
    assert statuses(stranger, 11) == [401] * 10 + [429]
    assert statuses(client_with("read", REMOTE_ADDR="192.0.2.1"), 1) == [429]
    tallies.write_down(at_once=True)
    assert dict(Tally.objects.values_list("kind", "count")) == {"api_login": 10, "per_ip": 2}


def test_paths_that_are_not_there_and_refusals_count(client_with):
    put_in_force(per_ip={"max_requests": 10})
    client = APIClient(REMOTE_ADDR="192.0.2.1")
    assert statuses(client, 5, "/api/v1/nothing") == [404] * 5
    assert statuses(client, 5) == [401] * 5
    assert statuses(client, 1, "/api/v1/nothing") == [429]


def test_a_key_has_its_limit_wherever_it_is_used(client_with):
    put_in_force(per_user={"max_requests": 10})
    api, other = client_with("read"), client_with("read")
    got = [api.get(CHEAP, REMOTE_ADDR=f"192.0.2.{n}") for n in range(11)]
    assert [answer.status_code for answer in got] == [200] * 10 + [429]
    assert got[-1]["Retry-After"] == got[-1]["RateLimit-Reset"]
    assert statuses(other, 1) == [200]
    tallies.write_down(at_once=True)
    assert Tally.objects.get().kind == "per_user"


def test_calls_that_are_not_allowed_count_for_their_key_too(client_with):
    put_in_force(per_user={"max_requests": 10})
    api = client_with("read")
    assert {api.post(CHEAP, {}, format="json").status_code for _ in range(10)} == {403}
    assert statuses(api, 1) == [429]


def test_a_session_is_counted_for_its_user(make_user):
    make_user("root@example.com", is_staff=True, is_superuser=True)
    put_in_force(per_user={"max_requests": 10})
    client = APIClient()
    assert client.login(username="root@example.com", password=PASSWORD)
    assert statuses(client, 11) == [200] * 10 + [429]


def test_an_ipv6_network_counts_as_one_address():
    put_in_force(per_ip={"max_requests": 10})
    got = [APIClient(REMOTE_ADDR=f"2001:db8::{n}").get(CHEAP).status_code for n in range(1, 12)]
    assert got == [401] * 10 + [429]
    assert APIClient(REMOTE_ADDR="2001:db8:0:1::1").get(CHEAP).status_code == 401


def test_an_address_is_believed_from_a_trusted_proxy_only(monkeypatch):
    put_in_force(per_ip={"max_requests": 10})

    def ask(n):
        return APIClient(REMOTE_ADDR="198.51.100.1", HTTP_X_FORWARDED_FOR=f"192.0.2.{n}").get(CHEAP).status_code

    assert [ask(n) for n in range(11)] == [401] * 10 + [429]
    set_env(monkeypatch, trusted_proxies="198.51.100.1")
    assert [ask(n) for n in range(11)] == [401] * 11


class TestTheBudgetOfAll:
    """S15: strangers are refused first, and a share is left for who has a key."""

    @pytest.fixture(autouse=True)
    def _small(self):
        put_in_force(**{"global": {"max_requests": 60}})

    def flood(self, count, **extra):
        return [APIClient(REMOTE_ADDR=f"192.0.2.{n % 200}", **extra).get(CHEAP).status_code for n in range(count)]

    def test_strangers_get_half_and_keys_the_rest(self, client_with):
        assert self.flood(35) == [401] * 30 + [429] * 5
        assert statuses(client_with("read"), 31) == [200] * 30 + [429]

    def test_keys_alone_get_all(self, client_with):
        assert statuses(client_with("read"), 61) == [200] * 60 + [429]

    def test_a_flood_of_wrong_keys_leaves_the_share_of_real_ones(self, client_with):
        api = client_with("read")
        assert statuses(api, 1) == [200]
        wrong = self.flood(100, HTTP_AUTHORIZATION="Bearer sk_live_wrong")
        assert wrong.count(401) == 60  # and after that nobody looks at unknown keys
        assert wrong[60:] == [429] * 40
        assert statuses(api, 29) == [200] * 29

    def test_the_way_in_by_password_is_left_open(self, make_user):
        make_user("root@example.com", is_staff=True, is_superuser=True)
        self.flood(40)
        form = {"username": "root@example.com", "password": PASSWORD}
        assert APIClient().post("/admin/login/", form, format=None).status_code != 429


def test_the_login_form_is_limited_and_pages_are_not(client, make_user):
    put_in_force(per_ip={"max_requests": 10})
    form = {"username": "nobody", "password": "x"}
    got = [client.post("/admin/login/", form) for _ in range(11)]
    assert [answer.status_code for answer in got] == [200] * 10 + [429]
    assert got[-1]["Retry-After"]
    assert got[-1]["Content-Type"] == "text/plain; charset=utf-8"
    assert client.get("/admin/login/").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_who_watches_the_server_is_never_refused(path):
    put_in_force(per_ip={"max_requests": 10})
    answers = [APIClient().get(path) for _ in range(15)]
    assert 429 not in {answer.status_code for answer in answers}
    assert not any(answer.has_header("RateLimit-Limit") for answer in answers)


class TestBreakingTheGlass:
    """S14: limits that are too tight can be mended, from this machine, by who may do everything."""

    @pytest.fixture(autouse=True)
    def _used_up(self, client_with):
        put_in_force(per_ip={"max_requests": 10}, per_user={"max_requests": 10})
        for address in ("127.0.0.1", "192.0.2.1"):
            assert 429 in statuses(APIClient(REMOTE_ADDR=address), 12)

    def test_an_administrator_on_this_machine_mends_them(self, client_with):
        api = client_with("admin")
        assert statuses(api, 1) == [429]
        assert api.get(LIMITS).status_code == 200
        answer = api.put(LIMITS, {"per_ip": {"max_requests": 1000}}, format="json")
        assert answer.status_code == 200
        assert statuses(api, 1) == [200]

    def test_so_does_an_administrators_session(self, make_user):
        make_user("root@example.com", is_staff=True, is_superuser=True)
        client = APIClient()
        assert client.login(username="root@example.com", password=PASSWORD)
        assert client.get(LIMITS).status_code == 200
        assert statuses(client, 1) == [429]

    @pytest.mark.parametrize(
        ("permissions", "more"),
        [
            (("write",), {}),
            ((), {}),
            (("admin",), {"REMOTE_ADDR": "192.0.2.1"}),
            (("admin",), {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}),
        ],
    )
    def test_nobody_else_does(self, client_with, permissions, more):
        api = client_with(*permissions, **more)
        assert api.get(LIMITS).status_code == 429
        assert api.put(LIMITS, {"per_ip": {"max_requests": 1000}}, format="json").status_code == 429

    def test_a_wrong_key_there_is_just_wrong(self):
        assert APIClient(HTTP_AUTHORIZATION="Bearer sk_live_x").get(LIMITS).status_code == 401

    def test_a_key_of_its_own_limit_too(self, client_with):
        api = client_with("admin")
        got = [api.get(LIMITS).status_code for _ in range(15)]
        assert got == [200] * 15


def test_usage_is_what_was_used(client_with):
    api = client_with("read", REMOTE_ADDR="192.0.2.1")
    statuses(api, 3)
    statuses(APIClient(REMOTE_ADDR="192.0.2.2"), 2)
    usage = api.get(LIMITS).json()["usage"]
    assert usage["global"] == {
        "requests": 6,
        "remaining": 994,
        "authenticated": 4,
        "anonymous": 2,
        "anonymous_max_requests": 500,
    }
    assert usage["per_ip"] == {"requests": 4, "remaining": 96, "ip_address": "192.0.2.1"}
    assert usage["per_user"]["requests"] == 4
    assert usage["per_user"]["caller"].startswith("key_")
    assert usage["violations_last_24h"] == {"global": 0, "per_ip": 0, "per_user": 0, "costly": 0}
    put_in_force(per_ip={"max_requests": 10})
    statuses(APIClient(REMOTE_ADDR="192.0.2.3"), 12)
    assert api.get(LIMITS).json()["usage"]["violations_last_24h"]["per_ip"] == 2


def test_every_answer_of_the_api_says_how_much_is_left(client_with):
    for answer in (
        client_with("read").get(CHEAP),
        client_with("read").post(CHEAP, {}, format="json"),
        client_with("read").get("/api/v1/nothing"),
        APIClient().get(CHEAP),
        APIClient().get("/api/v1/schema"),
    ):
        assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= set(answer.headers)


def test_without_the_cache_nobody_is_locked_out_and_nothing_is_made_up(client_with, monkeypatch):
    def away(*args, **kwargs):
        raise ConnectionError("Redis is away")

    for name in ("incr", "add", "get", "decr"):
        monkeypatch.setattr(caches["limits"], name, away)
    api = client_with("read")
    answer = api.get(CHEAP)
    assert answer.status_code == 200
    assert not answer.has_header("RateLimit-Limit")
    assert api.get(LIMITS).json()["usage"] is None


class TestCostly:
    """A view says how often one caller may have it."""

    @pytest.fixture
    def view(self, monkeypatch):
        from security.views import ChecksView

        monkeypatch.setattr(ChecksView, "costly", {"get": (2, 60)}, raising=False)
        return "/api/v1/security/checks"

    def test_it_is_refused_beyond_that_for_this_caller_only(self, client_with, view):
        api, other = client_with("read"), client_with("read")
        answers = [api.get(view) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[-1].json()["error"]["code"] == "RATE_LIMITED"
        assert answers[-1]["Retry-After"] == answers[-1]["RateLimit-Reset"]
        assert answers[-1].json()["error"]["details"] == f"Try again in {answers[-1]['Retry-After']} seconds."
        assert statuses(api, 1) == [200]
        assert statuses(other, 1, view) == [200]
        tallies.write_down(at_once=True)
        assert Tally.objects.get().kind == "costly"
        Clock.now += int(answers[-1]["Retry-After"])
        assert statuses(api, 1, view) == [200]


def test_a_flood_writes_one_row_a_minute_and_kind(client_with):
    put_in_force(per_ip={"max_requests": 10})
    for n in range(300):
        APIClient(REMOTE_ADDR=f"192.0.2.{n % 3}").get(CHEAP)
    tallies.write_down(at_once=True)
    assert [(row.kind, row.count) for row in Tally.objects.all()] == [("per_ip", 270)]


def test_what_it_costs_a_request(rf, client_with, record_property):
    """Two steps of every call: on arrival, and once the caller is known. About 65 µs of CPU in all."""
    request = rf.get(CHEAP, HTTP_AUTHORIZATION="Bearer x")
    put_in_force(**{scope: {"max_requests": 10_000_000} for scope in EXAMPLE})
    budgets.arrive(request, Clock.now)
    rounds = 2000
    start = time.thread_time()
    for _ in range(rounds):
        given = budgets.arrive(request, Clock.now)
        budgets.spend_authenticated(given, "key_1", Clock.now)
    microseconds = (time.thread_time() - start) / rounds * 1e6
    record_property("microseconds", microseconds)
    print(f"rate limits: {microseconds:.0f} µs of CPU a request")
    assert microseconds < 400
