"""Tuning over the API: the reference's example, bounds, hostile input, history and taking back."""

import dataclasses
import json
import threading

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.live import live, set_live
from accounts.models import ApiKey
from monitoring import examples, tuning
from monitoring.models import Optimization
from security.models import AuditEntry

pytestmark = pytest.mark.django_db

PATH, HISTORY = "/api/v1/performance/optimize", "/api/v1/performance/optimizations"
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    """A machine with 8 GiB."""
    monkeypatch.setattr(tuning, "total_memory", lambda: 8192 * MIB)


@pytest.fixture
def api():
    def make(*permissions):
        client = APIClient()
        if permissions:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.issue('x', list(permissions))[1]}")
        return client

    return make


def wanted(*pairs):
    return {"optimizations": [{"type": kind, "value": value} for kind, value in pairs]}


HOSTILE = [
    None,
    [],
    "x",
    1,
    {},
    {"optimizations": None},
    {"optimizations": {}},
    {"optimizations": []},
    {"optimizations": [None]},
    {"optimizations": [[]]},
    {"optimizations": ["cache_size"]},
    {"optimizations": [{}]},
    {"optimizations": [{"type": "cache_size"}]},
    {"optimizations": [{"value": 1}]},
    wanted(("colour", 1)),
    wanted(("Cache_Size", 5 * MIB)),
    wanted(("cache_size\0", 5 * MIB)),
    wanted(("cache_size\ud800", 5 * MIB)),
    wanted((True, 5 * MIB)),
    wanted((None, 5 * MIB)),
    wanted((["cache_size"], 5 * MIB)),
    wanted(({"a": 1}, 5 * MIB)),
    wanted(("cache_size", None)),
    wanted(("cache_size", True)),
    wanted(("cache_size", "5242880")),
    wanted(("cache_size", 5242880.0)),
    wanted(("cache_size", 1e30)),
    wanted(("cache_size", 10**30)),
    wanted(("cache_size", -1)),
    wanted(("cache_size", [5242880])),
    wanted(("cache_size", 5 * MIB), ("cache_size", 6 * MIB)),
    wanted(*[("cache_size", 5 * MIB)] * 11),
    # One that is wrong takes all others with it.
    wanted(("connection_pool_size", 5), ("colour", 1)),
]


@pytest.mark.parametrize("body", HOSTILE, ids=repr)
def test_what_is_no_optimization_is_400_and_changes_nothing(api, body):
    answer = api("admin").generic("POST", PATH, json.dumps(body), content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), answer.content
    assert (live("cache_size", None), live("connection_pool_size", None)) == (None, None)
    assert not Optimization.objects.exists()


@pytest.mark.parametrize(
    "text", [b'{"optimizations": [{"type": "cache_size", "value": NaN}]}', b"[" * 5000, b"{", b"\xff"]
)
def test_what_is_no_json_is_400(api, text):
    answer = api("admin").generic("POST", PATH, text, content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("permissions", "status", "in_strict_times"),
    [((), 401, 401), (("read",), 403, 403), (("write",), 200, 403), (("admin",), 200, 200)],
)
def test_who_may(api, monkeypatch, permissions, status, in_strict_times):
    body = wanted(("connection_pool_size", 5))
    assert api(*permissions).post(PATH, body).status_code == status
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), strict_permissions=True))
    assert api(*permissions).post(PATH, body).status_code == in_strict_times
    row = Optimization.objects.create(kind="connection_pool_size", previous=3, value=live("connection_pool_size", 100))
    in_strict_times = in_strict_times if in_strict_times != 200 else 200
    assert api(*permissions).post(f"{HISTORY}/optimization_{row.pk}/revert").status_code == in_strict_times


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("cache_size", MIB - 1, False),
        ("cache_size", MIB, True),
        ("cache_size", 4096 * MIB, True),
        ("cache_size", 4096 * MIB + 1, False),
        ("cache_size", 2**63 - 1, False),
        ("cache_size", 0, False),
        ("connection_pool_size", 0, False),
        ("connection_pool_size", 1, True),
        ("connection_pool_size", 1000, True),
        ("connection_pool_size", 1001, False),
    ],
)
def test_a_value_that_does_not_fit_the_machine_is_rejected_with_its_bounds(api, monkeypatch, kind, value, fits):
    monkeypatch.setattr(tuning.resource, "getrlimit", lambda which: (65536, 65536))
    before = tuning.value(kind)
    answer = api("admin").post(PATH, wanted((kind, value)))
    assert answer.status_code == 200
    if fits:
        row = Optimization.objects.get()
        applied = {"type": kind, "previous": before, "value": value, "id": f"optimization_{row.pk}"}
        assert answer.json() == {"applied": [applied], "rejected": []}
        assert tuning.value(kind) == value
    else:
        (rejected,) = answer.json()["rejected"]
        assert (answer.json()["applied"], rejected["type"]) == ([], kind)
        assert "from" in rejected["reason"]
        assert tuning.value(kind) == before
        assert not AuditEntry.objects.exists()


