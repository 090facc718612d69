"""The OpenAPI document is true: generated requests get only answers that it names, in the shapes that it gives."""

import time
from datetime import UTC, datetime
from itertools import count, takewhile

import pytest
import schemathesis
import yaml
from described import document, operations, records
from hypothesis import HealthCheck, given, seed, settings, strategies
from rest_framework.test import APIClient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]
# The same requests in every run of CI.
SEED = 20240115


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


def conforming():
    """What an answer is held against."""
    return [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]


def drive(method, path, *, seeds, examples):
    """Send generated requests to one operation, so many a seed; half of those with ids in the path get real ones."""
    from a3mailer_site.wsgi import application
    from accounts.models import ApiKey

    ids = records()
    _key, secret = ApiKey.issue("test", ["admin"])
    loaded = schemathesis.openapi.from_dict(document())
    loaded.app = application
    operation = loaded[path][method.upper()]

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), real=strategies.booleans())
    def try_it(case, real):
        if real and case.path_parameters:
            case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
        # What the documented header may be is tried elsewhere; here a key that was used would hide what a request does.
        case.headers.pop("Idempotency-Key", None)
        answer = case.call(headers={"Authorization": f"Bearer {secret}"})
        is_away = answer.status_code == 503  # the mail core does not run here, and the document says that it may be so
        case.validate_response(answer, checks=conforming()[is_away:])

    for number in seeds:
        seed(number)(try_it)()


ALL = [(method, path) for method, path, _operation in operations()]


@pytest.mark.parametrize(("method", "path"), ALL)
def test_generated_requests_never_meet_a_500_nor_an_undocumented_answer(method, path):
    drive(method, path, seeds=[SEED], examples=15)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("method", "path"), ALL)
def test_ten_minutes_of_generated_requests(method, path):
    """Ten minutes for all operations together, with another seed each day; hypothesis says it where something fails."""
    today, end = datetime.now(UTC).toordinal(), time.monotonic() + 600 / len(ALL)
    drive(method, path, seeds=takewhile(lambda _: time.monotonic() < end, count(today * 1000)), examples=100)
