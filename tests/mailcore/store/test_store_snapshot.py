"""Snapshots never change; the next one has exactly what happened."""

from hypothesis import given
from hypothesis import strategies as st

from mailcore.store.keywords import split
from mailcore.store.snapshot import advance, build

UIDS = st.sets(st.integers(1, 60))
ROWS = st.dictionaries(st.integers(1, 60), st.tuples(st.integers(0, 31), st.sampled_from(["", "a", "a b"])))


def as_rows(messages, modseq):
    return [(uid, flags, words, modseq) for uid, (flags, words) in sorted(messages.items())]


def content(snapshot):
    return list(zip(snapshot.uids, snapshot.flags, snapshot.keywords, snapshot.modseqs, strict=True))


def as_content(rows):
    return [(uid, flags, split(words), modseq) for uid, flags, words, modseq in rows]


@given(old=ROWS, changed=ROWS, new=ROWS, gone=UIDS)
def test_the_next_snapshot_has_what_changed_came_and_went(old, changed, new, gone):
    changed = {uid: value for uid, value in changed.items() if uid in old and uid not in gone}
    new = {uid + 100: value for uid, value in new.items()}
    first = build(as_rows(old, 3), 3, 7, 61)
    before = content(first)
    rows = as_rows(changed, 5) + as_rows(new, 5)
    second, step = advance(first, rows, gone, 5, 161)
    kept = {uid: value for uid, value in old.items() if uid not in gone and uid not in changed}
    assert content(second) == as_content(sorted(as_rows(kept, 3) + rows))
    assert content(first) == before
    assert (second.modseq, second.uidvalidity, second.uidnext) == (5, 7, 161)
    assert step == (5, [*sorted(changed), *sorted(new)], sorted(gone & old.keys()))


def test_what_stays_the_same_is_shared():
    first = build(as_rows(dict.fromkeys(range(1, 9), (0, "a")), 1), 1, 1, 9)
    second, _ = advance(first, [(4, 1, "a", 2)], [], 2, 9)
    assert second.uids is first.uids
    assert second.keywords is first.keywords
    third, _ = advance(second, [], [], 3, 9)
    assert third.flags is second.flags


def test_a_position_is_where_the_uid_is():
    snapshot = build(as_rows(dict.fromkeys((2, 5), (0, "")), 1), 1, 1, 9)
    assert [snapshot.position(uid) for uid in (1, 2, 3, 5, 6)] == [-1, 0, -1, 1, -1]
    assert build([], 1, 1, 1).position(1) == -1
