"""The transport with a scripted session and a transport in memory."""

from dataclasses import dataclass

import pytest
import structlog
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from a3mailer_site.figures import figures
from mailcore.dialogue import LASTING, Ask, Close, Peer, Question, Send, StartTls, TlsFacts, UnavailableError
from mailcore.proxy_header import SIGNATURE
from mailcore.transport import (
    CLOSE_PATIENCE,
    HANDSHAKE_PATIENCE,
    PIECE,
    PROXY_PATIENCE,
    WRITE_PATIENCE,
    Connection,
    Connections,
    Limits,
    Refusal,
    Server,
    plain_address,
)

MANY = Limits(100, 10)
BYE = b"421 too many\r\n"


@dataclass(frozen=True)
class Now(Question):
    """Answered at once."""

    value: object = None


@dataclass(frozen=True)
class Later(Question):
    """Answered when the test says so."""

    deferred: object


@dataclass(frozen=True)
class Wrong(Question):
    """Its answer fails."""

    error: Exception


class FakeDoors:
    connection = None

    def at(self, connection):
        doors = FakeDoors()
        doors.connection = connection
        return doors


async def now(question, doors):
    return question.value


async def later(question, doors):
    return await question.deferred


async def wrong(question, doors):
    raise question.error


ANSWERS = {Now: now, Later: later, Wrong: wrong}


class Script:
    """A session that answers what it gets with prepared actions, and writes down what happens to it."""

    patience = 100.0
    stage = LASTING

    def __init__(self, peer, replies):
        self.peer = peer
        self.replies = replies
        self.happened = []

    def _next(self, name, *facts):
        self.happened.append((name, *facts))
        reply = self.replies.get(name, [])
        if isinstance(reply, Exception):
            raise reply
        return list(reply(*facts) if callable(reply) else reply)

    def greet(self):
        return self._next("greet")

    def receive(self, data):
        return self._next("receive", data)

    def answer(self, value):
        return self._next("answer", value)

    def failed(self, error):
        return self._next("failed", error)

    def tls_started(self, facts):
        return self._next("tls_started", facts)

    def timed_out(self):
        return self._next("timed_out")

    def waiting(self):
        return self._next("waiting")

    def drain(self):
        return self._next("drain")

    def lost(self):
        return self._next("lost")

    def notice(self, news):
        return self._next("notice", news)


class Wire(StringTransport):
    """Records, and is full when the test says so."""

    full_at = 10**9
    aborted = False
    started_tls = None

    def write(self, data):
        super().write(data)
        if len(self.value()) >= self.full_at and self.producer:
            self.producer.pauseProducing()

    def abortConnection(self):  # noqa: N802
        self.aborted = True

    def startTLS(self, creator):  # noqa: N802
        self.started_tls = creator

    def getHandle(self):  # noqa: N802
        return Handle()

    @property
    def paused(self):
        return self.producerState == "paused"


class Handle:
    def get_servername(self):
        return b"mail.example.com"

    def get_protocol_version_name(self):
        return "TLSv1.3"

    def get_cipher_name(self):
        return "TLS_AES_256_GCM_SHA384"


class World:
    def __init__(self, limits=MANY, **server):
        self.sessions = []
        self.connections = Connections(lambda: limits, lambda address: address == "192.0.2.66")
        self.replies = {}
        self.server = Server(
            server.pop("name", "smtp"),
            self._session,
            ANSWERS,
            FakeDoors(),
            self.connections,
            tls=object(),
            refusal=BYE,
            **server,
        )

    def _session(self, peer):
        self.sessions.append(Script(peer, self.replies))
        return self.sessions[-1]

    def connect(self, host="192.0.2.1", wire=None):
        protocol = self.server.buildProtocol(IPv4Address("TCP", host, 4000))
        if protocol is None:
            return None, None
        wire = wire or Wire()
        protocol.makeConnection(wire)
        return protocol, wire

    def happened(self, which=0):
        return [event[0] for event in self.sessions[which].happened]


@pytest.fixture
def world():
    return World()


def lose(protocol):
    protocol.connectionLost(Failure(ConnectionDone()))


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:0201", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_addresses_have_one_form(host, plain):
    assert plain_address(host) == plain


def test_a_blocked_address_gets_no_connection(world):
    assert world.server.buildProtocol(IPv4Address("TCP", "192.0.2.66", 1)) is None


