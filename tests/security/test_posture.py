"""The posture checks: each fails for what it is there to find, and none makes anything up."""

import dataclasses
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone, translation

from a3mailer_site import env
from accounts import posture as account_checks
from accounts.models import ApiKey, User
from security import posture, posture_checks
from security.models import PostureResult
from security.posture import failed, passed, registered, results, scan, score, unknown

PASS, FAIL, UNKNOWN = PostureResult.Status.PASS, PostureResult.Status.FAIL, PostureResult.Status.UNKNOWN
NOW = datetime.now(UTC)


@pytest.fixture
def set_env(monkeypatch):
    def change(**changes):
        monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **changes))

    return change


def certificate(path, begin, end, issuer="Some Authority"):
    key = ec.generate_private_key(ec.SECP256R1())
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("mail.example.com", issuer))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(
    ("begin", "days", "issuer", "certificate_is", "expiry_is"),
    [
        (-1, 90, "Some Authority", PASS, PASS),
        (-1, 90, "mail.example.com", FAIL, PASS),
        (-1, 13, "Some Authority", PASS, FAIL),
        (-9, -1, "Some Authority", FAIL, FAIL),
        (1, 90, "Some Authority", FAIL, PASS),
    ],
)
def test_the_certificate(tmp_path, set_env, begin, days, issuer, certificate_is, expiry_is):
    path = certificate(tmp_path / "c.pem", NOW + timedelta(days=begin), NOW + timedelta(days=days), issuer)
    set_env(tls_cert=path, tls_key=path)
    assert posture_checks.tls_certificate().status == certificate_is
    assert posture_checks.tls_expiry().status == expiry_is


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
)
def test_a_certificate_that_cannot_be_read_is_unknown(tmp_path, set_env, content):
    path = tmp_path / "c.pem"
    if content is not None:
        path.write_bytes(content)
    set_env(tls_cert=str(path), tls_key=str(path))
    assert posture_checks.tls_certificate().status == UNKNOWN
    assert posture_checks.tls_expiry().status == UNKNOWN


@pytest.mark.parametrize(
    ("setting", "value", "check", "status"),
    [
        ("plaintext_auth", "never", posture_checks.plaintext_auth, PASS),
        ("plaintext_auth", "loopback", posture_checks.plaintext_auth, FAIL),
        ("strict_permissions", True, posture_checks.strict_permissions, PASS),
        ("strict_permissions", False, posture_checks.strict_permissions, FAIL),
        ("trusted_proxies", "", posture_checks.proxies, PASS),
        ("trusted_proxies", "192.0.2.1, 10.0.0.0/8", posture_checks.proxies, PASS),
        ("trusted_proxies", "192.0.2.1, 0.0.0.0/0", posture_checks.proxies, FAIL),
        ("trusted_proxies", "::/0", posture_checks.proxies, FAIL),
    ],
)
def test_settings(set_env, setting, value, check, status):
    set_env(**{setting: value})
    assert check().status == status


@pytest.mark.parametrize(("secure", "status"), [(True, PASS), (False, FAIL)])
def test_cookies(settings, secure, status):
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = secure
    assert posture_checks.secure_cookies().status == status


def test_modes_of_secrets(tmp_path, set_env):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    set_env(data_dir=data)
    (data / "secret_key").write_text("x")
    (data / "secret_key").chmod(0o644)
    assert posture_checks.secret_modes().status == PASS  # nobody else gets into the directory
    data.chmod(0o755)
    found = posture_checks.secret_modes()
    assert found.status == FAIL
    assert found.facts == {"files": "data, secret_key"}
    (data / "secret_key").chmod(0o600)
    data.chmod(0o700)
    key = tmp_path / "outside.key"
    key.write_text("x")
    key.chmod(0o640)
    set_env(data_dir=data, tls_cert="x", tls_key=str(key))
    assert posture_checks.secret_modes().facts == {"files": "outside.key"}


