"""Caches bounded in bytes: what they keep, what goes, what is counted, and a limit that changes while they are used."""

import itertools
import threading
import tracemalloc

import pytest

from a3mailer_site import caches
from a3mailer_site.caches import SAMPLE, Allotment, Cache, part_of, resize
from a3mailer_site.figures import figures
from a3mailer_site.live import live, set_live
from a3mailer_site.models import Setting
from accounts import addresses
from accounts.addresses import LocalUser

# No two caches of all tests have one name: figures are never forgotten.
_names = itertools.count()


@pytest.fixture
def made(monkeypatch):
    """Makes a cache that has half of all memory; every entry has 10 bytes."""
    monkeypatch.setattr(caches, "_allotments", [])
    before = caches.in_force()

    def make(capacity=100, size_of=lambda key, value: 10):
        resize(2 * capacity)
        box = []
        allotment = Allotment(f"test{next(_names)}-", 0.5, lambda: box)
        box.append(Cache(allotment, size_of))
        return box[0]

    yield make
    resize(before)


def counters(cache):
    name = f"cache.{cache._allotment.name}"
    return {
        key.removeprefix(f"{name}."): n for key, n in figures.snapshot()["counters"].items() if key.startswith(name)
    }


def gauges(cache):
    name = f"cache.{cache._allotment.name}"
    return {key.removeprefix(f"{name}."): n for key, n in figures.snapshot()["gauges"].items() if key.startswith(name)}


def test_what_is_larger_than_the_whole_cache_is_not_kept(made):
    cache = made(capacity=9)
    cache.put("a", 1)
    assert cache.get("a") is None
    assert (len(cache), cache.bytes) == (0, 0)
    assert counters(cache) == {}


def test_the_oldest_goes_when_there_is_no_room(made):
    cache = made(capacity=35)
    for key in "abcd":
        cache.put(key, key)
    assert [cache.get(key) for key in "abcd"] == [None, "b", "c", "d"]
    assert cache.bytes == 30
    assert counters(cache) == {"insertions": 4, "evictions": 1}


def test_putting_again_makes_it_the_youngest_and_counts_its_bytes_once(made):
    cache = made(capacity=20)
    cache.put("a", 1)
    cache.put("b", 1)
    cache.put("a", 2)
    assert cache.bytes == 20
    cache.put("c", 1)
    assert [cache.get(key) for key in "abc"] == [2, None, 1]


def test_one_large_entry_takes_the_place_of_many_small_ones(made):
    cache = made(capacity=100, size_of=lambda key, value: value)
    for number in range(10):
        cache.put(number, 10)
    cache.put("large", 95)
    assert len(cache) == 1
    assert counters(cache)["evictions"] == 10


def test_a_lower_limit_holds_at_once_and_a_higher_one_too(made):
    cache = made(capacity=100)
    for number in range(10):
        cache.put(number, number)
    resize(2 * 55)
    assert (len(cache), cache.bytes) == (5, 50)
    assert [cache.get(number) for number in range(10)] == [None] * 5 + [5, 6, 7, 8, 9]
    assert gauges(cache) == {"capacity": 55, "bytes": 50, "entries": 5}
    resize(2 * 100)
    for number in range(10):
        cache.put(number, number)
    assert len(cache) == 10
    assert figures.snapshot()["gauges"]["cache.capacity"] == 200


def test_lookups_are_counted_and_one_in_so_many_is_timed(made):
    cache = made()
    allotment = cache._allotment
    for _ in range(SAMPLE):
        allotment.hit(allotment.begin())
    for _ in range(SAMPLE):
        allotment.miss(allotment.begin())
    assert counters(cache) == {"hits": SAMPLE, "misses": SAMPLE}
    assert sum(figures.snapshot()["timings"][f"cache.{allotment.name}.lookup"][:-1]) == 2


def test_threads_may_fill_and_shrink_it_together(made):
    cache = made(capacity=1000)

    def fill(which):
        for number in range(2000):
            cache.put((which, number % 300), number)
            cache.get((which, number % 7))

    threads = [threading.Thread(target=fill, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for capacity in range(50, 1000, 10):
        resize(2 * capacity)
    for thread in threads:
        thread.join()
    assert cache.bytes == 10 * len(cache) <= 1000


def test_the_parts_of_all_processes_make_a_whole():
    for count in (1, 3):
        whole = count * part_of("mail", count) + part_of("web", count) + part_of("worker", count)
        assert whole == pytest.approx(1)


def test_the_size_of_an_address_is_estimated_well():
    """What the limit says must be about what the process takes, or it would be no limit."""
    directory = addresses._Directory()
    tracemalloc.start()
    for number in range(20_000):
        name = f"somebody.{number}@example.com"
        directory.users.put(name, addresses._Entry(True, LocalUser(number + 10**6, name, 0)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(directory.users) == 20_000
    assert 0.6 * taken < directory.users.bytes < 1.7 * taken


@pytest.mark.django_db
def test_settings_are_read_once_and_again_after_a_change(django_assert_num_queries):
    set_live("colour", {"name": "red"})
    live("colour", None)
    before = figures.snapshot()["counters"]
    with django_assert_num_queries(0):
        assert live("colour", None) == {"name": "red"}
        assert live("taste", "sweet") == "sweet"
    after = figures.snapshot()["counters"]
    assert after["cache.settings.hits"] == before.get("cache.settings.hits", 0) + 2
    set_live("colour", "blue")
    assert live("colour", None) == "blue"
    Setting.objects.get(name="colour").delete()
    assert live("colour", "none") == "none"


@pytest.mark.django_db
def test_settings_without_any_memory_are_read_each_time():
    before = caches.in_force()
    resize(0)
    try:
        set_live("colour", "red")
        assert [live("colour", None) for _ in range(2)] == ["red", "red"]
    finally:
        resize(before)
