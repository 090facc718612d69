"""The audit log: what is written, and what never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.audit import changed, printable, record
from security.models import AuditEntry

SYSTEM = AuditEntry.EventType.SYSTEM


@pytest.mark.django_db
def test_secrets_are_masked_at_any_depth():
    facts = {"Password": "a", "deep": [{"api_key": "b", "new_password_hash": "c"}], "auth_token": "d", "quota": 5}
    entry = record("x", SYSTEM, metadata=facts)
    assert entry.metadata == {
        "Password": "***",
        "deep": [{"api_key": "***", "new_password_hash": "***"}],
        "auth_token": "***",
        "quota": 5,
    }


@pytest.mark.django_db
def test_a_request_gives_its_address_agent_and_id(rf, make_user):
    request = rf.post("/", REMOTE_ADDR="::ffff:192.0.2.1", HTTP_USER_AGENT="curl\x1b[31m" + "x" * 500)
    request.request_id = "req_1"
    request.user = make_user("bob@example.com")
    entry = record("x", SYSTEM, request=request)
    assert (entry.source_ip, entry.request_id, entry.user_id) == ("192.0.2.1", "req_1", f"user_{request.user.pk}")
    assert "\x1b" not in entry.metadata["user_agent"]
    assert len(entry.metadata["user_agent"]) <= 300


def test_only_what_differs_is_kept():
    assert changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == {"before": {"b": 2}, "after": {"b": 3, "c": 4}}
    assert changed({}, {"a": None}) == {"before": {}, "after": {}}


@given(st.text())
def test_nothing_printable_can_forge_a_line_or_break_a_database(text):
    shown = printable(text)
    assert len(shown) == len(text)
    shown.encode()
    assert not set(shown) & set("\r\n\0\x1b\x85\u2028\u2029")