def test_few_descriptors_allow_few_connections(monkeypatch):
    monkeypatch.setattr(tuning.resource, "getrlimit", lambda which: (1024, 4096))
    assert tuning.most_connections() == 824
    monkeypatch.setattr(tuning.resource, "getrlimit", lambda which: (100, 4096))
    assert tuning.most_connections() == 1
    monkeypatch.setattr(tuning.resource, "getrlimit", lambda which: (tuning.resource.RLIM_INFINITY,) * 2)
    assert tuning.most_connections() == 1000


def test_the_references_example_is_put_in_force_and_written_down(api):
    answer = api("write").post(PATH, examples.OPTIMIZE)
    assert answer.status_code == 200, answer.content
    applied = {one["type"]: one for one in answer.json()["applied"]}
    assert answer.json()["rejected"] == []
    assert applied["cache_size"]["value"] == live("cache_size", 0) == 2147483648
    assert applied["cache_size"]["previous"] == env.current().cache_size
    assert tuning.value("connection_pool_size") == 100
    # The pool had this size already: nothing has changed, and nothing is to be taken back.
    assert (applied["connection_pool_size"]["previous"], applied["connection_pool_size"]["id"]) == (100, None)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.event_type) == ("performance_optimized", "configuration_change")
    assert entry.metadata["before"] == {"cache_size": env.current().cache_size}
    assert entry.metadata["after"] == {"cache_size": 2147483648}


def test_a_dry_run_says_the_same_and_changes_nothing(api):
    answer = api("write").post(f"{PATH}?dry_run=1", wanted(("cache_size", 5 * MIB), ("connection_pool_size", 0)))
    assert [one["value"] for one in answer.json()["applied"]] == [5 * MIB]
    assert [one["type"] for one in answer.json()["rejected"]] == ["connection_pool_size"]
    assert live("cache_size", None) is None
    assert not Optimization.objects.exists()
    assert not AuditEntry.objects.exists()


def test_the_history_is_listed_newest_first(api, django_assert_max_num_queries):
    client = api("write")
    for value in (5, 6, 7):
        client.post(PATH, wanted(("connection_pool_size", value)))
    body = client.get(f"{HISTORY}?limit=2").json()
    assert (body["total"], body["page"], body["limit"]) == (3, 1, 2)
    assert [(one["previous"], one["value"]) for one in body["optimizations"]] == [(6, 7), (5, 6)]
    assert set(body["optimizations"][0]) == set(examples.OPTIMIZATION)
    assert body["optimizations"][0]["reverted_at"] is None
    with django_assert_max_num_queries(5):
        client.get(HISTORY)
    assert client.get(f"{HISTORY}?limit=0").status_code == 400
    assert api().get(HISTORY).status_code == 401


def test_a_value_is_taken_back_once(api):
    client = api("write")
    client.post(PATH, wanted(("connection_pool_size", 5)))
    (one,) = client.get(HISTORY).json()["optimizations"]
    back = client.post(f"{HISTORY}/{one['id']}/revert")
    assert back.status_code == 200
    assert back.json()["reverted_at"]
    # Nobody owns the key: it stands for itself.
    assert (back.json()["applied_by"], back.json()["reverted_by"]) == (key := f"key_{ApiKey.objects.get().pk}", key)
    assert tuning.value("connection_pool_size") == 100
    again = client.post(f"{HISTORY}/{one['id']}/revert")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CONFLICT")
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == [
        "performance_optimized",
        "performance_optimization_reverted",
    ]


def test_what_was_changed_since_then_is_not_taken_back(api):
    client = api("write")
    client.post(PATH, wanted(("connection_pool_size", 5)))
    client.post(PATH, wanted(("connection_pool_size", 6)))
    newest, oldest = client.get(HISTORY).json()["optimizations"]
    assert client.post(f"{HISTORY}/{oldest['id']}/revert").status_code == 409
    assert client.get(HISTORY).json()["optimizations"][1]["reverted_at"] is None
    assert client.post(f"{HISTORY}/{newest['id']}/revert").status_code == 200
    assert client.post(f"{HISTORY}/{oldest['id']}/revert").status_code == 200
    assert tuning.value("connection_pool_size") == 100


