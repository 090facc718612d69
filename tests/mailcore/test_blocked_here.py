"""The block list in the mail process: read off the reactor, read again when it could not be, and what it cuts."""

import pytest
from django.db import OperationalError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from mailcore.blocked import AGAIN_AFTER, BlockedHere
from mailcore.dialogue import LASTING, UnavailableError
from mailcore.transport import Connections, Limits, Server
from security.blocklist import Blocklist, guard

BAD, GOOD = "192.0.2.66", "192.0.2.7"


class Doors:
    """Hands work out to the test, which says when and how it is done."""

    connection = None

    def __init__(self):
        self.asked = []

    def at(self, connection):
        return self

    def database(self, function, *args):
        waiting = Deferred()
        self.asked.append((function, args, waiting))
        return waiting

    def answer(self, value):
        self.asked.pop(0)[2].callback(value)

    def fail(self):
        self.asked.pop(0)[2].errback(Failure(UnavailableError("away")))


class Silent:
    """A session that says nothing."""

    patience = 100.0
    stage = LASTING

    def greet(self):
        return []

    def lost(self):
        return []

    def drain(self):
        return []


class Wire(StringTransport):
    aborted = False

    def abortConnection(self):  # noqa: N802
        self.aborted = True


class Host:
    port = 5

    def __init__(self, host):
        self.host = host


@pytest.fixture
def parts():
    guard.use(Blocklist())
    guard.take_hits()
    doors, clock = Doors(), Clock()
    connections = Connections(lambda: Limits(100, 100), guard.refuses)
    return BlockedHere(clock, doors, connections), doors, clock, connections


def connect(connections, doors, address):
    connection = Server("smtp", lambda peer: Silent(), {}, doors, connections).buildProtocol(Host(address))
    if connection is None:
        return None
    wire = Wire()
    connection.makeConnection(wire)
    return wire


def test_a_new_list_is_in_force_for_new_connections_and_cuts_open_ones(parts):
    here, doors, _clock, connections = parts
    bad, good = connect(connections, doors, BAD), connect(connections, doors, GOOD)
    mapped = connect(connections, doors, f"::ffff:{BAD}")
    here.changed()
    assert not bad.aborted
    doors.answer(Blocklist([("192.0.2.64/30", None)]))
    assert (bad.aborted, mapped.aborted, good.aborted) == (True, True, False)
    assert connect(connections, doors, BAD) is None
    assert connect(connections, doors, f"::ffff:{BAD}") is None
    assert connect(connections, doors, GOOD) is not None


def test_what_changes_while_the_list_is_read_is_read_afterwards(parts):
    here, doors, _clock, _connections = parts
    here.changed()
    here.changed()
    here.changed()
    assert len(doors.asked) == 1
    doors.answer(Blocklist())
    assert len(doors.asked) == 1
    doors.answer(Blocklist([(BAD, None)]))
    assert doors.asked == []
    assert guard.covers(BAD)


def test_without_a_database_the_last_list_holds_and_it_is_asked_again(parts):
    here, doors, clock, _connections = parts
    guard.use(Blocklist([(BAD, None)]))
    here.changed()
    for _ in range(3):
        doors.fail()
        assert guard.covers(BAD)
        assert doors.asked == []
        clock.advance(AGAIN_AFTER)
    doors.answer(Blocklist())
    assert not guard.covers(BAD)


def test_hits_are_written_down_and_kept_when_they_cannot_be(parts):
    here, doors, _clock, connections = parts
    assert here.write_down() is None
    guard.use(Blocklist([(BAD, None)]))
    for _ in range(3):
        connect(connections, doors, BAD)
    here.write_down()
    ((_function, (hits,), _waiting),) = doors.asked
    assert hits[BAD][0] == 3
    connect(connections, doors, BAD)
    doors.fail()
    here.write_down()
    assert doors.asked[0][1][0][BAD][0] == 4


def test_a_start_without_a_database_goes_on_without_a_list(parts):
    here, _doors, _clock, _connections = parts

    def away():
        raise OperationalError("away")

    here._read = away
    here.read_now()
    assert not guard.covers(BAD)


@pytest.mark.django_db(transaction=True)
def test_the_list_is_read_at_the_start_before_the_reactor_runs(parts):
    from security.models import BlockedAddress

    BlockedAddress.objects.create(network=BAD)
    here, doors, _clock, connections = parts
    here.read_now()
    assert doors.asked == []
    assert connect(connections, doors, BAD) is None


def test_many_open_connections_are_looked_at_in_little_time(parts):
    """It runs in the reactor's thread, between two clients."""
    import time

    here, doors, _clock, connections = parts
    for n in range(2000):
        connect(connections, doors, f"10.0.{n >> 8}.{n & 255}") or pytest.fail("refused")
        connections._by_address.clear()
        if n > 90:
            connections._limits = lambda: Limits(10_000, 10_000)
    blocks = Blocklist([(f"172.16.{n >> 8}.{n & 255}", None) for n in range(5000)])
    doors.database = lambda function: succeed(blocks)
    start = time.thread_time()
    here.changed()
    assert time.thread_time() - start < 0.1  # 15 ms of CPU here; 50 ms are what one step may take
