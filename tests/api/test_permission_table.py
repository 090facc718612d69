"""Which permission every operation needs, by default and in strict mode: one table, and nothing outside of it.

The table is the decision; the views are measured against it, by what they declare and by what they do.
"""

import dataclasses

import pytest
from described import Ids, operations, records
from rest_framework.test import APIClient

from a3mailer_site import env
from accounts.models import ApiKey
from domains.models import Domain

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]

EVERYBODY = (None, None)
READ, WRITE, ADMIN = ("read", "read"), ("write", "write"), ("admin", "admin")
# In strict mode: what is dangerous, and what is personal data.
WRITE_PLUS, READ_PLUS = ("write", "admin"), ("read", "admin")

# Method and path below /api/v1 (or from the root, with two slashes): permission by default, and in strict mode.
TABLE = {
    "GET auth/keys": ADMIN,
    "POST auth/keys": ADMIN,
    "GET auth/keys/{key_id}": ADMIN,
    "DELETE auth/keys/{key_id}": ADMIN,
    "GET server/info": READ,
    "POST server/restart": WRITE_PLUS,
    "POST server/reload": WRITE_PLUS,
    "GET users": READ,
    "POST users": WRITE,
    "GET users/{user_id}": READ,
    "PUT users/{user_id}": WRITE,
    "PATCH users/{user_id}": WRITE,
    "DELETE users/{user_id}": WRITE,
    "POST users/{user_id}/restore": WRITE,
    "POST users/bulk": WRITE,
    "POST users/import": WRITE,
    "GET domains": READ,
    "POST domains": WRITE,
    "GET domains/{domain_id}": READ,
    "PUT domains/{domain_id}": WRITE,
    "PATCH domains/{domain_id}": WRITE,
    "DELETE domains/{domain_id}": WRITE,
    "POST domains/{domain_id}/restore": WRITE,
    "GET aliases": READ,
    "POST aliases": WRITE,
    "GET aliases/{alias_id}": READ,
    "PUT aliases/{alias_id}": WRITE,
    "PATCH aliases/{alias_id}": WRITE,
    "DELETE aliases/{alias_id}": WRITE,
    "GET groups": READ,
    "POST groups": WRITE,
    "GET groups/{group_id}": READ,
    "PUT groups/{group_id}": WRITE,
    "PATCH groups/{group_id}": WRITE,
    "DELETE groups/{group_id}": WRITE,
    "GET queue/status": READ,
    "DELETE queue/{queue_name}": WRITE_PLUS,
    "POST queue/retry": WRITE,
    "GET queue/purges": READ,
    "POST queue/purges/{purge_id}/undo": WRITE,
    "GET queue/messages": READ,
    "GET queue/messages/{message_id}": READ,
    "DELETE queue/messages/{message_id}": WRITE_PLUS,
    "POST queue/messages/{message_id}/retry": WRITE,
    "POST queue/messages/{message_id}/hold": WRITE,
    "POST queue/messages/{message_id}/release": WRITE,
    "GET messages": READ,
    "POST messages/send": WRITE,
    "GET messages/{message_id}": READ,
    "GET messages/{message_id}/events": READ,
    "GET webhooks": READ,
    "POST webhooks": WRITE_PLUS,
    "GET webhooks/{webhook_id}": READ,
    "PUT webhooks/{webhook_id}": WRITE_PLUS,
    "PATCH webhooks/{webhook_id}": WRITE_PLUS,
    "DELETE webhooks/{webhook_id}": WRITE_PLUS,
    "POST webhooks/{webhook_id}/rotate-secret": WRITE_PLUS,
    "POST webhooks/{webhook_id}/test": WRITE,
    "POST webhooks/{webhook_id}/replay": WRITE_PLUS,
    "GET webhooks/{webhook_id}/deliveries": READ,
    "GET metrics/system": READ,
    "GET metrics/application": READ,
    "GET metrics/custom": READ,
    "POST metrics/custom": WRITE,
    "GET metrics/custom/{metric_name}": READ,
    "DELETE metrics/custom/{metric_name}": WRITE,
    "GET security/overview": READ,
    "GET security/checks": READ,
    "GET security/blocked-ips": READ,
    "POST security/block-ip": WRITE_PLUS,
    "DELETE security/blocked-ips/{ip_address}": WRITE_PLUS,
    "GET security/blocked-ips/{ip_address}": READ,
    "GET security/allowed-ips": READ,
    "GET security/allowed-ips/{ip_address}": READ,
    "POST security/allowed-ips": WRITE_PLUS,
    "DELETE security/allowed-ips/{ip_address}": WRITE_PLUS,
    "GET security/audit-logs": READ_PLUS,
    "GET security/rate-limits": READ,
    "PUT security/rate-limits": WRITE_PLUS,
    "GET performance/stats": READ,
    "GET performance/recommendations": READ,
    "POST performance/optimize": WRITE_PLUS,
    "GET performance/optimizations": READ,
    "POST performance/optimizations/{optimization_id}/revert": WRITE_PLUS,
    "GET health/detailed": READ,
    "POST health/check/{component}": WRITE,
    "GET //health": EVERYBODY,
    "GET //ready": EVERYBODY,
    "GET //metrics": READ,
}

