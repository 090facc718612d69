"""The one rule: who is kept out, who never is, and what holds without a database."""

import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from a3mailer_site import env
from security import blocklist
from security.blocklist import Blocklist, guard, look, read, write_down
from security.models import AllowedNetwork, BlockedAddress

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.100", "192.0.2.100"),
        ("::ffff:192.0.2.100", "192.0.2.100"),
        ("192.0.2.101", None),
        ("198.51.100.7", "198.51.100.0/24"),
        ("198.51.101.7", None),
        ("2001:db8:0:0::1", "2001:db8::/64"),
        ("2001:DB8::2", "2001:db8::/64"),
        ("2001:db8:1::1", None),
        ("192.0.2.7", None),
        ("192.0.2.8", "192.0.2.8"),
        ("not an address", None),
        ("", None),
    ],
)
def test_an_address_is_kept_out_by_what_it_lies_in(address, block):
    blocks = [
        ("192.0.2.100", None),
        ("198.51.100.0/24", NOW + 1),
        ("2001:db8::/64", None),
        ("192.0.2.7", NOW),
        ("192.0.2.8", NOW + 0.001),
    ]
    assert Blocklist(blocks).covering(address, NOW) == block


def test_a_block_ends_by_itself_and_a_wider_one_goes_on():
    blocks = Blocklist([("192.0.2.1", NOW + 10), ("192.0.2.0/24", NOW + 20)])
    assert blocks.covering("192.0.2.1", NOW) in {"192.0.2.1", "192.0.2.0/24"}
    assert blocks.covering("192.0.2.1", NOW + 15) == "192.0.2.0/24"
    assert blocks.covering("192.0.2.1", NOW + 20) is None


def test_the_allow_list_wins_over_every_block():
    blocks = Blocklist([("192.0.2.0/24", None), ("127.0.0.0/8", None)], ["192.0.2.7", "127.0.0.1"])
    assert blocks.covering("192.0.2.7", NOW) is None
    assert blocks.covering("192.0.2.8", NOW) == "192.0.2.0/24"
    assert blocks.covering("127.0.0.1", NOW) is None
    assert blocks.covering("127.0.0.2", NOW) == "127.0.0.0/8"


@pytest.mark.django_db
class TestInTheDatabase:
    def test_what_is_read_is_what_is_in_force(self, django_assert_num_queries, monkeypatch):
        import dataclasses

        monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), trusted_proxies="203.0.113.9"))
        now = timezone.now()
        for network, end in [
            ("192.0.2.1", None),
            ("192.0.2.2", now + timedelta(hours=1)),
            ("192.0.2.3", now - timedelta(seconds=1)),
            ("203.0.113.0/24", None),
            ("127.0.0.1", None),
            ("::1", None),
        ]:
            BlockedAddress.objects.create(network=network, expires_at=end)
        AllowedNetwork.objects.create(network="203.0.113.8")
        with django_assert_num_queries(1):
            blocks = read(now)
        at = now.timestamp()
        assert [blocks.covering(f"192.0.2.{n}", at) is not None for n in (1, 2, 3, 4)] == [True, True, False, False]
        assert [blocks.covering(f"203.0.113.{n}", at) is not None for n in (7, 8, 9)] == [True, False, False]
        # This machine always gets in, whatever is in the table.
        assert blocks.covering("127.0.0.1", at) is blocks.covering("::1", at) is None

    def test_a_row_more_is_seen_at_the_next_look_and_a_row_less_too(self):
        look()
        assert not guard.covers("192.0.2.1")
        row = BlockedAddress.objects.create(network="192.0.2.1")
        look()
        assert guard.covers("192.0.2.1")
        row.delete()
        look()
        assert not guard.covers("192.0.2.1")

    def test_hits_are_counted_in_memory_and_added_to_the_row(self):
        BlockedAddress.objects.create(network="192.0.2.0/24")
        look()
        before = timezone.now()
        assert [guard.refuses(f"192.0.2.{n}") for n in (1, 2, 2)] == [True] * 3
        assert not guard.refuses("198.51.100.1")
        assert BlockedAddress.objects.get().hits == 0
        write_down(at_once=True)
        row = BlockedAddress.objects.get()
        assert row.hits == 3
        assert before - timedelta(seconds=1) <= row.last_seen <= timezone.now()
        write_down(at_once=True)
        assert BlockedAddress.objects.get().hits == 3

    def test_writing_hits_down_makes_nobody_read_the_list_anew(self):
        from a3mailer_site.models import Generation

        BlockedAddress.objects.create(network="192.0.2.0/24")
        look()
        before = Generation.objects.get(name="blocks").value
        guard.refuses("192.0.2.1")
        write_down(at_once=True)
        assert Generation.objects.get(name="blocks").value == before

    def test_of_two_who_read_at_once_the_slower_one_does_not_win(self, monkeypatch):
        def slow():
            old = read()
            BlockedAddress.objects.create(network="192.0.2.1")
            look()  # another thread, which has heard of the new row
            return old

        with monkeypatch.context() as patch:
            patch.setattr(blocklist, "read", slow)
            blocklist.forget()
            look()
        look()
        assert guard.covers("192.0.2.1")

    def test_without_a_database_the_last_list_holds_and_hits_wait(self, monkeypatch):
        BlockedAddress.objects.create(network="192.0.2.1")
        look()

        def away(*args):
            raise OperationalError("away")

        asked = []
        with monkeypatch.context() as patch:
            patch.setattr(blocklist, "read", lambda: asked.append(1) or away())
            patch.setattr(blocklist, "write_hits", away)
            blocklist.forget()
            look()
            look()
            assert guard.refuses("192.0.2.1")
            write_down(at_once=True)
            assert asked == [1]  # and it is not asked again for a while
        monkeypatch.setattr(blocklist._looks, "not_before", 0.0)
        look()
        assert guard.covers("192.0.2.1")
        write_down(at_once=True)
        assert BlockedAddress.objects.get().hits == 1


@pytest.mark.parametrize("count", [10, 20_000])
def test_asking_costs_the_same_for_many_blocks_as_for_few(count):
    blocks = Blocklist([(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", None) for n in range(count)])
    start = time.thread_time()
    for _ in range(2000):
        blocks.covering("192.0.2.1", NOW)
    assert time.thread_time() - start < 1.0  # 5 ms here
