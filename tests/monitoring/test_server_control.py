"""Restart and reload over the API: who may, what is answered when it cannot be, and what is written down."""

import pytest
from rest_framework.test import APIClient

from a3mailer_site import env
from a3mailer_site.control import ControlError, ServerAwayError
from accounts.models import ApiKey
from monitoring import server
from security.models import AuditEntry

pytestmark = pytest.mark.django_db

RESTART, RELOAD = "/api/v1/server/restart", "/api/v1/server/reload"


@pytest.fixture
def api():
    def make(*permissions):
        client = APIClient()
        if permissions:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {ApiKey.issue('x', list(permissions))[1]}")
        return client

    return make


@pytest.fixture
def supervisor(monkeypatch):
    """A supervisor that answers what the test puts into ``answers``, by command; an error is raised."""
    answers = {"restart": {"accepted": True}, "reload": {"changes": [], "warnings": [], "notes": []}}
    asked = []

    def call(command, timeout, **arguments):
        asked.append((command, arguments))
        answer = answers[command]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(server, "call", call)
    answers["asked"] = asked
    return answers


@pytest.mark.parametrize("path", [RESTART, RELOAD])
@pytest.mark.parametrize(
    ("permissions", "status", "in_strict_times"),
    [((), 401, 401), (("read",), 403, 403), (("write",), "ok", 403), (("admin",), "ok", "ok")],
)
def test_who_may(supervisor, api, monkeypatch, path, permissions, status, in_strict_times):
    import dataclasses

    fine = 202 if path == RESTART else 200
    assert api(*permissions).post(path).status_code == (fine if status == "ok" else status)
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), strict_permissions=True))
    assert api(*permissions).post(path).status_code == (fine if in_strict_times == "ok" else in_strict_times)


@pytest.mark.parametrize("path", [RESTART, RELOAD])
def test_a_get_does_nothing(supervisor, api, path):
    assert api("admin").get(path).status_code == 405
    assert supervisor["asked"] == []


@pytest.mark.parametrize("path", [RESTART, RELOAD])
def test_without_a_supervisor_it_is_503(supervisor, api, path):
    supervisor["restart"] = supervisor["reload"] = ServerAwayError("nobody in /var/lib/secret")
    answer = api("admin").post(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert "secret" not in answer.content.decode()
    assert AuditEntry.objects.get().outcome == "failure"


@pytest.mark.parametrize(
    ("why", "reason", "status", "words"),
    [
        ("restarting", "the server is being restarted already", 409, "restarted already"),
        ("draining", "the server is going down", 503, "going down"),
        ("invalid", "/srv/mail/a3mailer.env line 3 must be NAME=value", 409, "settings: a3mailer.env line 3 must be"),
    ],
)
def test_a_restart_that_cannot_be_says_why(supervisor, api, why, reason, status, words):
    supervisor["restart"] = {"accepted": False, "why": why, "reason": reason}
    answer = api("admin").post(RESTART)
    assert answer.status_code == status
    assert words in answer.json()["error"]["details"]
    assert "/srv" not in answer.content.decode()
    assert AuditEntry.objects.get().outcome == "failure"


def test_a_restart_is_accepted_in_the_background_and_written_down(supervisor, api):
    answer = api("write").post(RESTART, HTTP_X_REQUEST_ID="req_mine")
    assert answer.status_code == 202
    assert answer.json() == {"status": "restarting", "request_id": "req_mine"}
    assert supervisor["asked"] == [("restart", {"background": True})]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.event_type, entry.outcome, entry.severity, entry.request_id) == (
        "server_restart", "system", "success", "warning", "req_mine",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "details"),
    [
        ("A3MAILER_PLAINTEXT_AUTH is 'perhaps'; it must be never or loopback",) * 2,
        (
            "mail: /var/lib/a3/tls/chain.pem is not in PEM form, or damaged",
            "mail: chain.pem is not in PEM form, or damaged",
        ),
        ("smtp cannot listen on [::]:25: Address already in use",) * 2,
        ("A3MAILER_TLS_CERT is '/etc/ssl/x y.pem'", "A3MAILER_TLS_CERT is 'x y.pem'"),
    ],
)
def test_a_reload_that_cannot_be_says_why_and_not_where_files_are(supervisor, api, reason, details):
    supervisor["reload"] = ControlError(reason)
    answer = api("admin").post(RELOAD)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    assert answer.json()["error"]["details"] == details


def test_a_reload_says_what_changed_and_what_waits_in_the_callers_language(supervisor, api):
    changes = [{"name": "message_limit", "before": 1, "after": 2}]
    note = {"kind": "listen", "name": "smtp", "address": "[::]:26"}
    supervisor["reload"] = {"changes": changes, "warnings": ["?"], "notes": [note]}
    answer = api("admin").post(RELOAD)
    assert answer.json() == {
        "status": "reloaded",
        "changes": changes,
        "warnings": ["smtp is to listen on [::]:26; that takes effect with a restart."],
    }
    assert AuditEntry.objects.get().metadata["changes"] == changes


def test_every_kind_of_note_has_words():
    from mailcore.supervisor.reloading import _WORDS

    assert set(server._NOTES) == {*_WORDS, "overruled"}


def test_a_new_value_that_a_tuned_one_overrules_is_told(supervisor, api):
    from a3mailer_site.live import set_live

    supervisor["reload"] = {
        "changes": [{"name": name, "before": 1, "after": 2} for name in ("cache_size", "connection_pool_size")],
        "warnings": [],
        "notes": [],
    }
    set_live("cache_size", 5)
    assert api("admin").post(RELOAD).json()["warnings"] == [
        "cache_size was tuned while the server ran; that value holds, and not the new one."
    ]


def test_a_dry_run_is_passed_on_and_not_written_down(supervisor, api):
    answer = api("admin").post(f"{RELOAD}?dry_run=1")
    assert answer.json()["status"] == "valid"
    assert supervisor["asked"] == [("reload", {"dry_run": True})]
    assert not AuditEntry.objects.exists()


def test_a_switch_that_is_none_changes_nothing(supervisor, api):
    assert api("admin").post(f"{RELOAD}?dry_run=perhaps").status_code == 400
    assert supervisor["asked"] == []
