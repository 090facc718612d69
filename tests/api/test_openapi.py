"""The OpenAPI document: its version, areas, errors and headers, and that every example of the reference is in it."""

import io

import pytest
import yaml
from described import document, followed, operations, request_examples, response_examples
from django.core.management import call_command
from django.urls import path
from django.utils.translation import trans_real
from reference_examples import ERROR, EXAMPLES, OPERATIONS
from rest_framework.test import APIClient

from a3mailer_site.api import document as document_view
from a3mailer_site.api.document import DocumentView
from a3mailer_site.api.schema import AREAS


def test_it_is_made_without_a_warning_and_holds_against_the_specification():
    call_command("spectacular", "--fail-on-warn", "--validate", stdout=io.StringIO())


def test_it_is_openapi_3_1_with_areas_servers_and_both_ways_to_log_in():
    found = document()
    assert found["openapi"] == "3.1.0"
    assert [tag["name"] for tag in found["tags"]] == list(AREAS)
    assert all(tag["description"] for tag in found["tags"])
    assert found["servers"] == [{"url": "/", "description": "This server"}]
    schemes = found["components"]["securitySchemes"]
    assert (schemes["apiKey"]["type"], schemes["apiKey"]["scheme"]) == ("http", "bearer")
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "sessionid")
    assert "Idempotency-Key" in found["info"]["description"]


def test_it_is_served_as_it_is(db):
    answer = APIClient().get("/api/v1/schema", HTTP_ACCEPT="application/vnd.oai.openapi")
    served = yaml.safe_load(answer.content)
    assert set(served["paths"]) == set(document()["paths"])
    assert APIClient().get("/api/v1/schema", HTTP_ACCEPT="application/json").json()["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("method", "path", "operation"), operations(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_operation_is_described(method, path, operation):
    assert not path.endswith("/")
    assert operation["tags"][0] in AREAS
    assert operation["summary"]
    assert len(operation["summary"]) <= 100
    names = [followed(parameter)["name"] for parameter in operation["parameters"]]
    assert len(set(names)) == len(names)
    assert {"Accept-Language", "X-Request-ID"} <= set(names)
    assert ("Idempotency-Key" in names) == (method == "post" and path.startswith("/api/"))
    responses = operation["responses"]
    assert {"400", "401", "403", "404", "405", "406", "413", "429", "500", "503"} <= set(responses)
    assert any(status.startswith("2") for status in responses)
    assert ("412" in responses) == ("If-Match" in names)
    assert set(operation["x-permission"]) == {"default", "strict"}
    for status, response in responses.items():
        if status >= "400" and (status, path) not in {("503", "/health"), ("503", "/ready")}:
            schema = followed(response).get("content", {}).get("application/json", {}).get("schema")
            if schema is not None and status != "503":  # health answers of other paths have 503 as well
                assert schema == {"$ref": "#/components/schemas/Error"}


def test_every_error_is_shown_with_its_code():
    answers = document()["components"]["responses"]
    codes = {value["value"]["error"]["code"] for answer in answers.values() for value in _shown(answer)}
    from a3mailer_site.api import errors

    assert codes == {code for code, _message in errors._MEANINGS.values()}
    assert ERROR in [value["value"] for value in _shown(answers["InvalidRequest"])]


def _shown(answer):
    return answer["content"]["application/json"]["examples"].values()


@pytest.mark.parametrize(
    ("method", "path", "kind", "value"), EXAMPLES, ids=[f"{m} {p} {k}" for m, p, k, _value in EXAMPLES]
)
def test_every_example_of_the_reference_is_in_the_document(method, path, kind, value):
    operation = document()["paths"].get(path, {}).get(method.lower())
    found = [] if operation is None else (request_examples if kind == "request" else response_examples)(operation)
    assert any(holds(one, value) for one in found)


def holds(found, printed):
    """Say whether an example has everything that the reference prints: answers may have more fields, never fewer."""
    if isinstance(printed, dict):
        return isinstance(found, dict) and all(name in found and holds(found[name], printed[name]) for name in printed)
    if isinstance(printed, list):
        return isinstance(found, list) and len(found) == len(printed) and all(map(holds, found, printed))
    return bool(found == printed)


@pytest.mark.parametrize(("method", "path", "query"), OPERATIONS, ids=[f"{m} {p}" for m, p, _query in OPERATIONS])
def test_every_operation_of_the_reference_is_in_the_document(method, path, query):
    operation = document()["paths"].get(path, {}).get(method.lower())
    assert operation is not None
    names = {followed(parameter)["name"] for parameter in operation["parameters"]}
    assert set(query) <= names


def test_the_reference_has_32_operations():
    assert len(OPERATIONS) == len({(method, path) for method, path, _query in OPERATIONS}) == 32
    assert {(method, path) for method, path, _kind, _value in EXAMPLES} <= {(m, p) for m, p, _query in OPERATIONS}


@pytest.mark.parametrize("whole", [False, True])
def test_an_example_of_a_list_is_one_row_or_the_whole_envelope(monkeypatch, whole):
    """The generator knows only rows; the reference prints envelopes, and a view should give what is printed."""
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.utils import OpenApiExample, extend_schema

    from accounts.alias_viewsets import AliasViewSet

    row = {"id": "alias_1"}
    envelope = {"aliases": [row], "total": 1, "page": 1, "limit": 50}
    example = OpenApiExample("x", value=envelope if whole else row, response_only=True)

    class Shown(AliasViewSet):
        @extend_schema(examples=[example])
        def list(self, request, *args, **kwargs):
            raise NotImplementedError

    generator = SchemaGenerator(patterns=[path("api/v1/aliases", Shown.as_view({"get": "list"}))])
    found = generator.get_schema(request=None, public=True)["paths"]["/api/v1/aliases"]["get"]
    assert response_examples(found) == [envelope]


def test_it_is_made_once_for_each_language_and_form(db, monkeypatch):
    made = []
    make = DocumentView._get_schema_response
    monkeypatch.setattr(document_view, "_made", {})
    monkeypatch.setattr(DocumentView, "_get_schema_response", lambda *args: made.append(1) or make(*args))
    seen = {}
    for _ in range(2):
        for accept in ("application/json", "application/yaml"):
            for lang in ("en", "zh-hans"):
                answer = APIClient().get("/api/v1/schema", HTTP_ACCEPT=accept, HTTP_ACCEPT_LANGUAGE=lang)
                assert answer.content == APIClient().get(f"/api/v1/schema?lang={lang}", HTTP_ACCEPT=accept).content
                assert answer["Content-Type"].startswith(accept)
                found = answer.content, answer["Content-Type"], answer["Content-Disposition"]
                assert seen.setdefault((accept, lang), found) == found
    assert len(made) == len({body for body, *_ in seen.values()}) == 4


@pytest.mark.parametrize("query", ["lang=xx", "lang=../..", "lang=a%00b", "version=a%0d%0ab", 'version="', "format=x"])
def test_odd_parameters_change_nothing(db, monkeypatch, query):
    monkeypatch.setattr(document_view, "_made", {})
    known = set(trans_real._translations)
    answer = APIClient().get(f"/api/v1/schema?{query}")
    assert answer.status_code == (404 if query == "format=x" else 200)
    assert "a\r\nb" not in answer.content.decode()
    assert set(trans_real._translations) <= known | {"en", "zh-hans"}
