"""Many users at once: each row by itself, so that one bad row stops no other.

Passwords are hashed by two threads, outside of any transaction, while others are saved: 1,000 take about 35 seconds.
That is a thread of the web process for as long, so no more than three lists are worked on at a time.

Each user is saved in a short transaction of its own, with the limits checked there. A rehearsal (``dry_run``) checks
the same and saves nothing: it remembers what the rows before would have taken.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import BoundedSemaphore
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext as _
from rest_framework import serializers

from a3mailer_site.api.errors import ConflictError, UnavailableError, from_django, row_problem
from a3mailer_site.cores import spread
from accounts.limits import Planned, check_limits
from accounts.models import User
from accounts.serializers import NAMES, UserSerializer

# Rows in one request.
MOST_ROWS = 1000
# Lists that one process makes users of at a time. Each has one of the eight threads that answer requests.
_room = BoundedSemaphore(3)
# Two for all requests of a process together: logins hash too.
_hashing = ThreadPoolExecutor(2, thread_name_prefix="bulk-hash", initializer=spread)


@dataclass(slots=True)
class Outcome:
    """What has become of the rows, in their order."""

    results: list[dict[str, Any]] = field(default_factory=list)
    created: int = 0

    @property
    def failed(self) -> int:
        """How many rows are nobody."""
        return len(self.results) - self.created

    def made(self, row: int, user: User | None) -> None:
        """Note a user; in a rehearsal there is none, and so no id."""
        self.created += 1
        self.results.append({"row": row, "status": "created", **({"id": f"user_{user.pk}"} if user else {})})

    def refused(self, row: int, error: Exception) -> None:
        """Note why not."""
        self.results.append({"row": row, "status": "failed", "error": row_problem(error)})


def make_users(rows: list[Any], context: dict[str, Any], save: Callable[[UserSerializer], User]) -> Outcome:
    """Make a user of each row; ``save`` saves one with its audit entry. A row that is an exception has failed already.

    When the database goes away in the middle, the rows that are left fail for that reason: the caller learns which were
    made. Raises ``UnavailableError`` (503) while as many lists are being worked on as there may be.
    """
    if not _room.acquire(blocking=False):
        raise UnavailableError(_("Other lists of users are being worked on. Try again in a moment."))
    try:
        return _make_users(rows, context, save)
    finally:
        _room.release()


def _make_users(rows: list[Any], context: dict[str, Any], save: Callable[[UserSerializer], User]) -> Outcome:
    outcome, away = Outcome(), False
    for number, hashed in enumerate([_hashed(one) for one in _checked(rows, context)], 1):
        try:
            if away:
                raise UnavailableError  # noqa: TRY301 - said of this row, like everything else here
            outcome.made(number, save(hashed()))
        except (OperationalError, InterfaceError) as error:
            away = True
            outcome.refused(number, error)
        except Exception as error:  # noqa: BLE001 - row_problem() raises again what is no answer to the caller
            outcome.refused(number, error)
    return outcome


def rehearse(rows: list[Any], context: dict[str, Any]) -> Outcome:
    """Check each row as if those before it had been saved; saves nothing."""
    outcome, rehearsal = Outcome(), _Rehearsal()
    for number, checked in enumerate(_checked(rows, context), 1):
        try:
            rehearsal.take(checked())
            outcome.made(number, None)
        except Exception as error:  # noqa: BLE001 - as above
            outcome.refused(number, error)
    return outcome


def _checked(rows: list[Any], context: dict[str, Any]) -> Iterator[Callable[[], UserSerializer]]:
    """Give for each row what returns its serializer with valid data, or raises."""
    for row in rows:
        if isinstance(row, Exception):
            yield partial(_fail, row)
            continue
        serializer = UserSerializer(data=row, context={**context, "hashes": False})
        try:
            serializer.is_valid(raise_exception=True)
        except serializers.ValidationError as error:
            yield partial(_fail, error)
        else:
            yield partial(_same, serializer)


def _hashed(checked: Callable[[], UserSerializer]) -> Callable[[], UserSerializer]:
    """Have the password hashed in the background; what is returned waits for that."""
    try:
        serializer = checked()
    except serializers.ValidationError:
        return checked
    hashing = _hashing.submit(make_password, serializer.validated_data["password"])

    def wait() -> UserSerializer:
        serializer.validated_data["password"] = hashing.result()
        return serializer

    return wait


def _fail(error: Exception) -> Any:
    raise error


def _same(serializer: UserSerializer) -> UserSerializer:
    return serializer


@dataclass(slots=True)
class _Rehearsal:
    """Names and places that rows have taken."""

    names: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    planned: Planned = field(default_factory=Planned)

    def take(self, serializer: UserSerializer) -> None:
        """Check a row, and note what it takes."""
        given = dict(serializer.validated_data)
        user, groups = User(), given.pop("groups", None)
        serializer.set_fields(user, given, groups)
        try:
            user.full_clean(exclude=["password"])
            self._check_list(user)
            check_limits(user, self.planned)
        except ValidationError as error:
            raise from_django(error, NAMES) from error
        self.names.add(user.username)
        self.addresses.add(str(user.email))
        self.planned.add(user)

    def _check_list(self, user: User) -> None:
        if user.username in self.names | self.addresses:
            raise ConflictError(_("The name %(name)s is in the list already.") % {"name": user.username})
        if user.email in self.names | self.addresses:
            raise ConflictError(_("The address %(address)s is in the list already.") % {"address": user.email})