def test_what_would_not_fit_any_more_is_not_taken_back(api, monkeypatch):
    set_live("cache_size", 4096 * MIB)
    client = api("write")
    client.post(PATH, wanted(("cache_size", 5 * MIB)))
    (one,) = client.get(HISTORY).json()["optimizations"]
    monkeypatch.setattr(tuning, "total_memory", lambda: 1024 * MIB)
    assert client.post(f"{HISTORY}/{one['id']}/revert").status_code == 409
    assert tuning.value("cache_size") == 5 * MIB


@pytest.mark.parametrize(
    "name",
    ["optimization_0", "optimization_999", "optimization_", "1", "optimization_1%00", "user_1", "optimization_-1"],
)
def test_an_entry_that_there_is_not_is_404(api, name):
    assert api("write").post(f"{HISTORY}/{name}/revert").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_those_who_tune_at_the_same_time_take_turns(api):
    from django.db import connection

    set_live("connection_pool_size", 1)
    answers = []

    def tune(first):
        client = api("admin")
        tuned = [client.post(PATH, wanted(("connection_pool_size", value))) for value in range(first, first + 40, 4)]
        answers.extend(answer.status_code for answer in tuned)
        connection.close()

    threads = [threading.Thread(target=tune, args=(first,)) for first in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    rows = list(Optimization.objects.order_by("pk").values_list("previous", "value"))
    assert len(rows) == 30
    # Each began where the one before had ended.
    assert [previous for previous, _ in rows] == [1, *(value for _, value in rows[:-1])]
    assert tuning.value("connection_pool_size") == rows[-1][1]


@pytest.mark.django_db(transaction=True)
def test_a_value_is_taken_back_by_one_of_those_who_try(api):
    from django.db import connection

    api("admin").post(PATH, wanted(("connection_pool_size", 5)))
    row = Optimization.objects.get()
    answers = []

    def revert():
        answers.append(api("admin").post(f"{HISTORY}/optimization_{row.pk}/revert").status_code)
        connection.close()

    threads = [threading.Thread(target=revert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert tuning.value("connection_pool_size") == 100


class TestAdmin:
    """The history in the web administration."""

    @pytest.fixture
    def browser(self, client, make_user):
        root = make_user("root@example.com", is_staff=True, is_superuser=True)
        client.force_login(root, backend="accounts.passwords.PasswordBackend")
        return client

    def act(self, browser, *rows):
        data = {"action": "revert", "_selected_action": [row.pk for row in rows]}
        return browser.post(reverse("admin:monitoring_optimization_changelist"), data, follow=True)

    def test_it_is_shown_and_never_edited(self, browser):
        row = Optimization.objects.create(kind="cache_size", previous=1, value=2)
        assert browser.get(reverse("admin:monitoring_optimization_changelist")).status_code == 200
        assert browser.get(reverse("admin:monitoring_optimization_change", args=[row.pk])).status_code == 200
        assert browser.get(reverse("admin:monitoring_optimization_add")).status_code == 403

    def test_values_are_taken_back_the_newest_first(self, browser, api):
        for value in (5, 6):
            api("admin").post(PATH, wanted(("connection_pool_size", value)))
        page = self.act(browser, *Optimization.objects.all())
        assert page.status_code == 200
        assert tuning.value("connection_pool_size") == 100
        assert AuditEntry.objects.filter(action="performance_optimization_reverted").count() == 2
        assert not Optimization.objects.in_force().exists()
        assert "taken back already" in self.act(browser, Optimization.objects.first()).content.decode()

    def test_an_administrator_of_little_takes_nothing_back(self, client, make_user, api):
        from django.contrib.auth.models import Permission

        api("admin").post(PATH, wanted(("connection_pool_size", 5)))
        staff = make_user("staff@example.com", is_staff=True)
        staff.user_permissions.add(Permission.objects.get(codename="view_optimization"))
        client.force_login(staff, backend="accounts.passwords.PasswordBackend")
        assert client.get(reverse("admin:monitoring_optimization_changelist")).status_code == 200
        self.act(client, Optimization.objects.get())
        assert tuning.value("connection_pool_size") == 5
