"""Columns and bodies, in slices, and only to their owner."""

import mmap
import time

import pytest

from mailcore.message.summary import summarize
from mailcore.store import reading
from mailcore.store.changes import Expunge
from mailcore.store.commit import run
from mailcore.store.pruning import GRACE, prune
from mailqueue.bodies import ROW_LIMIT
from tests.mailcore.store.samples import append, make_user, message

pytestmark = pytest.mark.django_db

LARGE = message(body=b"0123456789abcdef\r\n" * 4096)


@pytest.fixture
def contents(user, inbox):
    assert len(LARGE) > ROW_LIMIT
    found = [message(b"one"), LARGE, message(b"three")]
    append(user, inbox, *found, internal_date=77)
    return found


def test_nobody_reads_the_messages_of_another(user, inbox, contents):
    other = make_user()
    assert reading.overview(other, inbox, [1, 2, 3], envelope=True) == ([], 3)
    assert [list(found) for found in reading.sizes(other, inbox)] == [[], []]
    assert list(reading.bodies(other, inbox, [1, 2, 3])) == []
    assert reading.read_piece(other, inbox, 1, 0, 10) is None


def test_an_overview_has_what_was_asked_for(user, inbox, contents):
    run(Expunge(user, inbox, [2], flagged_only=False))
    rows, done = reading.overview(user, inbox, [1, 2, 3], envelope=True, structure=True, headers=True)
    assert done == 3
    for row, (uid, content) in zip(rows, [(1, contents[0]), (3, contents[2])], strict=True):
        told = reading.MessageRow(*row)
        summary = summarize(content)
        assert (told.uid, told.size, told.internal_date) == (uid, len(content), 77)
        assert (told.envelope, told.structure, told.headers) == (
            summary.envelope,
            summary.bodystructure,
            summary.fields,
        )
        assert (told.plain_structure, told.sections) == (None, None)
    assert reading.overview(user, inbox, [3])[0] == [(3, len(contents[2]), 77, None, None, None, None, None)]


def test_an_answer_stops_growing_and_goes_on_where_it_stopped(user, inbox, monkeypatch):
    append(user, inbox, *[message(b"s" * 500) for _ in range(50)])
    monkeypatch.setattr(reading, "ANSWER_LIMIT", 5000)
    monkeypatch.setattr(reading, "_FIRST_ROWS", 3)
    wanted, seen, rounds = list(range(1, 51)), [], 0
    while wanted:
        rows, done = reading.overview(user, inbox, wanted, headers=True)
        assert 1 <= done < 20
        seen += [row[0] for row in rows]
        wanted = wanted[done:]
        rounds += 1
    assert seen == list(range(1, 51))
    assert rounds > 3


def test_bodies_come_back_byte_for_byte_and_large_ones_are_mapped(user, inbox, contents, monkeypatch):
    monkeypatch.setattr(reading, "ANSWER_LIMIT", 1)
    monkeypatch.setattr(reading, "_MAPPED_FROM", len(contents[1]) - 1)
    got = list(reading.bodies(user, inbox, [1, 2, 3, 4]))
    assert [row.uid for row, _ in got] == [1, 2, 3]
    assert [octets[:] for _, octets in got] == contents
    assert isinstance(got[1][1], mmap.mmap)


@pytest.mark.parametrize("uid", [1, 2])
def test_pieces_make_the_whole(user, inbox, contents, uid):
    whole = contents[uid - 1]
    step = len(whole) // 3 + 1
    pieces = [reading.read_piece(user, inbox, uid, offset, step) for offset in range(0, len(whole), step)]
    assert b"".join(pieces) == whole
    assert reading.read_piece(user, inbox, uid, len(whole), 10) == b""
    assert reading.read_piece(user, inbox, 99, 0, 10) is None


def test_what_is_expunged_while_it_is_read_is_read_to_its_end(user, inbox, contents):
    # RFC 2180 section 4.1
    half = len(LARGE) // 2
    pieces = [reading.read_piece(user, inbox, 2, 0, half)]
    run(Expunge(user, inbox, [1, 2], flagged_only=False))
    pieces.append(reading.read_piece(user, inbox, 2, half, half + 1))
    assert b"".join(pieces) == LARGE
    assert reading.read_piece(user, inbox, 2, len(LARGE), 10) == b""
    # Nobody begins to read it, and no other message is taken for it.
    assert reading.read_piece(user, inbox, 2, 0, 10) is None
    assert reading.read_piece(user, inbox, 1, 10, 10) is None
    assert reading.read_piece(make_user(), inbox, 2, half, 10) is None


def test_what_is_expunged_can_be_read_no_longer_than_it_is_kept(user, inbox, contents):
    reading.read_piece(user, inbox, 2, 0, 10)
    run(Expunge(user, inbox, [2], flagged_only=False))
    prune(time.time() + 2 * GRACE)
    assert reading.read_piece(user, inbox, 2, 10, 10) is None


def test_a_maildrop_lists_uids_and_sizes(user, inbox, contents):
    uids, octets = reading.sizes(user, inbox)
    assert list(uids) == list(range(1, len(contents) + 1))
    assert list(octets) == [len(content) for content in contents]
    assert [list(found) for found in reading.sizes(user, inbox, after=1)] == [list(uids[1:]), list(octets[1:])]
    assert reading.whole(user, inbox, list(uids)) == dict(enumerate(contents, 1))
