"""``blockip``, ``unblock``, ``expireblocks``: refusals, results, a second run, a run beside itself."""

import io
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from security.models import AllowedNetwork, AuditEntry, BlockedAddress


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    assert out.getvalue().count("\n") == 1
    return out.getvalue().strip()


def beside_itself(*arguments, times=4):
    said, failures = [], []

    def work():
        try:
            said.append(run(*arguments))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    return sorted(said)


@pytest.mark.django_db
class TestBlockip:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["nobody"], "neither"),
            (["192.0.2.1\n"], "neither"),
            (["192.0.2.1/99"], "neither"),
            (["127.0.0.2"], "loopback"),
            (["127.0.0.1", "--force"], "loopback"),
            (["::1", "--force"], "loopback"),
            (["127.0.0.0/16", "--force"], "loopback"),
            (["10.0.0.0/8"], "/16"),
            (["198.51.100.7"], "allow-list"),
            (["203.0.113.1", "--duration", "0"], "duration"),
            (["203.0.113.1", "--duration", "-5"], "duration"),
            (["203.0.113.1", "--duration", "999999999999"], "duration"),
            (["203.0.113.1", "--reason", "a\nb"], "printable"),
            (["203.0.113.1", "--reason", "x" * 256], "255"),
        ],
    )
    def test_what_is_refused(self, arguments, says):
        AllowedNetwork.objects.create(network="198.51.100.0/24")
        with pytest.raises(CommandError, match=f"blockip: .*{says}"):
            run("blockip", *arguments)
        assert not BlockedAddress.objects.exists()

    def test_what_is_done_and_a_second_time(self):
        assert run("blockip", "203.0.113.9/24", "--dry-run").startswith("blockip: 203.0.113.0/24 is blocked until ")
        assert not BlockedAddress.objects.exists()
        said = run("blockip", "203.0.113.9/24", "--reason", "scans", "--duration", "60")
        row = BlockedAddress.objects.get()
        assert said == f"blockip: 203.0.113.0/24 is blocked until {row.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        assert (row.reason, row.source, row.expires_at - row.blocked_at) == ("scans", "command", timedelta(minutes=1))
        assert run("blockip", "203.0.113.0/24", "--permanent") == "blockip: 203.0.113.0/24 is blocked already"
        assert run("blockip", "127.8.8.8", "--force", "--permanent") == "blockip: 127.8.8.8 is blocked for good"
        assert AuditEntry.objects.filter(action="address_blocked").count() == 2


@pytest.mark.django_db
class TestUnblock:
    def test_an_address_is_let_out_of_every_block_around_it(self):
        for network in ("192.0.2.1", "192.0.2.0/24", "192.0.0.0/16", "192.0.2.2", "2001:db8::/32"):
            BlockedAddress.objects.create(network=network)
        assert run("unblock", "192.0.2.1", "--dry-run") == "unblock: 3 lifted (dry run)"
        assert run("unblock", "::ffff:192.0.2.1") == "unblock: 3 lifted"
        assert run("unblock", "192.0.2.1") == "unblock: 0 lifted"
        assert set(BlockedAddress.objects.values_list("network", flat=True)) == {"192.0.2.2", "2001:db8::/32"}
        assert AuditEntry.objects.filter(action="address_unblocked", metadata__source="command").count() == 3

    def test_a_network_is_that_one_only(self):
        for network in ("192.0.2.0/24", "192.0.0.0/16"):
            BlockedAddress.objects.create(network=network)
        assert run("unblock", "192.0.2.0/24") == "unblock: 1 lifted"
        assert BlockedAddress.objects.get().network == "192.0.0.0/16"

    @pytest.mark.parametrize("address", ["", "nobody", "192.0.2.1;", "1" * 5000])
    def test_what_is_no_address(self, address):
        with pytest.raises(CommandError, match="unblock: "):
            run("unblock", address)


@pytest.mark.django_db
def test_expireblocks_forgets_what_is_over_and_a_second_time_nothing():
    now = timezone.now()
    BlockedAddress.objects.create(network="192.0.2.1", expires_at=now - timedelta(seconds=1))
    BlockedAddress.objects.create(network="192.0.2.2", expires_at=now + timedelta(hours=1))
    BlockedAddress.objects.create(network="192.0.2.3")
    assert run("expireblocks", "--dry-run") == "expireblocks: 1 deleted (dry run)"
    assert run("expireblocks") == "expireblocks: 1 deleted"
    assert run("expireblocks") == "expireblocks: 0 deleted"
    assert BlockedAddress.objects.count() == 2


@pytest.mark.django_db(transaction=True)
class TestBesideThemselves:
    def test_blockip_blocks_once(self):
        said = beside_itself("blockip", "203.0.113.1", "--permanent")
        assert said.count("blockip: 203.0.113.1 is blocked for good") == 1
        assert said.count("blockip: 203.0.113.1 is blocked already") == 3
        assert BlockedAddress.objects.count() == AuditEntry.objects.count() == 1

    def test_unblock_lifts_once(self):
        BlockedAddress.objects.create(network="192.0.2.1")
        assert sorted({*beside_itself("unblock", "192.0.2.1")}) in (
            ["unblock: 0 lifted", "unblock: 1 lifted"],
            ["unblock: 1 lifted"],
        )
        assert not BlockedAddress.objects.exists()
        assert AuditEntry.objects.filter(action="address_unblocked").count() == 1

    def test_expireblocks_counts_each_once(self):
        over = timezone.now() - timedelta(seconds=1)
        for n in range(20):
            BlockedAddress.objects.create(network=f"192.0.2.{n}", expires_at=over)
        said = beside_itself("expireblocks")
        assert sum(int(text.split()[1]) for text in said) == 20
        assert not BlockedAddress.objects.exists()

    def test_purgefailures_counts_each_once(self):
        from security.models import LoginFailure

        LoginFailure.objects.bulk_create(
            LoginFailure(address="192.0.2.1", login="x", protocol="imap", at=timezone.now() - timedelta(days=31))
            for _ in range(20)
        )
        said = beside_itself("purgefailures")
        assert sum(int(text.split()[1]) for text in said) == 20
        assert run("purgefailures") == "purgefailures: 0 deleted"