THERE = [(method.upper(), path) for method, path, _operation in operations()]
POWERS = ["read", "write", "admin"]


def row(method, path):
    """The row of an operation; a new endpoint that nobody has decided about has none."""
    name = path.removeprefix("/api/v1/") if path.startswith("/api/v1/") else f"/{path}"
    return TABLE[f"{method} {name}"]


@pytest.mark.parametrize(("method", "path"), THERE)
def test_every_operation_declares_what_the_table_says(method, path):
    operation = next(o for m, p, o in operations() if (m.upper(), p) == (method, path))
    assert (operation["x-permission"]["default"], operation["x-permission"]["strict"]) == row(method, path)


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize(("method", "path"), THERE)
def test_every_operation_does_what_the_table_says(method, path, strict, monkeypatch):
    monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), strict_permissions=strict))
    needed = row(method, path)[strict]
    # Elsewhere: what this machine may do without a key is not the matter here. And ids of nothing, so nothing is done.
    outside = {"REMOTE_ADDR": "192.0.2.55", "secure": True}
    where = path.format_map(Ids())
    assert (APIClient().generic(method, where, **outside).status_code == 401) == (needed is not None)
    for power in POWERS:
        _key, secret = ApiKey.issue("test", [power])
        client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")
        status = client.generic(method, where, "{}", content_type="application/json", **outside).status_code
        is_enough = needed is None or POWERS.index(power) >= POWERS.index(needed)
        assert (status == 403) == (not is_enough), (power, status)
        assert status not in {401, 500}


@pytest.mark.parametrize(("method", "path"), THERE)
def test_a_key_that_is_bound_to_domains_reaches_nothing_of_others(method, path):
    """Whatever view lets such keys in shows and changes what is theirs alone; all others are closed."""
    ids = Ids(records())
    if row(method, path) == EVERYBODY:
        return
    Domain.objects.create(name="own.example")
    _key, secret = ApiKey.issue("bound", ["admin"], domains=["own.example"])
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", REMOTE_ADDR="192.0.2.55")
    response = client.generic(method, path.format_map(ids), "{}", content_type="application/json", secure=True)
    assert response.status_code in {200, 202, 400, 403, 404, 415}, response.content
    assert b"described" not in response.content
    if response.status_code == 200:
        assert method == "GET"
        assert "{" not in path


def test_no_row_is_there_twice_under_two_names():
    assert all(name.split(" ")[0] in {"GET", "POST", "PUT", "PATCH", "DELETE"} for name in TABLE)
    assert not [name for name in TABLE if name.endswith("/")]
