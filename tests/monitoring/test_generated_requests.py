"""Generated requests for the operations of this app get only answers that the OpenAPI document names."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from a3mailer_site.control import ServerAwayError
from monitoring import health, server

pytestmark = pytest.mark.django_db(transaction=True)

STATUS = {"state": "running", "uptime": 5.0, "listeners": [], "processes": []}
ANSWERS = {
    "status": STATUS,
    "figures": {"uptime": 5.0, "counters": {}, "gauges": {}, "timings": {}, "processes": []},
    "restart": {"accepted": True},
    "reload": {"changes": [{"name": "language", "before": "en", "after": "zh-hans"}], "warnings": [], "notes": []},
}
OPERATIONS = [
    ("/api/v1/server/info", "GET"),
    ("/api/v1/server/restart", "POST"),
    ("/api/v1/server/reload", "POST"),
    ("/api/v1/health/detailed", "GET"),
    ("/api/v1/health/check/{component}", "POST"),
    ("/api/v1/performance/stats", "GET"),
    ("/api/v1/performance/recommendations", "GET"),
    ("/api/v1/performance/optimize", "POST"),
    ("/api/v1/performance/optimizations", "GET"),
    ("/api/v1/performance/optimizations/{optimization_id}/revert", "POST"),
    ("/health", "GET"),
    ("/ready", "GET"),
]


@pytest.mark.parametrize("is_away", [False, True], ids=["running", "away"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_request_meets_a_500_nor_an_undocumented_answer(path, method, is_away, monkeypatch):
    from drf_spectacular.generators import SchemaGenerator

    from a3mailer_site.wsgi import application
    from accounts.models import ApiKey

    def call(command, timeout, **arguments):
        if is_away:
            raise ServerAwayError("nobody")
        return ANSWERS[command]

    health.forget()
    monkeypatch.setattr(server, "call", call)
    _key, secret = ApiKey.issue("test", ["admin"])
    document = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    loaded = schemathesis.openapi.from_dict(document)
    loaded.app = application
    checks = [
        *([] if is_away else [schemathesis.checks.not_a_server_error]),
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    if path in {"/health", "/ready", "/api/v1/health/detailed"}:
        checks.remove(schemathesis.checks.not_a_server_error) if not is_away else None  # 503 is what they are for

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=loaded[path][method].as_strategy())
    def try_it(case):
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=checks)
        assert answer.status_code != 500

    try_it()
    health.forget()