@pytest.mark.parametrize("limits", [Limits(2, 10), Limits(10, 2)])
def test_one_connection_too_many_is_refused_in_words_and_the_next_one_fits_again(limits):
    world = World(limits)
    first, _ = world.connect()
    world.connect()
    protocol, wire = world.connect()
    assert isinstance(protocol, Refusal)
    assert wire.value() == BYE
    assert wire.disconnecting
    assert len(world.sessions) == 2
    lose(first)
    assert not isinstance(world.connect()[0], Refusal)


def test_limits_per_address_do_not_count_others():
    world = World(Limits(10, 1))
    world.connect("192.0.2.1")
    assert isinstance(world.connect("192.0.2.1")[0], Refusal)
    assert not isinstance(world.connect("192.0.2.2")[0], Refusal)


def test_with_implicit_tls_too_many_are_closed_without_a_word():
    world = World(Limits(0, 0), implicit_tls=True)
    assert world.server.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)) is None


def test_actions_are_done_in_order_and_output_is_one_write(world):
    writes = []
    world.replies = {"receive": [Send(b"one "), Ask(Now(1)), Send(b"two ")], "answer": [Send(b"three ")]}
    protocol, wire = world.connect()
    wire.write = writes.append
    protocol.dataReceived(b"x")
    assert writes == [b"one three two "]
    assert world.happened() == ["greet", "receive", "answer"]


def test_many_questions_answered_at_once_need_no_stack(world):
    left = [5000]

    def again(value):
        left[0] -= 1
        return [Ask(Now())] if left[0] else [Send(b"done")]

    world.replies = {"receive": [Ask(Now())], "answer": again}
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    assert wire.value() == b"done"


