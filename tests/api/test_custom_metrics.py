"""Custom metrics: what is refused, what a value does, that none is lost, and that the text format stays whole."""

import json
import threading

import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import ApiKey
from monitoring import counted, custom
from monitoring import metric_examples as examples
from monitoring.models import CustomMetric, CustomSeries
from security.models import AuditEntry

pytestmark = pytest.mark.django_db
PATH = "/api/v1/metrics/custom"
GAUGE = {"name": "g", "type": "gauge", "value": 1}
NASTY = '"} 1\n# TYPE evil counter\nevil{a="\\\\'
NOTHING = {
    "counters": {},
    "gauges": {},
    "timings": {},
    "uptime": 1.0,
    "processes": [],
    "windows": {name: {"seconds": 1.0, "counters": {}, "timings": {}} for name in ("60", "300")},
}


def raw(client, body):
    return client.generic("POST", PATH, body, content_type="application/json")


@pytest.fixture
def page(client_with, monkeypatch):
    monkeypatch.setattr(counted, "call", lambda command, **_: NOTHING)

    def read():
        text = client_with("read").get("/metrics").content.decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return text, families

    return read


# Refusals.


@pytest.mark.parametrize(
    ("method", "path", "none", "read", "write"),
    [
        ("post", PATH, 401, 403, 201),
        ("get", PATH, 401, 200, 200),
        ("get", f"{PATH}/g", 401, 200, 200),
        ("delete", f"{PATH}/g", 401, 403, 204),
        ("put", f"{PATH}/g", 401, 403, 405),
        ("put", PATH, 401, 403, 405),
        ("get", f"{PATH}/", 404, 404, 404),
    ],
)
def test_who_may_do_what(client_with, method, path, none, read, write):
    client_with("write").post(PATH, GAUGE)
    for permissions, status in (((), none), (("read",), read), (("write",), write)):
        answer = getattr(client_with(*permissions), method)(path, GAUGE, format="json")
        assert answer.status_code == status, (permissions, answer.content)


def test_a_key_for_some_domains_stores_nothing(client_with, monkeypatch):
    client = client_with("write")
    ApiKey.objects.update(domains=["example.com"])
    assert client.post(PATH, GAUGE).status_code == 403
    assert not CustomMetric.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            " ",
            "1a",
            "a-b",
            "a.b",
            "a b",
            "ä",
            "a\n",
            "a{b}",
            "a" * 129,
            "\ud800",
            "a\0",
            "../x",
            5,
            None,
            True,
            [],
            {},
        ],
        *["stalwart_cpu_usage_percent", "stalwart_x", "a3mailer_x", "django_x", "python_info", "process_x", "up"],
        *["scrape_samples", "ALERTS"],
    ],
)
def test_a_name_that_is_none_or_ours_is_refused(write_api, name):
    answer = raw(write_api, json.dumps({**GAUGE, "name": name}))
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"
    assert not CustomMetric.objects.exists()


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "true",
        "false",
        '"1"',
        "null",
        "[]",
        "{}",
        "1" * 400,
        "1" * 5000,
    ],
)
def test_only_finite_numbers_are_values(write_api, value):
    answer = raw(write_api, f'{{"name": "g", "type": "gauge", "value": {value}}}')
    assert answer.status_code == 400, answer.content
    assert not CustomMetric.objects.exists()


