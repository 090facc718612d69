"""Whether a password is right: the one ``verify`` of SMTP, IMAP, POP3, the admin and the API.

It blocks for the 20 ms of an Argon2id hash and belongs in a pool of threads, never in the reactor's. It never sleeps:
who answers a failed login waits ``answer_delay`` seconds first, where waiting costs no thread.

Failures are rows, so all processes count the same ones. Within ``WINDOW``, and then refused without hashing:

- 10 for one account from one address,
- 30 from one address, whatever the accounts,
- 100 for one account, from an address where it has not logged in lately. Whoever is already known there gets in, so
  that strangers cannot lock an owner out; a success does not lift the limit for anybody else.

Loopback counts too, with ten times these figures: a webmail or a proxy on this machine speaks for many people.
"""

import hmac
import ipaddress
import os
import secrets
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from a3mailer_site.api.peers import client_address
from a3mailer_site.expiring import Expiring
from a3mailer_site.figures import figures
from a3mailer_site.generations import Watch, listen
from a3mailer_site.models import Generation
from accounts.addresses import fold, normalize
from accounts.models import User
from security.audit import printable, record
from security.models import AuditEntry, LoginFailure

# Octets of the longest password. More is refused unread: hashing takes time in proportion (promises: hash DoS).
MAX_PASSWORD = 1024

WINDOW = timedelta(minutes=10)
LIMIT_PAIR = 10
LIMIT_ADDRESS = 30
LIMIT_ACCOUNT = 100
LOOPBACK_FACTOR = 10

# Hashes computed at once in one process, and the seconds that one waits for its turn.
_AT_ONCE = max(2, os.cpu_count() or 2)
_PATIENCE = 10.0
# Seconds that a proven password is believed without hashing it again.
_BELIEVED = 60.0
# Seconds that an address counts as known for an account after a success there.
_KNOWN = 24 * 3600.0
_LAST_LOGIN_STEP = timedelta(minutes=1)
_REMEMBERED = 10_000


class TooManyFailuresError(Exception):
    """No answer now: there were too many failures, or too much is being hashed. ``retry_after`` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many attempts; again in {retry_after:.0f} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who has proved who they are."""

    id: int
    username: str
    address: str | None


class Argon2idHasher(Argon2PasswordHasher):
    """Argon2id with OWASP's figures: 19 MiB, two passes, one lane; about 20 ms."""

    time_cost = 2
    memory_cost = 19456
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Hash a password; raises ``ValueError`` for one that no login would take."""
        if not acceptable(password):
            raise ValueError("this password is too long or has a NUL")
        return str(super().encode(prepared(password), salt))

    def verify(self, password: str, encoded: str) -> bool:
        """Compare; a password that is too long is wrong before it is hashed."""
        return acceptable(password) and bool(super().verify(prepared(password), encoded))


class LongestPasswordValidator:
    """Refuse what ``verify`` would refuse (one of ``AUTH_PASSWORD_VALIDATORS``)."""

    def validate(self, password: str, user: object = None) -> None:  # noqa: ARG002 - Django passes it
        """Raise ``ValidationError`` for a password that could never be used."""
        if not acceptable(password):
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        """Say the rule."""
        return _("A password has at most 1024 bytes and no NUL.")


def prepared(password: str) -> str:
    """Return the form that is hashed: composed, as RFC 8265 section 4.2.2 asks, so that all keyboards agree."""
    return unicodedata.normalize("NFC", password)


def acceptable(password: str) -> bool:
    """Say whether a password may be hashed at all."""
    if len(password) > MAX_PASSWORD or "\0" in password:
        return False
    try:
        return len(password.encode()) <= MAX_PASSWORD
    except UnicodeEncodeError:
        return False


def remembered(login: str, password: str, address: str) -> Account | None:
    """Return the account if ``verify`` has just found this to be right and nothing has changed since; never blocks.

    ``None`` says nothing: ``verify`` has to be asked.
    """
    if not (_users.fresh and _failures.fresh):
        return None
    return _settled.get(_question(login, password, address))


def verify(login: str, password: str, address: str, protocol: str) -> Account | None:
    """Return the account that this login name (or address) and password open, or ``None``.

    ``address`` is the client's IP address, ``protocol`` a word for the log. Unknown, disabled and wrong take the same
    time and give the same answer. Raises ``TooManyFailuresError`` without having looked at the password.
    """
    _users.look()
    _failures.look()
    # Taken before anything is read: who forgets meanwhile makes a new memory, and this one dies with its old news.
    settled = _settled
    question = _question(login, password, address)
    if account := settled.get(question):
        return account
    user = _find(login)
    name = user.username if user is not None else printable(fold(login.strip()[:254]))[:254]
    now = timezone.now()
    _refuse_if_limited(name, user, address, now)
    if not (acceptable(password) and _matches(user, password)) or user is None or not user.may_log_in:
        _failed(name, user, address, protocol)
        return None
    _known.put((user.pk, address), True)
    if user.last_login is None or now - user.last_login >= _LAST_LOGIN_STEP:
        # Not save(): that would make every process forget its addresses.
        User.objects.filter(pk=user.pk).update(last_login=now)
    account = Account(user.pk, user.username, user.email)
    settled.put(question, account)
    return account


def answer_delay(address: str) -> float:
    """Return the seconds to wait before a failed login from this address is answered: more after each, 5 at most.

    Counted in this process, over the last minute or so; the limits above are the ones that all processes share.
    """
    free = 10 if _is_loopback(address) else 1
    return min(5.0, 0.5 * max(0, (_recent.get(address) or 0) - free))


def shut_out(account_ids: Iterable[int]) -> set[int]:
    """Return those of these accounts that may not be logged in any more: gone, disabled, or their domain is."""
    wanted = set(account_ids)
    users = User.objects.filter(pk__in=wanted).select_related("domain")
    return wanted - {user.pk for user in users if user.may_log_in}


def forget() -> None:
    """Forget logins that would be right again: users have changed, or somebody failed."""
    global _settled  # noqa: PLW0603
    _settled = _new_settled()


listen("addresses", forget)
listen("login_failures", forget)


class PasswordBackend(ModelBackend):
    """Django's logins (admin, browsable API) by the same ``verify``."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_kwargs: Any
    ) -> User | None:
        """Return the user, or ``None``; too many failures look like a wrong password."""
        if username is None or password is None:
            return None
        try:
            account = verify(username, password, client_address(request) if request else "127.0.0.1", "web")
        except TooManyFailuresError as error:
            figures.count("login.web.blocked")
            raise PermissionDenied from error
        if account is None:
            figures.count("login.web.failed")
            return None
        figures.count("login.web.succeeded")
        record(
            "login",
            AuditEntry.EventType.AUTHENTICATION,
            request=request,
            user_id=account.id,
            metadata={"protocol": "web"},
        )
        return User.objects.get(pk=account.id)

    def user_can_authenticate(self, user: Any) -> bool:
        """Say whether an open web session may go on: the user or the domain may have been disabled since."""
        return isinstance(user, User) and user.may_log_in


