"""Bodies that no mailbox and no queue refers to any more: rows, then files; and files whose transaction failed.

Removing a message only removes its row in the mailbox, as others may share the body. Nothing younger than an hour is
touched: it may belong to a transaction that has not committed yet. The work is done in small transactions with pauses
between, so mail goes on meanwhile; doing it twice, or twice at once, does no harm.
"""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.core.files.storage import storages
from django.db import connection, transaction

from a3mailer_site.ids import first_id_at, from_text
from mailcore.store.models import SearchEntry, Structure
from mailcore.store.uidsets import among
from mailqueue.bodies import delete_file
from mailqueue.models import Body

# What is known of a body, and goes with it.
_COMPANIONS = (Structure, SearchEntry)
# Seconds that a body is left alone after it was made.
GRACE = 3600
# Bodies looked at with one statement, and deleted in one transaction.
PAGE = 2000
BATCH = 200
PAUSE = 0.005  # seconds between two transactions


class Pruned(NamedTuple):
    """What was deleted, or would be: bodies, their size in bytes, and files that belonged to no body."""

    bodies: int
    size: int
    orphans: int


class _Unwanted(NamedTuple):
    """A body that nothing refers to."""

    id: int
    size: int
    in_file: bool


def prune(now: float, *, dry_run: bool = False) -> Pruned:
    """Delete what nothing refers to and was made more than an hour before ``now`` (Unix time in seconds)."""
    before = first_id_at(now - GRACE)
    bodies = size = 0
    for page in _pages(before):
        unwanted = _unwanted(page)
        for begin in range(0, len(unwanted), BATCH):
            part = unwanted[begin : begin + BATCH]
            if not dry_run:
                part = _delete([body.id for body in part])
                time.sleep(PAUSE)
            bodies += len(part)
            size += sum(body.size for body in part)
    return Pruned(bodies, size, sum(_prune_files(ids, dry_run=dry_run) for ids in _files(before)))


def _pages(before: int) -> Iterator[list[int]]:
    last = -1
    while True:
        old = Body.objects.filter(id__gt=last, id__lt=before).order_by("id")
        page = list(old.values_list("id", flat=True)[:PAGE])
        if page:
            yield page
            last = page[-1]
        if len(page) < PAGE:
            return


def _unwanted(ids: Sequence[int]) -> list[_Unwanted]:
    """Return those of these bodies (ids ascending) that nothing refers to but what is known of them."""
    where = among(ids, "b.id")
    references = " ".join(
        f'AND NOT EXISTS (SELECT 1 FROM "{relation.related_model._meta.db_table}" r '  # noqa: S608 - our own models
        f"WHERE r.{relation.field.column} = b.id)"
        for relation in Body._meta.related_objects
        if relation.related_model not in _COMPANIONS
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT b.id, b.size, b.data IS NULL FROM "{Body._meta.db_table}" b WHERE {where.sql} {references}',  # noqa: S608
            where.parameters,
        )
        return [_Unwanted(id_, size, bool(in_file)) for id_, size, in_file in cursor.fetchall()]


def _delete(ids: Sequence[int]) -> list[_Unwanted]:
    """Delete these bodies, unless something has come to refer to one; files go once that has been committed."""
    with transaction.atomic():
        gone = _unwanted(ids)
        where = among([body.id for body in gone], "id")
        theirs = among([body.id for body in gone], "body_id")
        with connection.cursor() as cursor:
            for model in _COMPANIONS:
                cursor.execute(f'DELETE FROM "{model._meta.db_table}" WHERE {theirs.sql}', theirs.parameters)  # noqa: S608
            cursor.execute(f'DELETE FROM "{Body._meta.db_table}" WHERE {where.sql}', where.parameters)  # noqa: S608
    for body in gone:
        if body.in_file:
            delete_file(body.id)
    return gone


def _files(before: int) -> Iterator[list[int]]:
    """Give the ids of all old body files there are, a directory at a time, ascending."""
    storage = storages["bodies"]
    try:
        directories = storage.listdir("")[0]
    except FileNotFoundError:  # no large body has come yet
        return
    for directory in directories:
        ids = sorted(_ids(storage.listdir(directory)[1]))
        for begin in range(0, len(ids), BATCH):
            yield [id_ for id_ in ids[begin : begin + BATCH] if id_ < before]


def _ids(names: Sequence[str]) -> Iterator[int]:
    for name in names:
        try:
            yield from_text(name)
        except ValueError:  # not ours
            continue


def _prune_files(ids: Sequence[int], *, dry_run: bool) -> int:
    known = set(Body.objects.filter(id__in=ids).values_list("id", flat=True))
    orphans = [id_ for id_ in ids if id_ not in known]
    if not dry_run:
        for id_ in orphans:
            delete_file(id_)
    return len(orphans)