def test_reading_stops_only_when_something_comes_while_a_question_is_open(world):
    waiting = Deferred()
    world.replies = {"receive": lambda data: [Ask(Later(waiting))] if data == b"ask" else [], "answer": [Send(b"ok")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"ask")
    assert not wire.paused
    protocol.dataReceived(b"more")
    assert wire.paused
    waiting.callback(7)
    assert not wire.paused
    assert wire.value() == b"ok"
    assert ("answer", 7) in world.sessions[0].happened


@pytest.mark.parametrize(("error", "counted"), [(UnavailableError("away"), "unavailable"), (KeyError("x"), "failures")])
def test_an_answer_that_fails_is_told_to_the_session_logged_and_counted(world, error, counted):
    world.replies = {"receive": [Ask(Wrong(error))], "failed": [Send(b"451\r\n")]}
    protocol, wire = world.connect()
    before = figures.snapshot()["counters"].get(f"smtp.{counted}", 0)
    with structlog.testing.capture_logs() as logs:
        protocol.dataReceived(b"x")
    assert wire.value() == b"451\r\n"
    assert world.sessions[0].happened[-1] == ("failed", error)
    assert logs[0]["question"] == "Wrong"
    assert logs[0]["peer"] == "192.0.2.1"
    assert figures.snapshot()["counters"][f"smtp.{counted}"] == before + 1


def test_an_answer_that_fails_later_is_told_too(world):
    waiting = Deferred()
    world.replies = {"receive": [Ask(Later(waiting))], "failed": [Send(b"451\r\n")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    waiting.errback(Failure(UnavailableError("away")))
    assert wire.value() == b"451\r\n"


@pytest.mark.parametrize("method", ["greet", "receive", "answer", "notice", "drain"])
def test_an_exception_in_a_session_ends_that_connection_only(method):
    world = World()
    _, other_wire = world.connect()
    world.replies = {"receive": [Ask(Now())], method: RuntimeError("bug")}
    protocol, wire = world.connect()
    if method != "greet":
        protocol.dataReceived(b"x")
        protocol.notice("news")
        protocol.drain()
    assert wire.aborted
    assert not other_wire.aborted


def test_what_comes_after_close_is_not_given_to_the_session(world):
    world.replies = {"receive": [Send(b"bye"), Close(), Send(b"never")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"quit")
    protocol.dataReceived(b"more")
    assert wire.value() == b"bye"
    assert wire.disconnecting
    assert wire.producer is None  # or the transport would wait for it for ever
    assert world.happened() == ["greet", "receive"]


def test_a_question_waits_until_a_slow_reader_has_taken_what_was_said(world):
    wire = Wire()
    wire.full_at = 4
    world.replies = {"receive": [Send(b"x" * PIECE), Ask(Now()), Send(b"after")], "answer": [Send(b"answer ")]}
    protocol, _ = world.connect(wire=wire)
    protocol.dataReceived(b"fetch")
    assert world.happened() == ["greet", "receive"]
    assert wire.value() == b"x" * PIECE
    wire.full_at = 10**9
    protocol.resumeProducing()
    assert world.happened()[-1] == "answer"
    assert wire.value() == b"x" * PIECE + b"answer after"


def test_large_output_goes_in_pieces_as_the_reader_takes_them(world):
    wire = Wire()
    wire.full_at = 1
    text = bytes(range(256)) * 3000
    world.replies = {"receive": [Send(text), Close()]}
    protocol, _ = world.connect(wire=wire)
    protocol.dataReceived(b"fetch")
    assert len(wire.value()) == PIECE
    rounds = 0
    while not wire.disconnecting:
        protocol.resumeProducing()
        rounds += 1
    assert wire.value() == text
    assert rounds == len(text) // PIECE


def test_starttls_flushes_first_and_believes_nothing_until_the_handshake_is_over(world):
    world.replies = {"receive": [Send(b"220 go"), StartTls()], "tls_started": [Send(b"inside")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"STARTTLS\r\n")
    assert wire.value() == b"220 go"
    assert wire.started_tls is world.server.tls
    protocol.handshakeCompleted()
    facts = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example.com")
    assert world.sessions[0].happened[-1] == ("tls_started", facts)
    assert protocol.peer.tls == facts
    protocol.handshakeCompleted()  # a renegotiation changes nothing
    assert wire.value() == b"220 goinside"


def test_with_implicit_tls_the_session_begins_after_the_handshake():
    world = World(implicit_tls=True, name="imaps")
    world.replies = {"greet": [Send(b"hello")]}
    protocol, wire = world.connect()
    assert wire.started_tls
    assert world.sessions == []
    protocol.handshakeCompleted()
    assert world.sessions[0].peer == Peer("192.0.2.1", 4000, protocol.peer.tls)
    assert wire.value() == b"hello"


def sweep(world, *moments):
    for moment in moments:
        world.connections.sweep(moment)


def test_silence_is_ended_by_the_session(world):
    world.replies = {"timed_out": [Send(b"421 idle"), Close()]}
    _, wire = world.connect()
    sweep(world, 1, 50, 101)
    assert not wire.disconnecting
    sweep(world, 102)
    assert wire.value() == b"421 idle"
    assert wire.disconnecting


def test_what_is_heard_begins_the_time_anew(world):
    world.replies = {"timed_out": [Close()], "receive": [Send(b"ok")]}
    protocol, wire = world.connect()
    sweep(world, 1, 90)
    protocol.dataReceived(b"NOOP\r\n")
    sweep(world, 91, 190)
    assert not wire.disconnecting
    sweep(world, 192)
    assert wire.disconnecting


def test_a_command_that_drips_in_byte_by_byte_is_ended_too(world):
    world.replies = {"timed_out": [Close()]}
    protocol, wire = world.connect()
    for second in range(1, 110):
        protocol.dataReceived(b"x")
        sweep(world, second)
    assert wire.disconnecting


def talk_for(world, protocol, seconds, octets=10):
    """Say something each second, and hear an answer each time; return when it was ended."""
    for second in range(1, seconds):
        protocol.dataReceived(b"x" * octets)
        sweep(world, second)
        if protocol.transport.disconnecting:
            return second
    return None


def test_who_stays_at_one_stage_for_too_long_is_ended_however_much_is_said(world, monkeypatch):
    world.replies = {"timed_out": [Close()], "receive": [Send(b"ok")]}
    monkeypatch.setattr(Script, "stage", (0, 60.0))
    protocol, _ = world.connect()
    # It began with the first sweep; ten octets a second are a little more time.
    assert 61 <= talk_for(world, protocol, 1000) <= 64


def test_who_gets_on_or_sends_at_a_fair_pace_stays(world, monkeypatch):
    world.replies = {"timed_out": [Close()], "receive": [Send(b"ok")]}
    monkeypatch.setattr(Script, "stage", property(lambda script: (len(script.happened) // 50, 60.0)))
    protocol, _ = world.connect()
    assert talk_for(world, protocol, 1000) is None
    monkeypatch.setattr(Script, "stage", (0, 60.0))
    protocol, _ = world.connect()
    assert talk_for(world, protocol, 1000, octets=1000) is None


def test_a_long_message_at_a_fair_pace_is_not_ended(world):
    world.replies = {"timed_out": [Close()]}
    protocol, wire = world.connect()
    for second in range(1, 1000):
        protocol.dataReceived(b"x" * 1000)
        sweep(world, second)
    assert not wire.disconnecting


def test_waiting_for_our_own_answer_is_not_held_against_the_peer(world):
    waiting = Deferred()
    world.replies = {"timed_out": [Close()], "receive": [Ask(Later(waiting))], "answer": [Send(b"ok")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    sweep(world, 1, 500)
    assert world.happened()[-1] != "timed_out"
    waiting.callback(None)
    sweep(world, 501, 590)
    assert not wire.disconnecting
    sweep(world, 602, 603)
    assert wire.disconnecting


def test_an_answer_that_takes_long_is_spoken_of_now_and_then(world):
    waiting = Deferred()
    world.replies = {"receive": [Ask(Later(waiting))], "waiting": [Send(b"* OK wait\r\n")]}
    protocol, wire = world.connect()
    sweep(world, 1, 1000)
    protocol.dataReceived(b"x")
    sweep(world, *range(1001, 1010))
    assert wire.value() == b""
    sweep(world, *range(1010, 1031))
    assert wire.value() == b"* OK wait\r\n" * 3
    waiting.callback(None)
    sweep(world, *range(1031, 1060))
    assert wire.value() == b"* OK wait\r\n" * 3


def test_nothing_is_said_of_an_answer_while_others_are_given(world):
    questions = [Deferred() for _ in range(40)]
    world.replies = {
        "receive": [Ask(Later(questions[0]))],
        "answer": lambda number: [Send(b"."), Ask(Later(questions[number]))],
        "waiting": [Send(b"* OK wait\r\n")],
    }
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    for second in range(1, 40):
        sweep(world, second)
        questions[second - 1].callback(second)
    assert wire.value() == b"." * 39


def test_a_session_that_breaks_while_an_answer_takes_long_ends_its_own_connection(world):
    world.replies = {"receive": [Ask(Later(Deferred()))], "waiting": ValueError()}
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    sweep(world, 1, 2, 20)
    assert wire.aborted


def test_a_peer_that_does_not_read_is_cut(world):
    wire = Wire()
    wire.full_at = 1
    world.replies = {"receive": [Send(b"x" * 3 * PIECE)]}
    protocol, _ = world.connect(wire=wire)
    protocol.dataReceived(b"fetch")
    sweep(world, 1, WRITE_PATIENCE)
    assert not wire.aborted
    protocol.resumeProducing()  # a piece has been taken: its time begins anew
    sweep(world, WRITE_PATIENCE + 1, 2 * WRITE_PATIENCE)
    assert not wire.aborted
    sweep(world, 2 * WRITE_PATIENCE + 2)
    assert wire.aborted


def test_a_handshake_takes_no_longer_for_dripping_bytes():
    world = World(implicit_tls=True)
    protocol, wire = world.connect()
    sweep(world, 1)
    for second in range(2, int(HANDSHAKE_PATIENCE) + 3):
        protocol.dataReceived(b"x")
        sweep(world, second)
    assert wire.aborted


def test_a_peer_that_does_not_take_its_last_words_is_cut(world):
    world.replies = {"receive": [Send(b"bye"), Close()]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"quit")
    sweep(world, 1, CLOSE_PATIENCE)
    assert not wire.aborted
    sweep(world, 2 + CLOSE_PATIENCE)
    assert wire.aborted


def test_news_and_answers_for_a_connection_that_is_gone_go_nowhere(world):
    waiting = Deferred()
    world.replies = {"receive": [Ask(Later(waiting))], "answer": [Send(b"late")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    lose(protocol)
    waiting.callback(1)
    protocol.notice("news")
    protocol.drain()
    sweep(world, 1, 1000)
    assert world.happened() == ["greet", "receive", "lost"]
    assert wire.value() == b""
    assert len(world.connections) == 0


def test_who_says_nothing_more_still_hears_the_answer(world):
    waiting = Deferred()
    world.replies = {"receive": [Ask(Later(waiting))], "answer": [Send(b"250 ok")]}
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    protocol.readConnectionLost()
    assert not wire.disconnecting
    waiting.callback(1)
    assert wire.value() == b"250 ok"
    assert wire.disconnecting


def test_who_says_nothing_more_is_waited_for_while_reading_slowly(world):
    world.replies = {"receive": [Send(b"x" * 100), Send(b"the rest")]}
    wire = Wire()
    wire.full_at = 10
    protocol, _ = world.connect(wire=wire)
    protocol.pauseProducing()
    protocol.dataReceived(b"x")
    protocol.readConnectionLost()
    assert not wire.disconnecting
    protocol.resumeProducing()
    assert wire.value().endswith(b"the rest")
    assert wire.disconnecting


def test_who_says_nothing_more_and_has_asked_nothing_is_done(world):
    protocol, wire = world.connect()
    protocol.readConnectionLost()
    assert wire.disconnecting
    assert world.happened() == ["greet"]
    lose(protocol)
    assert world.happened() == ["greet", "lost"]


@dataclass(frozen=True)
class Holding(Question):
    """Has a message with it."""

    let_go: list

    def dropped(self):
        self.let_go.append("message")


@pytest.mark.parametrize("end", [lose, Connection.abort, Connection.cut])
def test_a_question_that_waits_for_a_slow_reader_lets_go_of_what_it_holds_when_the_connection_ends(world, end):
    let_go = []
    world.replies = {"receive": [Send(b"x" * 100), Ask(Holding(let_go))]}
    wire = Wire()
    wire.full_at = 10
    protocol, _ = world.connect(wire=wire)
    protocol.pauseProducing()
    protocol.dataReceived(b"x")
    assert let_go == []
    end(protocol)
    assert let_go == ["message"]
    if end is not lose:
        lose(protocol)
    assert let_go == ["message"]


def test_a_question_that_follows_an_answer_after_the_end_lets_go_of_what_it_holds(world):
    waiting, let_go = Deferred(), []
    world.replies = {"receive": [Ask(Later(waiting))], "answer": [Ask(Holding(let_go))]}
    protocol, _ = world.connect()
    protocol.dataReceived(b"x")
    protocol.cut()
    waiting.callback(1)
    assert let_go == ["message"]


def test_the_last_question_of_a_lost_session_is_answered_to_nobody(world):
    given_back = []

    async def note(question, doors):
        given_back.append(question.value)

    world.server.answers = {Now: note}
    world.replies = {"lost": [Ask(Now("maildrop"))]}
    protocol, _ = world.connect()
    lose(protocol)
    assert given_back == ["maildrop"]
    assert world.happened() == ["greet", "lost"]


def test_draining_ends_sessions_when_they_are_ready_and_tells_when_all_are_gone(world):
    world.replies = {"drain": [Send(b"421 going down"), Close()]}
    first, first_wire = world.connect()
    world.replies = {}
    busy, busy_wire = world.connect()
    gone = world.connections.drain()
    assert first_wire.value() == b"421 going down"
    assert first_wire.disconnecting
    assert not busy_wire.disconnecting
    assert isinstance(world.connect()[0], Refusal)
    lose(first)
    assert not gone.called
    lose(busy)
    assert gone.called


def test_draining_an_empty_house_is_done_at_once(world):
    assert world.connections.drain().called


def test_cutting_ends_the_sessions_of_an_account_or_an_address_only(world):
    mine, mine_wire = world.connect("192.0.2.1")
    _, other_wire = world.connect("192.0.2.2")
    mine.logged_in(7, "anna")
    assert world.connections.cut(account_id=8) == 0
    assert world.connections.cut(account_id=7) == 1
    assert mine_wire.disconnecting
    assert not other_wire.disconnecting
    assert world.connections.cut(address="192.0.2.2") == 1
    assert other_wire.disconnecting


def test_bytes_are_counted(world):
    world.replies = {"receive": [Send(b"12345")]}
    protocol, _ = world.connect()
    before = figures.snapshot()["counters"]
    protocol.dataReceived(b"abc")
    lose(protocol)
    after = figures.snapshot()["counters"]
    assert after["smtp.bytes_in"] - before.get("smtp.bytes_in", 0) == 3
    assert after["smtp.bytes_out"] - before.get("smtp.bytes_out", 0) == 5


def test_a_connection_has_no_dictionary(world):
    protocol, _ = world.connect()
    assert not hasattr(protocol, "__dict__")


class Socket(Wire):
    """As much of a TCP transport as is used for writing at once: the kernel takes ``room`` octets."""

    def __init__(self, room, waiting=b""):
        super().__init__()
        self.room = room
        self.dataBuffer = waiting
        self._tempDataBuffer = []
        self.kernel = b""

    def writeSomeData(self, data):  # noqa: N802
        if isinstance(self.room, Exception):
            return self.room
        self.kernel += data[: self.room]
        return min(self.room, len(data))


@pytest.mark.parametrize(
    ("room", "waiting", "kernel", "later"),
    [
        (100, b"", b"reply", b""),
        (2, b"", b"re", b"ply"),
        (0, b"", b"", b"reply"),
        (100, b"before", b"", b"reply"),
        (ConnectionDone(), b"", b"", b"reply"),
    ],
)
def test_the_kernel_gets_at_once_what_it_takes_and_the_reactor_the_rest(world, room, waiting, kernel, later):
    world.replies = {"receive": [Send(b"reply")]}
    wire = Socket(room, waiting)
    protocol, _ = world.connect(wire=wire)
    protocol._direct = True
    protocol.dataReceived(b"x")
    assert (wire.kernel, wire.value()) == (kernel, later)
    assert protocol.bytes_out == 5


def endless(count):
    """Replies of a session that asks ``count`` times what can be answered at once, and says each answer."""
    left = iter(range(count))

    def answer(value):
        number = next(left, None)
        return [Send(b"done")] if number is None else [Send(b"%d " % number), Ask(Now())]

    return {"receive": [Ask(Now())], "answer": answer}


def test_who_asks_without_end_lets_others_have_their_turn(monkeypatch):
    turns = []
    world = World(later=turns.append)
    world.replies = endless(5)
    monkeypatch.setattr("mailcore.transport.TURN", 0.0)
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    assert wire.value() == b"0 "
    rounds = 0
    while turns:
        turns.pop()()
        rounds += 1
    assert rounds == 5
    assert wire.value() == b"0 1 2 3 4 done"
    assert not wire.paused


def test_within_its_turn_nobody_is_stopped():
    turns = []
    world = World(later=turns.append)
    world.replies = endless(5)
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    assert turns == []
    assert wire.value() == b"0 1 2 3 4 done"


def test_a_connection_that_is_lost_while_it_waits_for_its_turn_does_nothing_more(monkeypatch):
    turns = []
    world = World(later=turns.append)
    world.replies = endless(5)
    monkeypatch.setattr("mailcore.transport.TURN", -1.0)
    protocol, wire = world.connect()
    protocol.dataReceived(b"x")
    lose(protocol)
    turns.pop()()
    assert turns == []
    assert wire.value() == b"0 "


# -- Behind a balancer ------------------------------------------------------------------------------------------------

BALANCER = "198.51.100.9"
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"


def behind_a_balancer(limits=MANY, **server):
    return World(limits, is_proxy=lambda address: address == BALANCER, **server)


@pytest.mark.parametrize("cut", range(len(HEADER) + 1))
def test_a_balancer_says_who_is_there_before_anything_is_said(cut):
    world = behind_a_balancer()
    world.replies = {"greet": [Send(b"220 hello\r\n")]}
    protocol, wire = world.connect(BALANCER)
    assert wire.value() == b""
    for part in (HEADER[:cut], HEADER[cut:] + b"EHLO x\r\n"):
        protocol.dataReceived(part)
    assert wire.value() == b"220 hello\r\n"
    assert world.sessions[0].peer == protocol.peer == Peer("192.0.2.7", 40000)
    assert world.sessions[0].happened == [("greet",), ("receive", b"EHLO x\r\n")]


def test_behind_a_balancer_mapped_addresses_have_one_form():
    world = behind_a_balancer()
    protocol, _ = world.connect(BALANCER)
    protocol.dataReceived(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 40000 25\r\n")
    assert protocol.peer.address == "192.0.2.7"


def test_a_balancer_that_only_looks_is_greeted_as_itself():
    world = behind_a_balancer()
    protocol, _ = world.connect(BALANCER)
    protocol.dataReceived(b"PROXY UNKNOWN\r\n")
    assert world.sessions[0].peer == Peer(BALANCER, 4000)


def test_only_a_balancer_is_believed():
    world = behind_a_balancer()
    protocol, _ = world.connect("192.0.2.1")
    protocol.dataReceived(HEADER)
    assert world.sessions[0].peer.address == "192.0.2.1"
    assert world.sessions[0].happened == [("greet",), ("receive", HEADER)]


def test_a_balancer_that_says_nobody_is_cut_off_and_counted():
    before = figures.snapshot()["counters"].get("smtp.bad_proxy_headers", 0)
    world = behind_a_balancer()
    protocol, wire = world.connect(BALANCER)
    with structlog.testing.capture_logs() as logs:
        protocol.dataReceived(b"EHLO client.example\r\n")
    assert wire.aborted
    assert not world.sessions
    assert figures.snapshot()["counters"]["smtp.bad_proxy_headers"] == before + 1
    assert [(entry["log_level"], entry["peer"]) for entry in logs] == [("warning", BALANCER)]


def test_a_balancer_that_says_nothing_is_not_waited_for_long():
    world = behind_a_balancer()
    protocol, wire = world.connect(BALANCER)
    for now in (0.0, PROXY_PATIENCE):
        protocol.dataReceived(b"P" if not now else b"R")
        world.connections.sweep(now)
    assert not wire.aborted
    world.connections.sweep(PROXY_PATIENCE + 1)
    assert wire.aborted


def test_who_is_blocked_is_blocked_behind_a_balancer_too_and_the_balancer_never():
    world = behind_a_balancer()
    protocol, wire = world.connect(BALANCER)
    protocol.dataReceived(HEADER.replace(b"192.0.2.7", b"192.0.2.66"))
    assert wire.aborted
    assert not world.sessions
    world.server.is_proxy = lambda address: address == "192.0.2.66"
    assert world.connect("192.0.2.66")[0] is not None


@pytest.mark.parametrize(("implicit", "words"), [(False, BYE), (True, b"")])
def test_limits_count_who_is_behind_the_balancer(implicit, words):
    world = behind_a_balancer(Limits(10, 1), implicit_tls=implicit)
    first, other, third = (world.connect(BALANCER) for _ in range(3))
    first[0].dataReceived(HEADER)
    other[0].dataReceived(HEADER.replace(b"192.0.2.7", b"192.0.2.8"))
    assert not other[1].disconnecting
    third[0].dataReceived(HEADER)
    assert third[1].disconnecting
    assert third[1].value() == words
    for connection, _ in (first, other, third):
        lose(connection)
    assert not world.connections._by_address


def test_behind_a_balancer_all_together_are_still_limited():
    world = behind_a_balancer(Limits(1, 10))
    world.connect(BALANCER)
    assert isinstance(world.connect(BALANCER)[0], Refusal)


def test_behind_a_balancer_tls_comes_after_the_header():
    world = behind_a_balancer(implicit_tls=True)
    protocol, wire = world.connect(BALANCER)
    heard = []
    wire.protocol = type("Tls", (), {"dataReceived": heard.append})
    assert wire.started_tls is None
    protocol.dataReceived(HEADER + b"\x16\x03\x01")
    assert wire.started_tls is world.server.tls
    assert heard == [b"\x16\x03\x01"]


def test_a_balancer_that_speaks_tls_itself_says_so():
    world = behind_a_balancer()
    protocol, _ = world.connect(BALANCER)
    said = b"\x20\x00\x0f" + b"\x01\0\0\0\0" + b"\x21\x00\x07TLSv1.3"
    ends = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (40000).to_bytes(2) + (25).to_bytes(2)
    header = SIGNATURE + b"\x21\x11" + len(ends + said).to_bytes(2) + ends + said
    protocol.dataReceived(header)
    assert world.sessions[0].peer == Peer("192.0.2.7", 40000, TlsFacts("TLSv1.3", ""))


def test_draining_ends_a_connection_that_nobody_has_introduced():
    world = behind_a_balancer()
    _, wire = world.connect(BALANCER)
    world.connections.drain()
    assert wire.aborted
