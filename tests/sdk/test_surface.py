"""The description of the API that all clients are held to is the server's: neither has an operation, a parameter, a
member or a permission that the other lacks.
"""

import inspect
import json
import re

import pytest
from jsonschema import Draft202012Validator
from operations import OPERATIONS, SDK

from a3mailer_sdk import A3MailerClient

# The document does not describe itself.
_NOT_IN_THE_DOCUMENT = {("GET", "/api/v1/schema")}
# The document is for programs; these are what is described elsewhere in words.
_EVERYWHERE = {"format", "lang"}
# A domain cannot be renamed: its update takes the name only as it is.
_FIXED = {"domain"}
# Instead of a value; the samples are of counters.
_OF_HISTOGRAMS = {"count", "sum", "buckets"}


@pytest.fixture(scope="module")
def document():
    from drf_spectacular.generators import SchemaGenerator

    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def described(document, operation):
    """What the document says of an operation."""
    found = document["paths"].get(operation.path, {}).get(operation.method.lower())
    if found is None and (operation.method, operation.path) not in _NOT_IN_THE_DOCUMENT:
        pytest.fail(f"the document has no {operation.method} {operation.path}")
    return found or {}


def schema_of(document, content):
    """The schema of a body in JSON, its references resolvable; ``None`` without such a body."""
    schema = content.get("application/json", {}).get("schema")
    return schema and {**schema, "components": document["components"]}


def resolved(document, part):
    """A part of the document without a reference on top, and as what it is when it is not null."""
    while "$ref" in part:
        found = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    choices = part.get("allOf") or part.get("oneOf") or part.get("anyOf") or []
    parts = [one for one in choices if one.get("type") != "null"]
    return resolved(document, parts[0]) if len(parts) == 1 else part


def unknown(document, schema, value, where=""):
    """Members of a sample that the schema does not name."""
    schema = resolved(document, schema)
    if isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            if name in schema["properties"]:
                yield from unknown(document, schema["properties"][name], inner, f"{where}.{name}")
            else:
                yield f"{where}.{name}"
    if isinstance(value, list) and "items" in schema:
        for inner in value:
            yield from unknown(document, schema["items"], inner, f"{where}[]")


def unnamed(document, schema, value, where=""):
    """Members of a schema that the sample does not have; of several rows, that none of them has."""
    schema = resolved(document, schema)
    if isinstance(value, dict) and "properties" in schema:
        for name, inner in schema["properties"].items():
            if name not in value and name not in _OF_HISTOGRAMS:
                yield f"{where}.{name}"
            elif name in value:
                yield from unnamed(document, inner, value[name], f"{where}.{name}")
    if isinstance(value, list) and value and "items" in schema:
        rows = [set(unnamed(document, schema["items"], row, f"{where}[]")) for row in value]
        yield from set.intersection(*rows)


def openapi_30(schema):
    """OpenAPI 3.0 in JSON Schema's words: ``nullable`` is a type."""
    if isinstance(schema, list):
        return [openapi_30(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: openapi_30(value) for name, value in schema.items()}
    return {"anyOf": [schema, {"type": "null"}]} if schema.pop("nullable", False) is True else schema


def test_clients_have_every_operation_of_the_server_and_no_others(document):
    served = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    # PUT changes what it names, as PATCH does: the clients need only one of them.
    patched = {path for method, path in served if method == "PATCH"}
    assert patched <= {path for method, path in served if method == "PUT"}
    wanted = {(method, path) for method, path in served if method != "PATCH"} | _NOT_IN_THE_DOCUMENT
    assert {(operation.method, operation.path) for operation in OPERATIONS} == wanted


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_parameters_are_those_of_the_server(operation, document):
    parameters = [resolved(document, one) for one in described(document, operation).get("parameters", [])]
    if not _NOT_IN_THE_DOCUMENT & {(operation.method, operation.path)}:
        names = {one["name"] for one in parameters if one["in"] == "query"} - _EVERYWHERE
        assert names == set(operation.query)
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"{(\w+)}", operation.path))


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_the_permission_is_the_one_that_the_server_asks_for(operation, document):
    asked = described(document, operation).get("x-permission")
    if asked:
        default = None if operation.permission == "none" else operation.permission
        assert asked == {"default": default, "strict": operation.strict or default}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if isinstance(one.body, dict)], ids=str)
def test_clients_can_say_everything_that_the_server_takes(operation, document):
    request = schema_of(document, described(document, operation)["requestBody"]["content"])
    members = {
        name
        for name, schema in resolved(document, request)["properties"].items()
        if not resolved(document, schema).get("readOnly")
    }
    group, _, method = operation.operation.partition(".")
    client = A3MailerClient("https://mail.example.com", "")
    signature = inspect.signature(getattr(getattr(client, group), method))
    assert members - _FIXED <= {name.rstrip("_") for name in signature.parameters}
    go = (SDK / "go" / f"{group}.go").read_text()
    types = (SDK / "javascript" / "index.d.ts").read_text()
    for name in members:
        assert re.search(rf'`json:"{name}[,"]', go), name
        assert re.search(rf"\b{name}\b[?:}}]", types), name


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_samples_are_what_the_server_takes_and_gives(operation, document):
    found = described(document, operation)
    if not found:
        return
    assert str(operation.status) in found["responses"]
    request = schema_of(document, found.get("requestBody", {}).get("content", {}))
    response = schema_of(document, resolved(document, found["responses"][str(operation.status)]).get("content", {}))
    if operation.body is not None:
        assert list(unknown(document, request, operation.body)) == []
        Draft202012Validator(openapi_30(request)).validate(operation.body)
    if operation.content is not None:
        assert "text/csv" in found["requestBody"]["content"]
    if response is not None:
        assert list(unknown(document, response, operation.answer)) == []
        assert list(unnamed(document, response, operation.answer)) == []
        Draft202012Validator(openapi_30(response)).validate(operation.answer)
    elif not isinstance(operation.answer, str):
        assert operation.answer is None
