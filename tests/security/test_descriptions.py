"""Every verb that the code writes into the audit log has a text for people, in both languages."""

import ast
from pathlib import Path

import pytest
from django.contrib import admin
from django.utils import translation

from security.audited import AuditedAdmin
from security.descriptions import describe, knows

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("a3mailer_site", "security", "domains", "accounts", "mailqueue", "monitoring", "mailcore")
# What writes into the log; the verb is one of its arguments.
WRITERS = {"record", "_record", "_audit", "write_down", "_write_down", "_note", "into_audit", "_make"}
# Made from a variable: the rest of these names is tested below.
MADE_UP = {"queue_": ["retry", "hold", "release", "delete"]}


def verbs():
    """Every text that is given as a verb to something that writes into the log."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if "supervisor" in path.parts:
                continue  # it has no database, and notes of its own
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                    if name in WRITERS:
                        yield from words(path, node)


def words(path, call):
    # The second has notes of its own, about settings.
    if "audited.py" in path.name or path.name == "reloading.py":
        return
    on_admin = "admin.py" in path.name and getattr(call.func, "attr", "") == "write_down"
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and not on_admin:
            yield argument.value
        if isinstance(argument, ast.IfExp):
            yield from (each.value for each in (argument.body, argument.orelse) if isinstance(each, ast.Constant))
        if isinstance(argument, ast.JoinedStr):
            beginning = argument.values[0].value if isinstance(argument.values[0], ast.Constant) else ""
            assert beginning in MADE_UP, f"{path}: say here what {ast.unparse(argument)} can be"
            yield from (beginning + rest for rest in MADE_UP[beginning])


def test_every_verb_in_the_source_has_a_text():
    found = set(verbs())
    assert {"login_failed", "login", "message_held", "user_created", "address_blocked", "queue_retry"} <= found
    assert sorted(verb for verb in found if not knows(verb)) == []


def test_so_has_everything_that_the_web_administration_writes():
    models = [model for model, page in admin.site._registry.items() if isinstance(page, AuditedAdmin)]
    assert len(models) >= 4
    for model in models:
        for happened in ("created", "updated", "deleted"):
            assert knows(f"{model._meta.model_name}_{happened}"), model
    assert knows("apikey_revoked")


@pytest.mark.parametrize(
    ("action", "metadata", "text"),
    [
        ("login_failed", {"login": "john.doe"}, "Failed login attempt for user john.doe"),
        ("login_failed", {}, "Failed login attempt for user ?"),
        ("login_failed", {"login": "100%(x)s"}, "Failed login attempt for user 100%(x)s"),
        ("address_blocked", {"ip_address": "192.0.2.1", "reason": "x"}, "192.0.2.1 was blocked: x"),
        ("address_blocked", {"ip_address": "192.0.2.1", "reason": ""}, "192.0.2.1 was blocked"),
        (
            "domain_created",
            {"target": "domain_5", "after": {"domain": "example.com"}},
            "Domain example.com was created",
        ),
        ("user_deleted", {"target": "user_5", "before": {"email": None}}, "User user_5 was deleted"),
        ("api_key_revoked", {"name": "ci"}, "API key ci was revoked"),
        ("user_deleted", {}, "User was deleted"),
        ("of_another_version", {"a": 1}, "of_another_version"),
    ],
)
def test_what_is_said(action, metadata, text):
    with translation.override("en"):
        assert describe(action, metadata) == text


def test_hostile_metadata_is_only_text():
    for value in ("%s", "%(login)s" * 100, "{0}", "<script>", None, [], {"a": 1}, 10**30):
        assert describe("login_failed", {"login": value}).startswith("")
        assert describe("user_created", {"name": value, "after": value, "target": value}) is not None
