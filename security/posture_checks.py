"""The posture checks about the server itself: certificate, settings, files, relaying. Others are their apps'."""

import contextlib
import re
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from cryptography import x509
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext_lazy as _

from a3mailer_site.env import current
from security.networks import trusted_proxies
from security.posture import Finding, check, failed, passed, unknown

# A certificate should be renewed before so many days are left.
RENEW_BEFORE = timedelta(days=14)
# Networks of proxies that are wider than this are no list of proxies.
_WIDEST_PROXIES = {4: 8, 6: 32}
# Seconds for each answer of our own SMTP listener; at the start it may not be there yet.
_PATIENCE = 20.0
_SECRETS = ("secret_key", "encryption_key", "audit_key", "a3mailer.env", "control.sock", "tls/self-signed.key")
_OPEN = stat.S_IRWXG | stat.S_IRWXO
# A domain that never exists (RFC 2606 section 2): mail to it can only be somebody else's.
_ELSEWHERE = "relay-test.invalid"


def register() -> None:
    """Register them all."""
    check(
        "tls_certificate",
        3,
        tls_certificate,
        title=_("The TLS certificate is somebody else's word"),
        advice=_("Get a certificate from a public authority and set A3MAILER_TLS_CERT and A3MAILER_TLS_KEY."),
        texts={
            "self_signed": _("The certificate is self-signed."),
            "invalid": _("The certificate is not valid now: it holds from %(begin)s to %(end)s."),
            "fine": _("Issued by %(issuer)s."),
            "unreadable": _("The certificate cannot be read."),
        },
    )
    check(
        "tls_expiry",
        2,
        tls_expiry,
        title=_("The TLS certificate holds for two more weeks"),
        advice=_("Renew the certificate."),
        texts={"end": _("It ends on %(end)s."), "unreadable": _("The certificate cannot be read.")},
    )
    check(
        "plaintext_auth",
        3,
        plaintext_auth,
        title=_("Passwords are taken over TLS only"),
        advice=_("Set A3MAILER_PLAINTEXT_AUTH to never."),
        texts={"loopback": _("Clients on this machine may send passwords without TLS.")},
    )
    check(
        "open_relay",
        5,
        open_relay,
        title=_("Strangers cannot send mail through this server"),
        advice=_("Find out at once why the MX port takes mail for domains that are not here."),
        texts={
            "refused": _("Relaying was refused: %(reply)s"),
            "taken": _("Mail to another domain was taken: %(reply)s"),
            "unclear": _("Relaying was neither refused nor taken: %(reply)s"),
            "silent": _("The SMTP listener could not be asked."),
            "off": _("There is no SMTP listener."),
        },
    )
    check(
        "secret_modes",
        3,
        secret_modes,
        title=_("Nobody else on this machine can read the server's secrets"),
        advice=_("Set the mode of the files to 0600, and of the data directory to 0700."),
        texts={"open": _("Others can reach: %(files)s")},
    )
    check(
        "secure_cookies",
        2,
        secure_cookies,
        title=_("Cookies of the web administration travel over HTTPS only"),
        advice=_("Set A3MAILER_PROFILE to production, and serve the web over HTTPS."),
        texts={"open": _("They would also be sent over plain HTTP.")},
    )
    check(
        "trusted_proxies",
        3,
        proxies,
        title=_("Only real proxies are believed"),
        advice=_("Name single proxies in A3MAILER_TRUSTED_PROXIES, not whole networks."),
        texts={"wide": _("Everybody in %(networks)s can say where a request comes from.")},
    )
    check(
        "migrations",
        1,
        migrations,
        title=_("The database is that of this version"),
        advice=_("Run manage.py migrate."),
        texts={"pending": _("Migrations that have not been applied: %(count)s.")},
    )
    check(
        "strict_permissions",
        1,
        strict_permissions,
        title=_("Dangerous operations need an administrator's key"),
        advice=_("Set A3MAILER_STRICT_PERMISSIONS to true."),
        texts={"lenient": _("A key with `write` may restart the server and purge queues.")},
    )