class FakeSmtp:
    """Says what a test wants, one reply a command."""

    def __init__(self, *replies):
        self.heard = []
        self._replies = replies
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        link, _address = self._socket.accept()
        with link, link.makefile("rb") as lines:
            for reply in self._replies:
                link.sendall(reply)
                if not (line := lines.readline()):
                    return
                self.heard.append(line)

    def close(self):
        self._socket.close()
        self._thread.join(10)


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        ([b"220 hi\r\n", b"250-a\r\n250 b\r\n", b"250 ok\r\n", b"550 5.7.1 no\r\n", b"221 bye\r\n"], PASS),
        ([b"220 hi\r\n", b"250 b\r\n", b"250 ok\r\n", b"250 with pleasure\r\n", b"221 bye\r\n"], FAIL),
        ([b"220 hi\r\n", b"250 b\r\n", b"250 ok\r\n", b"451 4.3.0 later\r\n", b"221 bye\r\n"], UNKNOWN),
        ([b"421 busy\r\n", b""], UNKNOWN),
        ([b"220 hi\r\n", b"250 b\r\n", b"550 not you\r\n", b""], UNKNOWN),
        ([b"220 hi\r\n"], UNKNOWN),
        ([b"\xff\xfe\r\n", b""], UNKNOWN),
        ([b"220-" + b"x" * 5000 + b"\r\n", b""], UNKNOWN),
    ],
)
def test_relaying_is_really_tried(set_env, replies, status):
    server = FakeSmtp(*replies)
    set_env(smtp_listen=f"127.0.0.1:{server.port}")
    found = posture_checks.open_relay()
    server.close()
    assert found.status == status, (found, server.heard)
    if status != UNKNOWN:
        assert b"RCPT TO:<posture-check@relay-test.invalid>\r\n" in server.heard