@pytest.mark.parametrize(
    "labels",
    [
        {"le": "1"},
        {"__name__": "x"},
        {"__x": "x"},
        {"1a": "x"},
        {"a-b": "x"},
        {"a:b": "x"},
        {"ä": "x"},
        {"": "x"},
        {'a="': "x"},
        {"a" * 129: "x"},
        {"a": "x" * 201},
        {"a": ""},
        {"a": "x\ny"},
        {"a": "\x1b[2J"},
        {"a": "\u2028"},
        {"a": 1},
        {"a": True},
        {"a": None},
        {"a": ["x"]},
        {f"l{n}": "x" for n in range(11)},
        ["a"],
        "a",
        1,
        None,
    ],
)
def test_labels_that_are_none_are_refused(write_api, labels):
    answer = write_api.post(PATH, {**GAUGE, "labels": labels})
    assert answer.status_code == 400, answer.content
    assert any(name.startswith("labels") for name in answer.json()["error"]["fields"])
    assert not CustomMetric.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        *[
            "",
            "[]",
            "5",
            '"x"',
            "null",
            "{",
            "{}",
            '{"name": "g"}',
            "[" * 5000,
            '{"a":' * 100 + "1" + "}" * 100,
            "\ufeff{}",
        ],
        '{"name": "g", "type": "summary", "value": 1}',
        '{"name": "g", "type": ["gauge"], "value": 1}',
        '{"name": "g", "type": "Gauge", "value": 1}',
        '{"name": "g", "type": "gauge", "value": 1, "labels": {"a": "\\ud800"}}',
        '{"name": "g", "type": "gauge", "value": 1, "labels": {"a": "\\u0000"}}',
        '{"name": "c", "type": "counter", "value": -1}',
        '{"name": "c", "type": "counter", "value": -1e-300}',
    ],
)
def test_what_is_no_sample_is_refused(write_api, body):
    answer = raw(write_api, body)
    assert answer.status_code == 400, answer.content
    assert set(answer.json()["error"]) >= {"code", "message", "details", "timestamp", "request_id"}
    assert not CustomMetric.objects.exists()


def test_a_second_type_for_a_name_is_a_conflict(write_api):
    write_api.post(PATH, examples.CUSTOM)
    answer = write_api.post(PATH, {**examples.CUSTOM, "type": "gauge", "value": 7})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "CONFLICT"
    assert CustomSeries.objects.get().value == 42


@pytest.mark.parametrize(
    ("kind", "part"),
    [("histogram", "h_bucket"), ("histogram", "h_sum"), ("histogram", "h_count"), ("counter", "h_total")],
)
def test_no_name_is_a_part_of_another_whichever_came_first(write_api, kind, part):
    whole = {"name": "h", "type": kind, "value": 1}
    assert write_api.post(PATH, whole).status_code == 201
    assert write_api.post(PATH, {**GAUGE, "name": part}).status_code == 409
    CustomMetric.objects.all().delete()
    assert write_api.post(PATH, {**GAUGE, "name": part}).status_code == 201
    assert write_api.post(PATH, whole).status_code == 409
    assert write_api.post(PATH, {**GAUGE, "name": "h"}).status_code == 201


