"""The commands that make the first records, users, aliases, keys and routes: refusals, results, a second run."""

import io
import json
import re
import stat

import pytest
from django.core.management import CommandError, call_command

from a3mailer_site.env import current
from accounts.addresses import resolve
from accounts.models import Alias, ApiKey, User
from accounts.passwords import verify
from domains.models import Domain
from mailqueue.models import Route

pytestmark = pytest.mark.django_db


def run(*arguments, stdin="", monkeypatch=None):
    if monkeypatch is not None:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().rstrip("\n")


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    import dataclasses

    from a3mailer_site import env

    monkeypatch.setattr(env, "_current", dataclasses.replace(current(), data_dir=tmp_path))
    return tmp_path


def test_quickstart_prints_secrets_that_work_once_and_null_after():
    first = json.loads(run("quickstart", "--domain", "Example.TEST", "--json"))
    assert set(first) == {"domain", "admin", "mailbox", "api_key"}
    assert first["domain"] == "example.test"
    for login, password in (
        (first["admin"]["username"], first["admin"]["password"]),
        (first["mailbox"]["address"], first["mailbox"]["password"]),
    ):
        assert verify(login, password, address="192.0.2.1", protocol="imap") is not None
    assert User.objects.get(username=first["admin"]["username"]).is_superuser
    assert not User.objects.get(email=first["mailbox"]["address"]).is_staff
    assert resolve("postmaster@example.test").status == "ok"
    assert ApiKey.objects.get().digest == ApiKey.digest_of(first["api_key"])
    assert ApiKey.objects.get().permissions == ["read", "write", "admin"]

    second = json.loads(run("quickstart", "--domain", "example.test", "--json"))
    assert second == {
        "domain": "example.test",
        "admin": {"username": first["admin"]["username"], "password": None},
        "mailbox": {"address": first["mailbox"]["address"], "password": None},
        "api_key": None,
    }
    assert (Domain.objects.count(), User.objects.count(), ApiKey.objects.count()) == (1, 2, 1)


def test_quickstart_writes_secrets_to_a_private_file_when_nobody_is_looking(data_dir):
    said = run("quickstart", "--domain", "example.test")
    path = data_dir / "credentials.json"
    made = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in said
    assert made["admin"]["password"] not in said
    assert made["api_key"] not in said
    assert "nothing changed" in run("quickstart", "--domain", "example.test")
    assert json.loads(path.read_text()) == made


def test_quickstart_shows_secrets_on_a_terminal(data_dir):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    call_command("quickstart", "--domain", "example.test", stdout=out)
    assert "sk_live_" in out.getvalue()
    assert out.getvalue().startswith("quickstart: ")
    assert not (data_dir / "credentials.json").exists()


@pytest.mark.parametrize("domain", ["", "no spaces.example", "com", "-x.example"])
def test_quickstart_refuses_what_is_no_domain(domain):
    with pytest.raises(CommandError):
        run("quickstart", "--domain", domain, "--json")
    assert not Domain.objects.exists()


def test_adddomain_twice_changes_nothing():
    assert run("adddomain", "B\u00fccher.example", "--max-users", "3") == "adddomain: xn--bcher-kva.example added"
    assert run("adddomain", "b\u00fccher.example") == "adddomain: xn--bcher-kva.example was there already"
    assert Domain.objects.get().max_users == 3


def test_adduser_takes_the_password_from_standard_input(domain, monkeypatch):
    said = run(
        "adduser", "Bob@example.com", "--password-stdin", "--quota", "1000", stdin="pass\n", monkeypatch=monkeypatch
    )
    assert said == "adduser: bob@example.com made"
    assert verify("bob@example.com", "pass", address="192.0.2.1", protocol="imap") is not None
    assert User.objects.get().quota == 1000


