"""What is read ahead is given once, under its owner, and never grows beyond its limit."""

from mailcore.store import readahead
from mailcore.store.readahead import STRIDE, ReadAhead
from mailcore.store.reading import MessageRow


def row(uid):
    return MessageRow(uid, 3, 0, None, None, None, None, None)


def test_what_was_read_ahead_is_given_once_and_to_its_owner_alone():
    ahead = ReadAhead()
    ahead.keep(7, 1, [(row(5), b"abc")], None)
    assert ahead.take(8, 1, 5) is None
    assert ahead.take(7, 2, 5) is None
    assert ahead.take(7, 1, 5) == (row(5), b"abc")
    assert ahead.take(7, 1, 5) is None


def test_a_client_goes_forward_when_it_asks_for_what_comes_soon_after():
    ahead = ReadAhead()
    assert not ahead.goes_forward(7, 1, 100)
    assert ahead.goes_forward(7, 1, 100 + STRIDE)
    assert not ahead.goes_forward(7, 2, 101 + STRIDE)
    assert not ahead.goes_forward(7, 1, 99)
    assert not ahead.goes_forward(7, 1, 100 + STRIDE)
    ahead.keep(7, 1, [(row(200), b"abc")], None)
    ahead.take(7, 1, 200)
    assert ahead.goes_forward(7, 1, 201)


def test_the_oldest_go_when_there_is_no_room(monkeypatch):
    monkeypatch.setattr(readahead, "LIMIT", 7)
    ahead = ReadAhead()
    ahead.keep(7, 1, [(row(uid), b"abc") for uid in (1, 2, 2, 3)], 4)
    assert [uid for uid in (1, 2, 3) if ahead.take(7, 1, uid)] == [2, 3]
    ahead.keep(7, 1, [(row(4), b"abcdefgh")], 5)
    assert ahead.take(7, 1, 4) is None
    assert ahead._size == 0


def test_the_next_are_read_before_the_last_is_given_away_and_by_one_alone():
    ahead = ReadAhead()
    assert ahead.go_on(7, 1, 100) is None  # nobody has read there
    ahead.keep(7, 1, [(row(uid), b"abc") for uid in range(100, 100 + STRIDE)], 100 + STRIDE)
    assert ahead.go_on(7, 1, 99) is None
    assert ahead.go_on(7, 1, 101) == 100 + STRIDE
    assert ahead.go_on(7, 1, 99 + STRIDE) is None  # somebody is reading
    ahead.keep(7, 1, [], None)
    assert ahead.go_on(7, 1, 99 + STRIDE) is None  # there are no more