def tls_certificate() -> Finding:
    """Look at dates and issuer of the certificate in use."""
    certificate = _certificate()
    if certificate is None:
        return unknown("unreadable")
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.now(UTC) < end:
        return failed("invalid", begin=_day(begin), end=_day(end))
    if certificate.issuer == certificate.subject:
        return failed("self_signed")
    return passed("fine", issuer=certificate.issuer.rfc4514_string()[:200])


def tls_expiry() -> Finding:
    """Look how long the certificate still holds."""
    certificate = _certificate()
    if certificate is None:
        return unknown("unreadable")
    end = certificate.not_valid_after_utc
    finding = passed if end - datetime.now(UTC) > RENEW_BEFORE else failed
    return finding("end", end=_day(end))


def _certificate() -> x509.Certificate | None:
    given = current().tls_cert
    path = Path(given) if given else current().data_dir / "tls" / "self-signed.crt"
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def plaintext_auth() -> Finding:
    """Look at the setting."""
    return passed() if current().plaintext_auth == "never" else failed("loopback")


def open_relay() -> Finding:
    """Try to send mail from elsewhere to elsewhere through our own MX port."""
    addresses = current().listen("smtp")
    if not addresses:
        return unknown("off")
    host, port = addresses[0]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to connect to, not to listen on
    try:
        with socket.create_connection((host, port), _PATIENCE) as link, link.makefile("rb") as replies:
            reply = _try_to_relay(link, replies)
    except OSError:
        return unknown("silent")
    words = re.sub(r"[^\x20-\x7e]", "?", reply)[:120]
    if reply.startswith("5"):
        return passed("refused", reply=words)
    return failed("taken", reply=words) if reply.startswith("2") else unknown("unclear", reply=words)


def _try_to_relay(link: socket.socket, replies: IO[bytes]) -> str:
    """Return what is said to a recipient who is not ours, or the first refusal before that."""
    said = _reply(replies)
    for command in ("EHLO", "MAIL", "RCPT"):
        if not said.startswith("2"):
            return f"4 {said}"  # not the answer that we came for
        arguments = {
            "EHLO": f"EHLO {current().host_name}",
            "MAIL": f"MAIL FROM:<posture-check@{_ELSEWHERE}>",
            "RCPT": f"RCPT TO:<posture-check@{_ELSEWHERE}>",
        }
        link.sendall(f"{arguments[command]}\r\n".encode())
        said = _reply(replies)
    with contextlib.suppress(OSError):
        link.sendall(b"QUIT\r\n")
        _reply(replies)
    return said


def _reply(replies: IO[bytes]) -> str:
    """Read a reply (RFC 5321 section 4.2.1), and return its last line."""
    for _line in range(100):
        line = replies.readline(1000).decode("ascii", "replace")
        if line[3:4] != "-":
            break
    if not line:
        raise ConnectionResetError("the server closed the connection")
    return line.rstrip()


def secret_modes() -> Finding:
    """Look at the modes of what only the server may read."""
    directory = current().data_dir
    keys = [directory / name for name in _SECRETS]
    if current().tls_key:
        keys.append(Path(current().tls_key))
    found = [path.name for path in [directory, *keys] if path.exists() and path.stat().st_mode & _OPEN]
    # A directory that nobody else can enter keeps what is in it, whatever its mode.
    if found and not directory.stat().st_mode & _OPEN:
        found = [name for name in found if current().tls_key and name == Path(current().tls_key).name]
    return failed("open", files=", ".join(found)) if found else passed()


def secure_cookies() -> Finding:
    """Look at the settings."""
    return passed() if settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE else failed("open")


def proxies() -> Finding:
    """Look how many addresses are believed."""
    wide = [str(network) for network in trusted_proxies() if network.prefixlen < _WIDEST_PROXIES[network.version]]
    return failed("wide", networks=", ".join(wide)) if wide else passed()


def migrations() -> Finding:
    """Look whether migrations wait."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return failed("pending", count=len(plan)) if plan else passed()


def strict_permissions() -> Finding:
    """Look at the setting."""
    return passed() if current().strict_permissions else failed("lenient")
