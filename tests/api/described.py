"""The OpenAPI document, as tests use it: what operations there are, what they take, and real ids for their paths."""

import json
from functools import cache

WRITES = ("post", "put", "patch", "delete")


@cache
def document():
    """The document as the server gives it out."""
    from drf_spectacular.generators import SchemaGenerator

    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def operations(*methods):
    """(method, path, operation) of all, or of those with these methods."""
    return [
        (method, path, operation)
        for path, each in document()["paths"].items()
        for method, operation in each.items()
        if not methods or method in methods
    ]


def followed(schema):
    """A schema with its reference followed."""
    while "$ref" in schema:
        schema = document()["components"][schema["$ref"].split("/")[-2]][schema["$ref"].split("/")[-1]]
    return schema


def request_schema(operation):
    """What the body may be; ``None`` for operations that take none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else followed(content["schema"])


def examples(content):
    """The values of all examples of a body."""
    return [one["value"] for one in content.get("examples", {}).values()] + [
        content[n] for n in ("example",) if n in content
    ]


def request_examples(operation):
    """The examples of requests that the document has."""
    return [
        value for content in operation.get("requestBody", {}).get("content", {}).values() for value in examples(content)
    ]


def response_examples(operation):
    """The examples of answers that the document has, errors not included."""
    contents = [
        content
        for response in operation["responses"].values()
        if "$ref" not in response
        for content in response.get("content", {}).values()
    ]
    return [value for content in contents for value in examples(content)]


def records():
    """Make one of everything that has an id in a path; returns the ids by the parameter's name.

    Who adds a kind of object to the API adds it here; a parameter that is not here gets an id of nothing.
    """
    from django.contrib.auth.models import Group

    from a3mailer_site.ids import to_text
    from accounts.models import Alias, AliasTarget, ApiKey, User
    from domains.models import Domain
    from mailqueue.models import Webhook
    from monitoring.models import CustomMetric, Optimization
    from queued import accept

    domain = Domain.objects.create(name="described.example")
    user = User.objects.create(username="described", email="described@described.example", domain=domain)
    alias = Alias.objects.create(address="alias@described.example", domain=domain)
    AliasTarget.objects.create(alias=alias, address="x@example.org")
    group = Group.objects.create(name="described")
    key, _secret = ApiKey.issue("described", ["read"])
    optimization = Optimization.objects.create(kind="cache_size", previous=2**24, value=2**25)
    CustomMetric.objects.create(name="described", kind="gauge")
    return {
        "message_id": to_text(accept("x@far.test", sender="described@described.example")),
        "optimization_id": f"optimization_{optimization.pk}",
        "user_id": f"user_{user.pk}",
        "domain_id": f"domain_{domain.pk}",
        "alias_id": f"alias_{alias.pk}",
        "group_id": f"group_{group.pk}",
        "key_id": f"key_{key.pk}",
        "webhook_id": f"webhook_{Webhook.objects.create(url='https://x.example/', events=['bounced']).pk}",
        "queue_name": "bounce",
        "component": "database",
        "ip_address": "192.0.2.200",
        "metric_name": "described",
    }


class Ids(dict):
    """Fills a path; what is not known is an id of nothing."""

    def __missing__(self, name):
        return f"{name.removesuffix('_id')}_999999"