def test_adduser_makes_a_password_and_prints_it_once(domain):
    said = run("adduser", "bob@example.com", "--admin")
    password = re.fullmatch(r"adduser: bob@example.com made as administrator, password (\S{20})", said)[1]
    assert verify("bob@example.com", password, address="192.0.2.1", protocol="imap") is not None


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["bob"], ""),
        (["bob@example.org"], ""),
        (["taken@example.com"], ""),
        (["a%b@example.com"], ""),
        (["bob@example.com", "--quota", "-1"], ""),
        (["bob@example.com", "--password-stdin"], "\n"),
        (["bob@example.com", "--password-stdin"], "x" * 1025),
    ],
)
def test_adduser_refuses_and_makes_nothing(make_user, monkeypatch, arguments, stdin):
    make_user("taken@example.com")
    with pytest.raises(CommandError, match="adduser: "):
        run("adduser", *arguments, stdin=stdin, monkeypatch=monkeypatch)
    assert User.objects.count() == 1


def test_addalias_adds_what_is_missing(make_user):
    make_user("bob@example.com")
    assert (
        run("addalias", "Team@example.com", "bob@example.com")
        == "addalias: team@example.com: 1 targets added, 1 in all"
    )
    said = run("addalias", "team@example.com", "BOB@example.com", "ann@example.org")
    assert said == "addalias: team@example.com: 1 targets added, 2 in all"
    run("addalias", "@Example.com", "bob@example.com")
    run("addalias", "@example.com", "bob@example.com")
    assert set(Alias.objects.values_list("address", flat=True)) == {"team@example.com", "@example.com"}
    assert resolve("anybody@example.com").status == "ok"


@pytest.mark.parametrize(
    "arguments", [["bob@example.com", "x@example.com"], ["a@example.org", "x@y.example"], ["a@example.com", "x"]]
)
def test_addalias_refuses_and_makes_nothing(make_user, arguments):
    make_user("bob@example.com")
    with pytest.raises(CommandError, match="addalias: "):
        run("addalias", *arguments)
    assert not Alias.objects.exists()


def test_createapikey_prints_a_key_that_is_stored_as_a_digest():
    said = run("createapikey", "ci", "--permissions", "read,write")
    secret = said.rpartition(" ")[2]
    key = ApiKey.objects.get()
    assert (key.name, key.permissions, key.digest) == ("ci", ["read", "write"], ApiKey.digest_of(secret))
    again = json.loads(run("createapikey", "ci", "--expires", "2099-01-01T00:00:00Z", "--json"))
    assert again["api_key"] != secret
    assert again["permissions"] == ["read"]
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["x", "--permissions", "root"],
        ["x", "--permissions", ""],
        ["x", "--expires", "2001-01-01T00:00:00Z"],
        ["x", "--expires", "2099-01-01T00:00:00"],
        ["x", "--expires", "soon"],
        ["x", "--expires", "2099-13-01T00:00:00Z"],
        [" "],
    ],
)
def test_createapikey_refuses(arguments):
    with pytest.raises(CommandError, match="createapikey: "):
        run("createapikey", *arguments)
    assert not ApiKey.objects.exists()


def test_addroute_replaces_and_keeps_the_password_encrypted(monkeypatch):
    run("addroute", "Example.ORG", "relay.example:587", "--username", "u", "--password-stdin", "--tls", "required",
        stdin="s3cret\n", monkeypatch=monkeypatch)  # fmt: skip
    route = Route.objects.get()
    assert (route.domain, route.host, route.port, route.tls) == ("example.org", "relay.example", 587, "required")
    assert route.password == "s3cret"
    assert "s3cret" not in route.password_encrypted
    assert run("addroute", "*", "[2001:db8::1]:25").startswith("addroute: * \u2192 2001:db8::1:25")
    run("addroute", "example.org", "other.example:25")
    assert Route.objects.count() == 2
    assert Route.objects.get(domain="example.org").password == ""


@pytest.mark.parametrize(
    "arguments",
    [["x y", "h:25"], ["example.org", "host"], ["example.org", "h:99999"], ["example.org", "h:25", "--username", "u"]],
)
def test_addroute_refuses(arguments):
    with pytest.raises(CommandError, match="addroute: "):
        run("addroute", *arguments)
    assert not Route.objects.exists()
