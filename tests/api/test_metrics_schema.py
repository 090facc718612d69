"""The OpenAPI document of the metrics: the reference's examples as printed, and nothing undocumented is answered."""

import json

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings

from accounts.models import ApiKey
from monitoring import counted
from monitoring import metric_examples as examples
from monitoring.counted import read

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

NOTHING = {
    "counters": {"http.requests.GET.200": 3},
    "gauges": {"http.open": 2},
    "timings": {},
    "uptime": 7.0,
    "processes": [],
    "windows": {name: {"seconds": 7.0, "counters": {}, "timings": {}} for name in ("60", "300")},
}


@pytest.fixture(scope="module")
def document():
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def shown(content):
    return next(iter(content.values()))["examples"]["Reference"]["value"]


@pytest.mark.parametrize(
    ("path", "media", "example"),
    [
        ("/api/v1/metrics/system", "application/json", examples.SYSTEM),
        ("/api/v1/metrics/application", "application/json", examples.APPLICATION),
        ("/api/v1/metrics/custom/{metric_name}", "application/json", examples.CUSTOM_SERIES),
        ("/metrics", "text/plain", examples.PROMETHEUS),
    ],
)
def test_answers_have_the_example_of_the_reference(document, path, media, example):
    content = document["paths"][path]["get"]["responses"]["200"]["content"]
    assert list(content) == [media]
    assert shown(content) == example


def test_requests_have_the_example_of_the_reference(document):
    operation = document["paths"]["/api/v1/metrics/custom"]["post"]
    assert shown(operation["requestBody"]["content"]) == examples.CUSTOM
    assert "201" in operation["responses"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/metrics/system", {"get"}),
        ("/api/v1/metrics/application", {"get"}),
        ("/metrics", {"get"}),
        ("/api/v1/metrics/custom", {"get", "post"}),
        ("/api/v1/metrics/custom/{metric_name}", {"get", "delete"}),
    ],
)
def test_every_operation_is_in_the_document_with_a_summary(document, path, methods):
    operations = document["paths"][path]
    assert set(operations) == methods
    assert all(operation["summary"] for operation in operations.values())


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/v1/metrics/system", "GET"),
        ("/api/v1/metrics/application", "GET"),
        ("/api/v1/metrics/custom", "GET"),
        ("/api/v1/metrics/custom", "POST"),
        ("/api/v1/metrics/custom/{metric_name}", "GET"),
        ("/api/v1/metrics/custom/{metric_name}", "DELETE"),
    ],
)
def test_generated_requests_never_meet_a_500_nor_an_undocumented_answer(document, monkeypatch, path, method):
    from a3mailer_site.wsgi import application

    monkeypatch.setattr(counted, "ask", lambda: read(NOTHING))
    _key, secret = ApiKey.issue("test", ["admin"])
    loaded = schemathesis.openapi.from_dict(document)
    loaded.app = application
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=loaded[path][method].as_strategy())
    def try_it(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=checks)

    try_it()