@pytest.mark.parametrize("name", ["%00", "a%0Ab", "..%2F..", "a-b", "1", "nothing", "%ED%A0%80", "a" * 3000, "a%20"])
def test_a_name_in_the_path_that_is_none_is_404(write_api, name):
    for method in ("get", "delete"):
        answer = getattr(write_api, method)(f"{PATH}/{name}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "NOT_FOUND"


def test_the_caps_hold(write_api, monkeypatch):
    monkeypatch.setattr(custom, "MOST_NAMES", 2)
    monkeypatch.setattr(custom, "MOST_SERIES", 3)
    monkeypatch.setattr(custom, "MOST_SERIES_OF_ALL", 5)

    def stored(name, label):
        return write_api.post(PATH, {**GAUGE, "name": name, "labels": {"n": label}})

    assert [stored("a", str(n)).status_code for n in range(4)] == [201, 201, 201, 400]
    assert [stored("b", str(n)).status_code for n in range(3)] == [201, 201, 400]
    refused = stored("c", "0")
    assert refused.status_code == 400
    assert "name" in refused.json()["error"]["fields"]
    assert stored("a", "2").status_code == 201  # what is there already goes on
    assert (CustomMetric.objects.count(), CustomSeries.objects.count()) == (2, 5)


def test_the_real_caps_are_those_promised():
    assert (custom.MOST_NAMES, custom.MOST_SERIES, custom.MOST_LABELS, custom.LONGEST_VALUE) == (200, 1000, 10, 200)


def test_a_sum_beyond_what_a_float_holds_is_refused_and_changes_nothing(write_api):
    body = {"name": "c", "type": "counter", "value": 1.7e308}
    assert write_api.post(PATH, body).status_code == 201
    assert write_api.post(PATH, body).status_code == 400
    assert write_api.get(f"{PATH}/c").json()["series"][0]["value"] == 1.7e308


# What works.


def test_the_examples_of_the_reference_as_they_stand(write_api):
    answer = write_api.post(PATH, examples.CUSTOM)
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == f"{PATH}/custom_counter"
    stored = answer.json()
    assert stored == {**examples.STORED, "timestamp": stored["timestamp"]}
    shown = write_api.get(answer["Location"])
    assert shown.status_code == 200
    one = {"labels": examples.CUSTOM["labels"], "value": 42, "timestamp": stored["timestamp"]}
    assert shown.json() == {"name": "custom_counter", "type": "counter", "series": [one]}


def test_a_counter_adds_a_gauge_is_set_and_a_histogram_observes(write_api):
    for value in (2, 0, 0.5):
        write_api.post(PATH, {"name": "c", "type": "counter", "value": value})
    for value in (5, -3.25):
        write_api.post(PATH, {"name": "g", "type": "gauge", "value": value})
    for value in (0.3, 0.5, 7, 5000, -1):
        answer = write_api.post(PATH, {"name": "h", "type": "histogram", "value": value})
    values = {name: write_api.get(f"{PATH}/{name}").json()["series"][0] for name in "cgh"}
    assert (values["c"]["value"], values["g"]["value"]) == (2.5, -3.25)
    histogram = values["h"]
    assert (histogram["count"], histogram["sum"]) == (5, pytest.approx(5006.8))
    assert histogram["buckets"]["0.25"] == 1
    assert histogram["buckets"]["0.5"] == 3
    assert histogram["buckets"]["10.0"] == 4
    assert histogram["buckets"]["+Inf"] == 5
    assert answer.json() == {"name": "h", "type": "histogram", **histogram}
    assert "buckets" not in values["c"]


@pytest.mark.parametrize("value", [10**30, 0, -0.0, 1e-300, 2**53 + 1, 0.1])
def test_every_finite_number_is_kept_as_a_float_has_it(write_api, value):
    write_api.post(PATH, {**GAUGE, "value": value})
    assert write_api.get(f"{PATH}/g").json()["series"][0]["value"] == float(value)


def test_labels_in_another_order_are_the_same_series(write_api):
    for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1"}, {}):
        write_api.post(PATH, {"name": "c", "type": "counter", "value": 1, "labels": labels})
    series = write_api.get(f"{PATH}/c").json()["series"]
    assert sorted((len(each["labels"]), each["value"]) for each in series) == [(0, 1), (1, 1), (2, 2)]


def test_the_list_has_names_types_and_how_many_series(write_api, django_assert_max_num_queries):
    for number in range(5):
        for label in range(number + 1):
            write_api.post(PATH, {"name": f"m{number}", "type": "gauge", "value": 1, "labels": {"n": str(label)}})
    with django_assert_max_num_queries(3):  # key, count, page
        body = write_api.get(f"{PATH}?limit=3&page=2").json()
    assert (body["total"], body["page"], body["limit"]) == (5, 2, 3)
    assert [(one["name"], one["type"], one["series_count"]) for one in body["metrics"]] == [
        ("m3", "gauge", 4),
        ("m4", "gauge", 5),
    ]
    assert write_api.get(f"{PATH}?limit=0").status_code == 400
    assert write_api.get(f"{PATH}?page=1e9").status_code == 400


def test_one_metric_takes_the_same_number_of_queries_whatever_it_has(write_api, django_assert_max_num_queries):
    for label in range(20):
        write_api.post(PATH, {**GAUGE, "labels": {"n": str(label)}})
    with django_assert_max_num_queries(3):  # key, metric, series
        assert len(write_api.get(f"{PATH}/g").json()["series"]) == 20


def test_a_deleted_metric_is_gone_and_its_name_free_for_another_type(write_api):
    write_api.post(PATH, GAUGE)
    answer = write_api.delete(f"{PATH}/g")
    assert (answer.status_code, answer.content) == (204, b"")
    assert write_api.get(f"{PATH}/g").status_code == 404
    assert write_api.delete(f"{PATH}/g").status_code == 404
    assert not CustomSeries.objects.exists()
    assert write_api.post(PATH, {**GAUGE, "type": "counter"}).status_code == 201


def test_names_that_come_and_go_are_in_the_audit_log_and_values_are_not(write_api):
    for value in (1, 2, 3):
        write_api.post(PATH, {**GAUGE, "value": value})
    write_api.delete(f"{PATH}/g")
    entries = [(entry.action, entry.metadata["target"]) for entry in AuditEntry.objects.order_by("pk")]
    assert entries == [("custom_metric_created", "metric_g"), ("custom_metric_deleted", "metric_g")]


# The text format.


def test_on_the_page_for_prometheus(write_api, page):
    write_api.post(PATH, examples.CUSTOM)
    write_api.post(PATH, {"name": "h", "type": "histogram", "value": 0.3, "labels": {"a": "b"}})
    text, families = page()
    assert 'custom_counter{service="email_processor",environment="production"} 42\n' in text
    assert families["custom_counter"].type == "counter"
    assert families["h"].type == "histogram"
    found = {(each.name, each.labels.get("le")): each.value for each in families["h"].samples}
    assert found["h_bucket", "0.25"] == 0
    assert found["h_bucket", "0.5"] == found["h_bucket", "+Inf"] == found["h_count", None] == 1
    assert found["h_sum", None] == 0.3


def test_whatever_is_in_a_label_stays_in_it(write_api, page):
    """Line feeds cannot come in; should one be there all the same, it does not get out."""
    write_api.post(PATH, {**GAUGE, "labels": {"a": 'x"} 5 \\n \\', "b": "ünï 中文"}})
    CustomSeries.objects.create(metric=CustomMetric.objects.get(), key="x", labels={"a": NASTY}, value=3)
    _text, families = page()
    assert [sample.labels for sample in families["g"].samples] == [
        {"a": 'x"} 5 \\n \\', "b": "ünï 中文"},
        {"a": NASTY},
    ]
    assert "evil" not in families


# Many at once.


def at_once(count, work):
    """Do something in so many threads at the same moment, each with a connection of its own."""
    barrier, answers = threading.Barrier(count), []

    def run(number):
        try:
            barrier.wait(30)
            answers.extend(work(number))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.django_db(transaction=True)
def test_threads_that_add_to_one_counter_lose_nothing(client_with):
    clients = [client_with("write") for _ in range(4)]
    body = {"name": "c", "type": "counter", "value": 1, "labels": {"a": "b"}}
    statuses = at_once(4, lambda number: [clients[number].post(PATH, body).status_code for _ in range(25)])
    assert set(statuses) == {201}
    assert CustomSeries.objects.get().value == 100


@pytest.mark.django_db(transaction=True)
def test_threads_that_make_names_and_series_do_not_pass_the_caps(client_with, monkeypatch):
    monkeypatch.setattr(custom, "MOST_NAMES", 5)
    monkeypatch.setattr(custom, "MOST_SERIES", 5)
    clients = [client_with("write") for _ in range(4)]
    names = at_once(4, lambda n: [clients[n].post(PATH, {**GAUGE, "name": f"n{n}_{i}"}).status_code for i in range(4)])
    assert sorted(names) == [201] * 5 + [400] * 11
    CustomMetric.objects.all().delete()
    labels = at_once(
        4, lambda n: [clients[n].post(PATH, {**GAUGE, "labels": {"a": f"{n}_{i}"}}).status_code for i in range(4)]
    )
    assert sorted(labels) == [201] * 5 + [400] * 11