def _new_settled() -> Expiring[bytes, Account]:
    return Expiring(_BELIEVED, _REMEMBERED)


# Login, address and password (their HMAC) that were right, and will be until a user changes or a login fails anywhere.
_settled = _new_settled()
_users, _failures = Watch("addresses"), Watch("login_failures")
# HMACs of proven passwords; who logged in from where; failures by address. In this process only.
_proven: Expiring[bytes, bool] = Expiring(_BELIEVED, _REMEMBERED)
_known: Expiring[tuple[int, str], bool] = Expiring(_KNOWN, _REMEMBERED)
_recent: Expiring[str, int] = Expiring(60.0, _REMEMBERED)
_key = secrets.token_bytes(32)
_turns = threading.BoundedSemaphore(_AT_ONCE)


def _question(login: str, password: str, address: str) -> bytes:
    return hmac.digest(_key, repr((login, address, password)).encode("utf-8", "surrogatepass"), "sha256")


def _find(login: str) -> User | None:
    name = fold(login.strip())
    if not name or printable(name) != name or len(login) > 320:
        return None
    names = Q(username=name)
    if "@" in name:
        with suppress(ValueError):
            names |= Q(email=normalize(login.strip()))
    return User.objects.select_related("domain").filter(names).first()


def _matches(user: User | None, password: str) -> bool:
    """Hash and compare; without an account against a hash that nothing matches, so that it takes as long."""
    usable = user is not None and user.has_usable_password()
    encoded = user.password if user is not None and usable else _nobodys_hash()
    proof = hmac.digest(_key, f"{user.pk if user else 0} {encoded} ".encode() + _octets(password), "sha256")
    if _proven.get(proof):
        return True
    with _turn():
        right = check_password(password, encoded)
    if right and usable:
        _proven.put(proof, True)
    return right and usable


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=_PATIENCE):
        raise TooManyFailuresError(_PATIENCE)
    try:
        yield
    finally:
        _turns.release()


@cache
def _nobodys_hash() -> str:
    return make_password(secrets.token_urlsafe(16))


def _refuse_if_limited(name: str, user: User | None, address: str, now: datetime) -> None:
    lately = LoginFailure.objects.since(now - WINDOW)
    if not lately.exists():
        return  # a server that nobody attacks need not count
    there, account = Q(address=address), Q(login=name)
    counted = lately.filter(there | account).aggregate(
        pair=Count("pk", filter=there & account),
        source=Count("pk", filter=there),
        elsewhere=Count("pk", filter=account & ~there),
    )
    factor = LOOPBACK_FACTOR if _is_loopback(address) else 1
    stranger = user is None or not _known.get((user.pk, address))
    if (
        counted["pair"] >= LIMIT_PAIR * factor
        or counted["source"] >= LIMIT_ADDRESS * factor
        or (stranger and counted["elsewhere"] >= LIMIT_ACCOUNT)
    ):
        raise TooManyFailuresError(WINDOW.total_seconds())


def _failed(name: str, user: User | None, address: str, protocol: str) -> None:
    """Write the failure down, for every process's limiter and for the audit log."""
    _recent.put(address, (_recent.get(address) or 0) + 1)
    with transaction.atomic():
        LoginFailure.objects.create(address=address, login=name, protocol=protocol)
        Generation.objects.bump("login_failures")
        record(
            "login_failed",
            AuditEntry.EventType.AUTHENTICATION,
            source_ip=address,
            # Empty for names that nobody has: the log does not tell typing errors from attacks on nobody (S18).
            user_id=user.pk if user is not None else None,
            severity=AuditEntry.Severity.WARNING,
            outcome=AuditEntry.Outcome.FAILURE,
            metadata={"login": name, "protocol": protocol, "method": "password"},
        )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
