"""Compressed connections: order of the layers, slices, bombs, slow readers, the way back."""

import zlib

import pytest
from test_transport import Later, Now, World, lose
from twisted.internet.defer import Deferred

from mailcore.deflate import SLICE, deflate
from mailcore.dialogue import Ask, Close, Send, StartDeflate, StopDeflate
from mailcore.transport import INFLATED_AT_ONCE, PIECE

LINE = b"a NOOP\r\n"


class Peer:
    """The other side: one compressor and one decompressor for the whole connection."""

    def __init__(self, bits=-15):
        self.deflater = zlib.compressobj(9, zlib.DEFLATED, bits)
        self.inflater = zlib.decompressobj(-15)

    def say(self, data, how=zlib.Z_SYNC_FLUSH):
        return self.deflater.compress(data) + self.deflater.flush(how)

    def hear(self, data):
        return self.inflater.decompress(data)


@pytest.fixture
def turns():
    """What waits for the reactor's next turn."""
    return []


@pytest.fixture
def world(turns):
    return World(later=turns.append)


def compressed(world, **replies):
    """A connection that has just agreed on compression."""
    world.replies = {"receive": [Send(b"a OK\r\n"), StartDeflate()], "greet": [Send(b"hello\r\n")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"a COMPRESS DEFLATE\r\n")
    assert wire.value() == b"hello\r\na OK\r\n"
    wire.clear()
    world.replies.clear()
    world.replies.update(replies)
    world.sessions[0].happened.clear()
    return protocol, wire, Peer()


def received(world):
    return [event[1] for event in world.sessions[0].happened if event[0] == "receive"]


def test_both_directions_are_compressed_after_the_last_plain_word(world):
    protocol, wire, peer = compressed(world, receive=lambda data: [Send(b"* echo "), Send(data)])
    for number in range(3):
        line = b"%d NOOP\r\n" % number
        protocol.dataReceived(peer.say(line))
        assert peer.hear(wire.value()) == b"* echo " + line
        wire.clear()
    assert b"".join(received(world)) == b"0 NOOP\r\n1 NOOP\r\n2 NOOP\r\n"


@pytest.mark.parametrize("bits", [-9, -12, -15])
def test_any_window_of_the_client_is_understood(world, bits):
    protocol, _, _ = compressed(world, receive=[])
    peer = Peer(bits)
    text = bytes(range(256)) * 200
    protocol.dataReceived(peer.say(text))
    assert b"".join(received(world)) == text


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_cuts_change_nothing(world, size):
    protocol, wire, peer = compressed(world, receive=lambda data: [Send(data)])
    raw = peer.say(b"x LOGIN\r\n" * 20) + peer.say(LINE)
    for at in range(0, len(raw), size):
        protocol.dataReceived(raw[at : at + size])
    assert peer.hear(wire.value()) == b"x LOGIN\r\n" * 20 + LINE


def test_a_bomb_comes_in_slices_and_goes_no_further_when_the_session_has_enough(world):
    taken = []

    def receive(data):
        taken.append(len(data))
        return [Send(b"* BYE\r\n"), Close()] if sum(taken) > 64 * 1024 else []

    protocol, wire, peer = compressed(world, receive=receive)
    bomb = peer.say(b"x" * 64 * 1024 * 1024)
    assert len(bomb) < 100_000
    protocol.dataReceived(bomb)
    assert max(taken) <= SLICE
    assert sum(taken) <= 64 * 1024 + SLICE
    assert peer.hear(wire.value()) == b"* BYE\r\n"
    assert wire.disconnecting


def test_others_have_their_turn_while_much_is_inflated(world, turns):
    protocol, wire, peer = compressed(world, receive=[])
    protocol.dataReceived(peer.say(b"x" * 3 * INFLATED_AT_ONCE))
    assert wire.paused
    while turns:
        before = sum(map(len, received(world)))
        turns.pop()()
        assert sum(map(len, received(world))) - before <= INFLATED_AT_ONCE + SLICE
    assert sum(map(len, received(world))) == 3 * INFLATED_AT_ONCE
    assert not wire.paused


def test_a_connection_that_is_lost_between_two_turns_takes_no_more(world, turns):
    protocol, _, peer = compressed(world, receive=[])
    protocol.dataReceived(peer.say(b"x" * 2 * INFLATED_AT_ONCE))
    lose(protocol)
    before = len(world.sessions[0].happened)
    turns.pop()()
    assert len(world.sessions[0].happened) == before
    assert turns == []


def test_while_a_question_is_open_nothing_is_inflated(world):
    waiting = Deferred()
    replies = iter([[Ask(Later(waiting))], []])
    protocol, wire, peer = compressed(world, receive=lambda data: next(replies), answer=[Send(b"done\r\n")])
    protocol.dataReceived(peer.say(LINE))
    protocol.dataReceived(peer.say(b"b NOOP\r\n"))
    assert received(world) == [LINE]
    assert wire.paused
    waiting.callback(None)
    assert received(world) == [LINE, b"b NOOP\r\n"]
    assert not wire.paused
    assert peer.hear(wire.value()) == b"done\r\n"


def test_a_question_that_is_answered_at_once_stops_nothing(world):
    protocol, wire, peer = compressed(world, receive=[Ask(Now(1))], answer=[Send(b"ok\r\n")])
    protocol.dataReceived(peer.say(b"x" * 3 * SLICE))
    assert len(received(world)) == 3
    assert peer.hear(wire.value()) == b"ok\r\n" * 3


def test_a_slow_reader_is_waited_for(world):
    protocol, wire, peer = compressed(world, receive=[Send(bytes(range(256)) * (PIECE // 64))])
    wire.full_at = 1
    protocol.dataReceived(peer.say(LINE))
    first = len(peer.hear(wire.value()))
    assert first == PIECE
    for times in range(2, 5):
        wire.clear()
        protocol.resumeProducing()
        assert len(peer.hear(wire.value())) == PIECE, times
    wire.clear()
    protocol.resumeProducing()
    assert wire.value() == b""


@pytest.mark.parametrize("junk", [b"a NOOP\r\n", b"\xff" * 10, b"\x00\x05\x00\x05\x00hello"])
def test_what_is_not_deflate_ends_the_connection(world, junk):
    protocol, wire, _ = compressed(world, receive=[])
    protocol.dataReceived(junk)
    assert wire.aborted
    assert received(world) == []


def test_a_stream_that_ends_unasked_ends_the_connection(world):
    protocol, wire, peer = compressed(world, receive=[])
    protocol.dataReceived(peer.say(LINE, zlib.Z_FINISH) + b"b NOOP\r\n")
    assert received(world) == [LINE]
    assert wire.aborted


# Where a stream ends that is only flushed nobody can see: such a client has to wait for the answer.
@pytest.mark.parametrize(
    ("how", "together"), [(zlib.Z_SYNC_FLUSH, False), (zlib.Z_FINISH, False), (zlib.Z_FINISH, True)]
)
def test_the_way_back_to_plain(world, how, together):
    replies = iter([[Send(b"u OK\r\n"), StopDeflate()], [Send(b"plain\r\n")]])
    protocol, wire, peer = compressed(world, receive=lambda data: next(replies))
    pieces = [peer.say(b"u UNAUTHENTICATE\r\n", how), b"b LOGIN\r\n"]
    for piece in [b"".join(pieces)] if together else pieces:
        protocol.dataReceived(piece)
    assert received(world) == [b"u UNAUTHENTICATE\r\n", b"b LOGIN\r\n"]
    said = peer.inflater.decompress(wire.value()[: -len(b"plain\r\n")])
    assert said == b"u OK\r\n"
    assert wire.value().endswith(b"plain\r\n")


def test_the_way_back_may_take_a_question(world):
    waiting = Deferred()
    replies = iter([[Ask(Later(waiting))], [Send(b"plain\r\n")]])
    protocol, wire, peer = compressed(
        world, receive=lambda data: next(replies), answer=[Send(b"u OK\r\n"), StopDeflate()]
    )
    protocol.dataReceived(peer.say(b"u UNAUTHENTICATE\r\n", zlib.Z_FINISH) + b"b LO")
    protocol.dataReceived(b"GIN\r\n")
    assert not wire.aborted
    waiting.callback(None)
    assert received(world)[1:] == [b"b LOGIN\r\n"]
    assert wire.value().endswith(b"plain\r\n")
    assert not wire.paused


def test_pieces_of_output_are_one_stream_for_the_reader():
    peer = Peer()
    pieces = [b"* 1 FETCH (FLAGS ())\r\n" * count for count in (1, 100, 5000)]
    assert b"".join(peer.hear(deflate(piece)) for piece in pieces) == b"".join(pieces)
    assert len(deflate(pieces[2])) < len(pieces[2]) // 10


def test_octets_are_counted_as_they_are_on_the_wire(world):
    protocol, wire, peer = compressed(world, receive=[Send(b"x" * 10_000)])
    before = protocol.bytes_in, protocol.bytes_out
    raw = peer.say(b"y" * 10_000)
    protocol.dataReceived(raw)
    assert protocol.bytes_in - before[0] == len(raw)
    assert protocol.bytes_out - before[1] == len(wire.value())
