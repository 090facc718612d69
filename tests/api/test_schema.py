"""The OpenAPI document is true: generated requests get only answers that it names, in the shapes that it gives."""

import json

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db(transaction=True)


def document():
    from drf_spectacular.generators import SchemaGenerator

    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def test_the_document_names_every_operation_without_a_trailing_slash(db):
    paths = document()["paths"]
    assert {
        "/api/v1/auth/keys",
        "/api/v1/auth/keys/{key_id}",
        "/api/v1/server/info",
        "/api/v1/users",
        "/api/v1/users/{user_id}",
        "/api/v1/domains",
        "/api/v1/domains/{domain_id}",
        "/health",
        "/ready",
    } <= set(paths)
    assert not [path for path in paths if path.endswith("/")]
    envelope = document()["components"]["schemas"]["UsersPage"]
    assert set(envelope["properties"]) == {"users", "total", "page", "limit"}


def test_the_document_and_its_page_are_served(db):
    answer = APIClient().get("/api/v1/schema", HTTP_ACCEPT="application/vnd.oai.openapi")
    assert yaml.safe_load(answer.content)["info"]["title"] == "A3Mailer"
    page = APIClient().get("/api/v1/docs", HTTP_ACCEPT="text/html")
    assert page.status_code == 200
    assert b"<script>" not in page.content
    assert "script-src 'self'" in page["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/domains", "/api/v1/auth/keys"])
def test_generated_requests_never_meet_a_500_nor_an_undocumented_answer(path, make_user):
    from a3mailer_site.wsgi import application
    from accounts.models import ApiKey

    make_user("bob@example.com")
    _key, secret = ApiKey.issue("test", ["admin"])
    description = document()
    loaded = schemathesis.openapi.from_dict(description)
    loaded.app = application
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    for method in ("get", "post", "delete"):
        where = path if method != "delete" else f"{path}/{{{path.rpartition('/')[2].rstrip('s')}_id}}"
        operation = loaded[where][method.upper()]

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def try_it(case):
            case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=checks)

        try_it()
