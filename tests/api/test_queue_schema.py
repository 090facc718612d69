"""What the OpenAPI document says of the queue and the message log is true."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi import checks as openapi_checks
from test_schema import document

from queued import accept, attempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]
OPERATIONS = [
    ("GET", "/api/v1/queue/status"),
    ("GET", "/api/v1/queue/messages"),
    ("GET", "/api/v1/queue/purges"),
    ("GET", "/api/v1/messages"),
    ("POST", "/api/v1/queue/retry"),
    ("DELETE", "/api/v1/queue/{queue_name}"),
    ("GET", "/api/v1/queue/messages/{message_id}"),
    ("POST", "/api/v1/queue/purges/{purge_id}/undo"),
    ("GET", "/api/v1/messages/{message_id}/events"),
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_generated_requests_get_only_what_the_document_names(method, path):
    from a3mailer_site.wsgi import application
    from accounts.models import ApiKey

    _key, secret = ApiKey.issue("test", ["admin"])
    for number in range(3):
        accept(f"bob{number}@far.test")
        attempt("deferred" if number else "failed", "450 4.2.0 No")
    loaded = schemathesis.openapi.from_dict(document())
    loaded.app = application
    operation = loaded[path][method]

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def try_it(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {secret}"}, checks=CHECKS)

    try_it()


def test_a_message_of_each_kind_is_as_described():
    """With ids that are there, which nobody can guess."""
    from rest_framework.test import APIClient

    from a3mailer_site.ids import to_text
    from accounts.models import ApiKey

    _key, secret = ApiKey.issue("test", ["admin"])
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")
    message = to_text(accept("bob@far.test"))
    attempt()
    loaded = schemathesis.openapi.from_dict(document())
    asked = [
        ("GET", "/api/v1/queue/messages/{message_id}"),
        ("GET", "/api/v1/messages/{message_id}"),
        ("GET", "/api/v1/messages/{message_id}/events"),
        ("POST", "/api/v1/queue/messages/{message_id}/hold"),
        ("GET", "/api/v1/queue/messages/{message_id}"),
        ("POST", "/api/v1/queue/messages/{message_id}/release"),
        ("DELETE", "/api/v1/queue/messages/{message_id}"),
    ]
    for method, path in asked:
        answer = client.generic(method, path.format(message_id=message))
        assert answer.status_code == 200, (path, answer.content)
        described = loaded[path][method].definition.raw["responses"]["200"]["content"]["application/json"]["schema"]
        check(answer.json(), described, document()["components"])


def check(value, schema, components):
    import jsonschema

    jsonschema.validate(value, {**nullable(schema), "components": nullable(components)})


def nullable(schema):
    """Say ``nullable`` of OpenAPI 3.0 as JSON Schema says it."""
    if isinstance(schema, list):
        return [nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: nullable(one) for name, one in schema.items()}
    return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner
