"""What strangers may do on the SMTP port: up to each limit they get in, beyond it they are put off for a while."""

import dataclasses

import pytest
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred

from a3mailer_site import env
from a3mailer_site.figures import figures
from mailcore.dialogue import Peer
from mailcore.smtp import strangers as module
from mailcore.smtp.strangers import TOO_MANY_CONNECTIONS, TOO_MANY_MISTAKES, Act, Strangers, is_exempt, tarpit
from security.blocklist import Blocklist, guard

WINDOW = 600
HOST, NEIGHBOUR, ELSEWHERE = "192.0.2.1", "192.0.77.5", "198.51.100.1"


class Time:
    def __init__(self):
        self.now = 6000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def setting(monkeypatch):
    """Put settings in force."""

    def put(**changes):
        monkeypatch.setattr(env, "_current", dataclasses.replace(env.current(), **changes))

    put(
        inbound_connections="3/5",
        inbound_messages="3/5",
        inbound_recipients="3/5",
        inbound_errors="3/5",
        inbound_unknown="3/5",
        inbound_window=WINDOW,
    )
    return put


@pytest.fixture
def strangers(setting, time):
    return Strangers(time)


COUNTED = [Act.MESSAGE, Act.RECIPIENT, Act.ERROR, Act.UNKNOWN]


@pytest.mark.parametrize("act", COUNTED)
@pytest.mark.parametrize(
    ("done", "asks", "put_off"),
    [
        ([], HOST, False),
        ([HOST] * 2, HOST, False),
        ([HOST] * 3, HOST, True),
        ([HOST] * 3, NEIGHBOUR, False),
        ([HOST] * 3 + [NEIGHBOUR] * 2, "192.0.3.3", True),
        ([HOST] * 3 + [NEIGHBOUR] * 2, ELSEWHERE, False),
        (["2001:db8::1"] * 3, "2001:db8::2", True),  # one host has a whole /64
        (["2001:db8::1"] * 3, "2001:db8:0:1::1", False),
        (["2001:db8::1"] * 3 + ["2001:db8:5::1"] * 2, "2001:db8:7::1", True),
        (["2001:db8::1"] * 3 + ["2001:db8:5::1"] * 2, "2001:db9::1", False),
    ],
)
def test_up_to_the_limit_of_a_host_and_of_its_network_there_is_more(strangers, act, done, asks, put_off):
    for address in done:
        strangers.count(act, address)
    assert bool(strangers.excess(act, asks)) is put_off


@pytest.mark.parametrize("act", COUNTED)
def test_whoever_waits_gets_in_again(strangers, time, act):
    for _ in range(3):
        strangers.count(act, HOST)
    for _ in range(50):
        assert strangers.excess(act, HOST)
    time.now += 2 * WINDOW
    assert not strangers.excess(act, HOST)


@pytest.mark.parametrize("act", COUNTED)
def test_zero_is_no_limit(strangers, setting, act):
    setting(**{f"inbound_{act.value}": "0/0"})
    for _ in range(1000):
        strangers.count(act, HOST)
    assert not strangers.excess(act, HOST)


def test_connections_at_once_are_limited_and_their_places_are_given_back(strangers):
    mine = [Peer(HOST, port) for port in range(5)]
    assert [strangers.enter(peer) for peer in mine] == [None, None, None, TOO_MANY_CONNECTIONS, TOO_MANY_CONNECTIONS]
    theirs = [Peer(NEIGHBOUR, port) for port in range(3)]
    assert [strangers.enter(peer) for peer in theirs] == [None, None, TOO_MANY_CONNECTIONS]
    assert strangers.enter(Peer(ELSEWHERE, 1)) is None
    # Who was not let in leaves nothing behind, however often.
    for peer in [*mine[3:], *mine[3:], theirs[2]]:
        strangers.leave(peer)
    assert strangers.enter(mine[3]) == TOO_MANY_CONNECTIONS
    strangers.leave(mine[0])
    assert strangers.enter(mine[3]) is None
    assert strangers.enter(mine[4]) == TOO_MANY_CONNECTIONS


