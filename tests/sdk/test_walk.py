"""Each client against a running server."""

import pytest
from callers import LANGUAGES, RefusedError, caller

pytestmark = [pytest.mark.flow, pytest.mark.peer]


@pytest.fixture(scope="module", params=LANGUAGES)
def api(request, mail_server):
    """A client in each language in turn, with a key that may do everything."""
    one = caller(request.param, mail_server.url, mail_server.key)
    one.language = request.param.replace(" ", "-")
    yield one
    one.close()


@pytest.fixture(scope="module")
def read_key(mail_server):
    return caller("python", mail_server.url, mail_server.key)(
        "keys.create", {"name": "reader", "permissions": ["read"]}
    )["api_key"]


def test_refusals_have_their_types_and_say_what_is_wrong(api, mail_server, read_key):
    user = {"username": "x", "email": "nobody", "password": "correct horse battery"}
    taken = {**user, "username": f"y-{api.language}", "email": mail_server.people[0]}
    for kind, code, call in [
        ("InvalidRequest", "INVALID_REQUEST", lambda: api("users.create", user)),
        ("Unauthorized", "UNAUTHORIZED", lambda: api("users.list", {}, key="sk_live_wrong")),
        ("Forbidden", "FORBIDDEN", lambda: api("users.create", user, key=read_key)),
        ("NotFound", "NOT_FOUND", lambda: api("users.get", "user_999999")),
        ("Conflict", "CONFLICT", lambda: api("users.create", taken)),
    ]:
        with pytest.raises(RefusedError) as caught:
            call()
        assert (caught.value.kind, caught.value.code) == (kind, code)
        assert caught.value.request_id.startswith("req_")
        assert caught.value.message
    with pytest.raises(RefusedError) as caught:
        api("users.create", user, request_id=f"mine-{api.language}", language="zh-Hans")
    assert set(caught.value.fields) == {"email"}
    assert caught.value.request_id == f"mine-{api.language}"
    assert not caught.value.message.isascii()


def test_a_walk_sees_everybody_once_over_all_pages(api, mail_server):
    found = [row["email"] for row in api("users.iterate", {"limit": 25})]
    assert len(found) == len(set(found)) == api("users.list", {"limit": 1})["total"] > 120
    assert set(mail_server.people) < set(found)