def test_a_listener_that_is_not_there_is_unknown(set_env, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    set_env(smtp_listen=f"127.0.0.1:{port}")
    assert posture_checks.open_relay().status == UNKNOWN
    set_env(smtp_listen="off")
    assert posture_checks.open_relay().text == "off"


@pytest.mark.django_db
class TestAccounts:
    def test_hashes(self, make_user):
        make_user("a@example.com")
        User.objects.create(username="nobody", password="!")
        assert account_checks.password_hashes().status == PASS
        make_user("b@example.com")
        User.objects.filter(email="b@example.com").update(password="pbkdf2_sha256$1$x$y")
        found = account_checks.password_hashes()
        assert (found.status, found.facts) == (FAIL, {"count": 1})
        User.objects.filter(email="b@example.com").update(is_active=False)
        assert account_checks.password_hashes().status == PASS

    @pytest.mark.parametrize(("count", "status"), [(0, FAIL), (1, PASS), (5, PASS), (6, FAIL)])
    def test_administrators(self, make_user, count, status):
        for n in range(count):
            make_user(f"a{n}@example.com", is_superuser=True)
        make_user("gone@example.com", is_superuser=True, is_active=False)
        assert account_checks.administrators().status == status

    @pytest.mark.parametrize(
        ("created", "seen", "status"), [(1, None, PASS), (91, None, FAIL), (91, 89, PASS), (200, 91, FAIL)]
    )
    def test_administrators_who_are_not_about(self, make_user, created, seen, status):
        now = timezone.now()
        user = make_user("a@example.com", is_superuser=True)
        last = now - timedelta(days=seen) if seen else None
        User.objects.filter(pk=user.pk).update(created_at=now - timedelta(days=created), last_login=last)
        assert account_checks.idle_administrators().status == status

    def test_keys(self):
        later = timezone.now() + timedelta(days=1)
        ApiKey.issue("a", ["read"])
        ApiKey.issue("b", ["admin"], expires_at=later)
        assert account_checks.api_keys().status == PASS
        key, _secret = ApiKey.issue("c", ["admin"])
        assert account_checks.api_keys().facts == {"count": 1}
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
        assert account_checks.api_keys().status == PASS
        assert account_checks.api_key_use().status == PASS
        ApiKey.objects.filter(name="a").update(created_at=timezone.now() - timedelta(days=91))
        assert account_checks.api_key_use().facts == {"count": 1}

    def test_migrations(self):
        assert posture_checks.migrations().status == PASS


@pytest.mark.django_db
class TestTheRegistry:
    @pytest.fixture(autouse=True)
    def _own(self, monkeypatch):
        monkeypatch.setattr(posture, "_checks", {})

    def add(self, name, weight, finding, **more):
        def run():
            if isinstance(finding, Exception):
                raise finding
            return finding

        posture.check(name, weight, run, title=name.title(), **more)

    def test_the_score_is_the_weight_that_passed_of_what_is_known(self):
        assert score() is None
        self.add("a", 3, passed())
        self.add("b", 1, failed("bad"))
        self.add("c", 5, unknown())
        assert score() is None  # nothing has run
        assert scan() == 3
        assert score() == 0.75

    def test_one_that_breaks_is_unknown_and_the_others_run(self):
        self.add("a", 3, RuntimeError("x"))
        self.add("b", 1, passed())
        scan()
        assert dict(PostureResult.objects.values_list("check_id", "status")) == {"a": UNKNOWN, "b": PASS}
        assert score() == 1.0

    def test_nothing_known_is_no_score(self):
        self.add("a", 3, unknown())
        scan()
        assert score() is None

    def test_results_say_what_was_found_and_what_to_do(self):
        self.add("a", 1, failed("bad", count=3), advice="Mend it.", texts={"bad": "%(count)s are bad."})
        self.add("b", 2, passed(), advice="Mend it.")
        self.add("c", 3, unknown())
        scan()
        assert [(one["id"], one["status"], one["detail"], one["advice"]) for one in results()] == [
            ("c", UNKNOWN, "", ""),
            ("b", PASS, "", ""),
            ("a", FAIL, "3 are bad.", "Mend it."),
        ]

    def test_a_check_that_is_gone_has_no_result_and_one_that_is_new_none_yet(self):
        self.add("a", 1, passed())
        scan()
        posture._checks.clear()
        self.add("b", 1, failed("x"))
        assert score() is None
        assert results()[0]["checked_at"] is None
        scan()
        assert [row.check_id for row in PostureResult.objects.all()] == ["b"]

    @pytest.mark.parametrize("facts", [{}, {"other": 1}, {"count": None}])
    def test_facts_of_an_older_version_break_nothing(self, facts):
        self.add("a", 1, failed("bad", **facts), texts={"bad": "%(count)d are bad."})
        scan()
        assert results()[0]["detail"] == ""


@pytest.mark.django_db
def test_all_that_are_registered_run_and_have_texts_for_what_they_find(set_env):
    set_env(smtp_listen="off")
    names = set(registered())
    assert {
        "tls_certificate",
        "tls_expiry",
        "plaintext_auth",
        "open_relay",
        "secret_modes",
        "secure_cookies",
        "trusted_proxies",
        "migrations",
        "strict_permissions",
        "password_hashes",
        "administrators",
        "idle_administrators",
        "api_keys",
        "api_key_use",
    } <= names
    scan()
    with translation.override("en"):
        for one in results():
            assert one["checked_at"] is not None
            assert one["title"]
            assert 1 <= one["weight"] <= 5
            if one["status"] == FAIL:
                assert one["detail"], one
                assert one["advice"], one
    assert 0 <= score() <= 1


def test_every_text_that_a_check_can_find_is_there():
    """Read from the source: a finding without its text would tell people nothing."""
    import ast

    named = set()
    for module in (posture_checks, account_checks):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"passed", "failed", "unknown"}:
                named |= {each.value for each in node.args[:1] if isinstance(each, ast.Constant)}
    known = {text for one in registered().values() for text in one.texts}
    assert named
    assert named <= known