def test_after_too_many_errors_new_connections_are_refused(strangers, time):
    for _ in range(3):
        assert strangers.enter(Peer(HOST, 1)) is None
        strangers.leave(Peer(HOST, 1))
        strangers.count(Act.ERROR, HOST)
    assert strangers.enter(Peer(HOST, 1)) == TOO_MANY_MISTAKES
    assert strangers.enter(Peer(NEIGHBOUR, 1)) is None
    time.now += 2 * WINDOW
    assert strangers.enter(Peer(HOST, 2)) is None


def test_each_refusal_is_counted_and_one_in_a_window_is_logged(strangers, time):
    before = figures.snapshot()["counters"].get("smtp.limited.messages.address", 0)
    with capture_logs() as logs:
        for _ in range(2):
            for _ in range(3):
                strangers.count(Act.MESSAGE, HOST)
            for _ in range(20):
                assert strangers.excess(Act.MESSAGE, HOST)
            time.now += WINDOW
    assert figures.snapshot()["counters"]["smtp.limited.messages.address"] == before + 40
    assert [(line["what"], line["source"], line["peer"]) for line in logs] == [("messages", "192.0.2.1/32", HOST)] * 2


def test_a_flood_of_hosts_fills_no_memory(strangers, setting, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 50)
    small = Strangers(Time())
    setting(inbound_errors="1/0")
    for number in range(500):
        address = f"10.{number // 250}.{number % 250}.1"
        small.count(Act.ERROR, address)
        assert small.excess(Act.ERROR, address)
    assert len(small._counts[Act.ERROR]) == 50
    assert len(small._told) == 50


@pytest.mark.parametrize(
    ("address", "exempt"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.1", False), ("203.0.113.9", True)],
)
def test_who_is_from_here_or_on_the_allow_list_is_no_stranger(monkeypatch, address, exempt):
    monkeypatch.setattr(guard, "_list", Blocklist((), ["203.0.113.0/24"]))
    assert is_exempt(address) is exempt


@pytest.mark.parametrize("value", ["50", "a/b", "5/", "/5", "-1/5", "5/5/5", "5 / 5"])
def test_a_setting_that_is_no_pair_of_numbers_is_named(tmp_path, value):
    with pytest.raises(env.SettingError, match="A3MAILER_INBOUND_ERRORS"):
        env.load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_INBOUND_ERRORS": value})
    with pytest.raises(env.SettingError, match="A3MAILER_INBOUND_WINDOW"):
        env.load({"A3MAILER_DATA_DIR": str(tmp_path), "A3MAILER_INBOUND_WINDOW": "0"})


@pytest.mark.parametrize(("limit", "unknown", "suspected"), [("4/0", 1, False), ("4/0", 2, True), ("0/0", 99, False)])
def test_who_has_used_half_of_the_unknown_recipients_is_suspected(strangers, setting, limit, unknown, suspected):
    setting(inbound_unknown=limit)
    for _ in range(unknown):
        strangers.count(Act.UNKNOWN, HOST)
    assert strangers.suspects(HOST) is suspected
    assert not strangers.suspects(ELSEWHERE)


@pytest.mark.parametrize(
    ("after", "longest", "waits"),
    [
        (3, 10, [0, 0, 0, 1, 2, 4, 8, 10, 10]),
        (1, 3, [0, 1, 2, 3, 3]),
        (0, 10, [0] * 30),
        (3, 0, [0] * 9),
    ],
)
def test_the_answer_to_a_mistake_waits_longer_each_time_up_to_a_bound(setting, after, longest, waits):
    setting(tarpit_after=after, tarpit_longest=longest)
    assert [tarpit(number) for number in range(1, len(waits) + 1)] == waits
    assert tarpit(10**6) <= longest


def test_no_more_than_a_bounded_number_of_sessions_waits(strangers, monkeypatch):
    monkeypatch.setattr(module, "HELD_AT_ONCE", 3)
    waiting, answers = [], []

    def pause(seconds):
        waiting.append(Deferred())
        return waiting[-1]

    def come():
        Deferred.fromCoroutine(strangers.hold(1.0, pause)).addCallback(answers.append)

    for _ in range(5):
        come()
    assert answers == [False, False]
    assert (strangers.held, len(waiting)) == (3, 3)
    waiting[0].callback(None)
    assert answers[2:] == [True]
    come()
    assert (strangers.held, len(waiting)) == (3, 4)
    for each in waiting[1:]:
        each.callback(None)
    assert strangers.held == 0
    assert answers.count(True) == 4
