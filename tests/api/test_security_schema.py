"""What the OpenAPI document says of the security API is true, and generated requests never meet a 500."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from a3mailer_site.live import set_live
from security import ratelimits

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

OPERATIONS = [
    ("GET", "/api/v1/security/overview"),
    ("GET", "/api/v1/security/checks"),
    ("GET", "/api/v1/security/blocked-ips"),
    ("POST", "/api/v1/security/block-ip"),
    ("DELETE", "/api/v1/security/blocked-ips/{ip_address}"),
    ("GET", "/api/v1/security/allowed-ips"),
    ("POST", "/api/v1/security/allowed-ips"),
    ("DELETE", "/api/v1/security/allowed-ips/{ip_address}"),
    ("GET", "/api/v1/security/audit-logs"),
    ("GET", "/api/v1/security/rate-limits"),
    ("PUT", "/api/v1/security/rate-limits"),
]


@pytest.fixture(scope="module")
def document():
    from drf_spectacular.generators import SchemaGenerator

    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_generated_requests_get_only_answers_that_are_documented(document, method, path):
    from a3mailer_site.wsgi import application
    from accounts.models import ApiKey

    wide = {"max_requests": ratelimits.MOST_REQUESTS, "window_seconds": 60}
    set_live(ratelimits.SETTING, dict.fromkeys(("global", "per_ip", "per_user"), wide))
    _key, secret = ApiKey.issue("test", ["admin"])
    loaded = schemathesis.openapi.from_dict(document)
    loaded.app = application
    of_openapi = schemathesis.specs.openapi.checks
    checks = [
        schemathesis.checks.not_a_server_error,
        of_openapi.status_code_conformance,
        of_openapi.content_type_conformance,
        of_openapi.response_schema_conformance,
    ]

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=loaded[path][method].as_strategy())
    def try_it(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=checks)

    try_it()


def test_the_examples_of_the_reference_are_in_the_document(document):
    def examples(method, path, where):
        operation = document["paths"][path][method]
        content = operation["requestBody"] if where == "request" else operation["responses"][where]
        return [one["value"] for one in content["content"]["application/json"]["examples"].values()]

    block = {"ip_address": "192.0.2.100", "reason": "Brute force attack detected", "duration": 3600, "permanent": False}
    assert block in examples("post", "/api/v1/security/block-ip", "request")
    limits = {
        "global": {"max_requests": 1000, "window_seconds": 60},
        "per_ip": {"max_requests": 100, "window_seconds": 60},
        "per_user": {"max_requests": 500, "window_seconds": 60},
    }
    assert limits in examples("put", "/api/v1/security/rate-limits", "request")
    overview = examples("get", "/api/v1/security/overview", "200")[0]
    assert (overview["security_score"], overview["threat_level"], overview["active_threats"]) == (0.95, "low", 2)
    assert overview["security_events"] == {"last_24h": 23, "last_7d": 156, "last_30d": 678}
    logs = examples("get", "/api/v1/security/audit-logs", "200")[0]
    assert (logs["total"], logs["page"], logs["limit"]) == (1, 1, 100)
    assert logs["logs"][0]["description"] == "Failed login attempt for user john.doe"
    assert logs["logs"][0]["id"] == "audit_123456"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_has_a_summary_and_its_own_answer(document, method, path):
    operation = document["paths"][path][method.lower()]
    assert operation["summary"]
    success = {"POST": "201", "DELETE": "204"}.get(method, "200")
    assert success in operation["responses"]
    assert {"400", "401", "403", "429", "503"} <= set(operation["responses"])
