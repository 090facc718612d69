import gc
import time
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.flags import Flag
from dns.rdatatype import RdataType
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

import fakedns
from a3mailer_site.env import Env, SettingError
from fakedns import FakeDns
from mailcore.resolver.answers import DnsFailureError, NoSuchNameError
from mailcore.resolver.cache import FAILURE_TTL, Cache, Kind, Outcome, Question
from mailcore.resolver.exchange import ExchangeError
from mailcore.resolver.servers import Server, configured, in_order
from mailcore.resolver.stub import CHAIN_LIMIT, DEADLINE, FLIGHT_LIMIT, Resolver, absolute

# ---- without sockets: a scripted server and a clock that we turn ----


class Script:
    """Stands in for the servers: notes who was asked what, and answers when told to."""

    def __init__(self):
        self.clock = Clock()
        self.asked = []
        self.replies = {}

    def resolver(self, *servers, **options):
        return Resolver(self.clock, list(servers) or [Server("a", trusted=True)], ask=self.ask, **options)

    def ask(self, reactor, server, question):
        self.asked.append((server.host, str(question)))
        reply = self.replies.get((server.host, str(question)), self.replies.get(str(question), "silence"))
        if isinstance(reply, Exception):
            waiting = Deferred()
            waiting.errback(reply)
            return waiting
        waiting = Deferred()
        if reply != "silence":
            waiting.callback(reply)
        self.last = waiting
        return waiting


def reply(name, rdtype, *answers, rcode=dns.rcode.NOERROR, ad=False, soa=None):
    """A reply out of ``(owner, ttl, type, text)`` records."""
    message = dns.message.make_response(dns.message.make_query(name, rdtype))
    message.set_rcode(rcode)
    if ad:
        message.flags |= Flag.AD
    message.answer = [dns.rrset.from_text(owner + ".", ttl, "IN", kind, text) for owner, ttl, kind, text in answers]
    if soa is not None:
        message.authority.append(dns.rrset.from_text("example.", soa, "IN", "SOA", f"ns. hm. 1 2 3 4 {soa}"))
    return dns.message.from_wire(message.to_wire())


def start(resolver, name="x.example", rdtype="A"):
    return Deferred.fromCoroutine(resolver.resolve(name, rdtype))


def result(waiting):
    box = []
    waiting.addBoth(box.append)
    assert box, "not answered yet"
    value = box[0]
    if hasattr(value, "value"):
        raise value.value
    return value


A = ("x.example", 300, "A", "192.0.2.1")


@pytest.fixture
def script():
    return Script()


def test_an_answer_has_records_ttl_and_owner(script):
    script.replies["x.example A"] = reply("x.example", "A", A)
    answer = result(start(script.resolver()))
    assert (answer.addresses, answer.ttl, str(answer.name)) == (["192.0.2.1"], 300, "x.example.")


def test_a_known_answer_is_not_asked_for_again_and_its_ttl_runs_down(script):
    script.replies["x.example A"] = reply("x.example", "A", A)
    resolver = script.resolver()
    result(start(resolver))
    script.clock.advance(100)
    assert result(start(resolver, "X.Example.")).ttl == 200
    assert len(script.asked) == 1
    assert (resolver.hits, resolver.misses, resolver.queries, resolver.failures) == (1, 1, 1, 0)
    script.clock.advance(200)
    result(start(resolver))
    assert len(script.asked) == 2


@pytest.mark.parametrize(("ttl", "kept"), [(0, 5), (1, 5), (300, 300), (10_000_000, 86_400)])
def test_a_ttl_is_kept_between_floor_and_ceiling(script, ttl, kept):
    script.replies["x.example A"] = reply("x.example", "A", ("x.example", ttl, "A", "192.0.2.1"))
    resolver = script.resolver()
    result(start(resolver))
    script.clock.advance(kept - 0.5)
    result(start(resolver))
    assert len(script.asked) == 1
    script.clock.advance(1)
    result(start(resolver))
    assert len(script.asked) == 2


@pytest.mark.parametrize(("soa", "kept"), [(60, 60), (1_000_000, 10_800)])
def test_what_does_not_exist_is_remembered_for_the_time_in_the_soa(script, soa, kept):
    script.replies["x.example A"] = reply("x.example", "A", rcode=dns.rcode.NXDOMAIN, soa=soa)
    resolver = script.resolver()
    for _again in range(2):
        with pytest.raises(NoSuchNameError):
            result(start(resolver))
    assert len(script.asked) == 1
    script.clock.advance(kept)
    with pytest.raises(NoSuchNameError):
        result(start(resolver))
    assert len(script.asked) == 2


def test_a_name_without_such_records_is_an_empty_answer_and_remembered(script):
    script.replies["x.example MX"] = reply("x.example", "MX", soa=60)
    resolver = script.resolver()
    assert result(start(resolver, rdtype="MX")).records == ()
    assert result(start(resolver, rdtype="MX")).ttl == 60
    assert len(script.asked) == 1


@pytest.mark.parametrize("bad", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_a_server_that_will_not_say_hands_over_to_the_next_at_once(script, bad):
    script.replies["a", "x.example A"] = reply("x.example", "A", rcode=bad)
    script.replies["b", "x.example A"] = reply("x.example", "A", A)
    assert result(start(script.resolver(Server("a"), Server("b")))).addresses == ["192.0.2.1"]
    assert [host for host, _question in script.asked] == ["a", "b"]


def test_when_no_server_will_say_it_is_a_failure_and_remembered_for_seconds(script):
    script.replies["x.example A"] = reply("x.example", "A", rcode=dns.rcode.SERVFAIL)
    resolver = script.resolver(Server("a"), Server("b"))
    for _again in range(2):
        with pytest.raises(DnsFailureError, match="SERVFAIL"):
            result(start(resolver))
    assert len(script.asked) == 2
    assert resolver.failures == 1
    script.clock.advance(FAILURE_TTL)
    script.replies["x.example A"] = reply("x.example", "A", A)
    assert result(start(resolver)).addresses == ["192.0.2.1"]


def test_a_silent_server_hands_over_and_stands_behind_for_a_while(script):
    script.replies["b", "x.example A"] = script.replies["b", "y.example A"] = reply("x.example", "A", A)
    script.replies["b", "y.example A"] = reply("y.example", "A", ("y.example", 9, "A", "192.0.2.2"))
    script.replies["a", "z.example A"] = reply("z.example", "A", ("z.example", 9, "A", "192.0.2.3"))
    resolver = script.resolver(Server("a"), Server("b"))
    first = start(resolver)
    script.clock.advance(1.2)
    assert result(first).addresses == ["192.0.2.1"]
    result(start(resolver, "y.example"))
    assert [host for host, _question in script.asked] == ["a", "b", "b"]
    script.clock.advance(60)
    result(start(resolver, "z.example"))
    assert script.asked[-1][0] == "a"


def test_a_server_that_cannot_be_reached_hands_over_at_once(script):
    script.replies["a", "x.example A"] = ExchangeError("a: connection refused")
    script.replies["b", "x.example A"] = reply("x.example", "A", A)
    assert result(start(script.resolver(Server("a"), Server("b")))).records


def test_silence_everywhere_ends_at_the_deadline(script):
    resolver = script.resolver(Server("a"), Server("b"), Server("c"))
    waiting = start(resolver)
    script.clock.pump([0.1] * int(DEADLINE * 10 + 1))
    with pytest.raises(DnsFailureError):
        result(waiting)
    assert resolver.failures == 1
    assert script.clock.getDelayedCalls() == []


def test_the_deadline_holds_even_when_every_link_of_a_chain_is_slow(script):
    script.replies["x.example A"] = reply("x.example", "A", ("x.example", 9, "CNAME", "y.example."))
    resolver = script.resolver(deadline=1.0)
    waiting = start(resolver)
    script.clock.advance(1.0)
    with pytest.raises(DnsFailureError, match="in time"):
        result(waiting)


def test_the_same_question_is_on_its_way_only_once(script):
    resolver = script.resolver()
    waiting = [start(resolver), start(resolver), start(resolver, "X.EXAMPLE")]
    assert len(script.asked) == 1
    script.last.callback(reply("x.example", "A", A))
    assert [result(one).addresses for one in waiting] == [["192.0.2.1"]] * 3
    assert (resolver.misses, resolver.queries) == (3, 1)


def test_one_who_stops_waiting_does_not_stop_the_others(script):
    resolver = script.resolver()
    first, second = start(resolver), start(resolver)
    first.cancel()
    with pytest.raises(CancelledError):
        result(first)
    script.last.callback(reply("x.example", "A", A))
    assert result(second).records


def test_questions_beyond_the_limit_wait_for_a_socket(script):
    resolver = script.resolver()
    waiting = [start(resolver, f"n{number}.example") for number in range(FLIGHT_LIMIT + 1)]
    assert len(script.asked) == FLIGHT_LIMIT
    script.last.callback(reply(f"n{FLIGHT_LIMIT - 1}.example", "A", soa=9))
    assert len(script.asked) == FLIGHT_LIMIT + 1
    for one in waiting:
        one.addErrback(lambda _: None)
        one.cancel()


def test_a_chain_in_one_reply_is_followed_and_its_shortest_ttl_counts(script):
    script.replies["x.example A"] = reply(
        "x.example", "A", ("x.example", 20, "CNAME", "y.example."), ("y.example", 300, "A", "192.0.2.9")
    )
    answer = result(start(script.resolver()))
    assert (answer.addresses, answer.ttl, str(answer.name)) == (["192.0.2.9"], 20, "y.example.")


def test_a_chain_that_leads_out_of_the_reply_is_asked_on(script):
    script.replies["x.example A"] = reply("x.example", "A", ("x.example", 20, "CNAME", "y.example."), ad=True)
    script.replies["y.example A"] = reply("y.example", "A", ("y.example", 300, "A", "192.0.2.9"), ad=False)
    answer = result(start(script.resolver()))
    assert (answer.addresses, answer.ttl, answer.authentic) == (["192.0.2.9"], 20, False)


def test_a_chain_that_ends_in_nothing_is_an_empty_answer(script):
    script.replies["x.example A"] = reply("x.example", "A", ("x.example", 20, "CNAME", "y.example."), soa=60)
    assert result(start(script.resolver())).records == ()


@pytest.mark.parametrize("target", ["x.example.", "y.example."])
def test_a_chain_without_end_is_a_failure(script, target):
    script.replies["x.example A"] = reply("x.example", "A", ("x.example", 20, "CNAME", target))
    script.replies["y.example A"] = reply("y.example", "A", ("y.example", 20, "CNAME", "x.example."))
    with pytest.raises(DnsFailureError):
        result(start(script.resolver()))
    assert len(script.asked) <= CHAIN_LIMIT + 1


@pytest.mark.parametrize(
    ("trusted", "ad", "authentic"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_only_a_trusted_server_can_call_an_answer_authentic(script, trusted, ad, authentic):
    script.replies["x.example A"] = reply("x.example", "A", A, ad=ad)
    assert result(start(script.resolver(Server("a", trusted=trusted)))).authentic is authentic


def test_the_absence_of_a_name_can_be_authentic(script):
    script.replies["x.example A"] = reply("x.example", "A", rcode=dns.rcode.NXDOMAIN, soa=60, ad=True)
    with pytest.raises(NoSuchNameError) as caught:
        result(start(script.resolver()))
    assert caught.value.authentic


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example", ".".join(["x" * 60] * 5), "\ud800.example"])
def test_what_can_be_no_name_does_not_exist_and_is_not_asked(script, name):
    with pytest.raises(NoSuchNameError):
        result(start(script.resolver(), name))
    assert script.asked == []


def test_an_international_name_is_asked_in_its_ascii_form(script):
    start(script.resolver(), "bücher.example").addErrback(lambda _: None)
    assert script.asked == [("a", "xn--bcher-kva.example A")]
    assert absolute("bücher.example") == absolute("XN--BCHER-KVA.example.")


def test_an_error_of_our_own_is_a_failure_to_whoever_waits(script):
    script.replies["x.example A"] = ValueError("oops")
    with pytest.raises(DnsFailureError, match="oops"):
        result(start(script.resolver()))


def test_new_servers_forget_what_the_old_ones_said(script):
    script.replies["x.example A"] = reply("x.example", "A", A)
    resolver = script.resolver()
    result(start(resolver))
    resolver.use([Server("b")])
    result(start(resolver))
    assert [host for host, _question in script.asked] == ["a", "b"]


def test_texts_names_and_exchanges_are_plain_values(script):
    script.replies["x.example TXT"] = reply("x.example", "TXT", ("x.example", 9, "TXT", '"v=spf1 " "-all"'))
    script.replies["x.example MX"] = reply("x.example", "MX", ("x.example", 9, "MX", "10 MX.Example."))
    script.replies["y.example MX"] = reply("y.example", "MX", ("y.example", 9, "MX", "0 ."))
    script.replies["x.example PTR"] = reply("x.example", "PTR", ("x.example", 9, "PTR", "Host.Example."))
    resolver = script.resolver()
    assert result(start(resolver, rdtype="TXT")).texts == [b"v=spf1 -all"]
    assert result(start(resolver, rdtype="MX")).exchanges == [(10, "mx.example")]
    assert result(start(resolver, "y.example", "MX")).exchanges == [(0, "")]
    assert result(start(resolver, rdtype="PTR")).names == ["host.example"]


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = Cache(limit=2)
    questions = [Question(absolute(name), RdataType.A) for name in ("a", "b", "c")]
    outcome = Outcome(Kind.ANSWERED, 60)
    cache.put(questions[0], outcome, 0)
    cache.put(questions[1], outcome, 0)
    cache.get(questions[0], 1)
    cache.put(questions[2], outcome, 1)
    assert [cache.get(question, 2) is not None for question in questions] == [True, False, True]
    assert len(cache) == 2


# ---- which servers ----


def test_servers_come_from_the_setting_before_resolv_conf(tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("search example.com\nnameserver 192.0.2.53\nnameserver ::1\nnameserver nonsense\noptions rotate\n")
    assert configured(Env(dns_servers="192.0.2.1:5300,[::1]:53"), conf) == [
        Server("192.0.2.1", 5300),
        Server("::1", 53, trusted=True),
    ]
    assert configured(Env(), conf) == [Server("192.0.2.53"), Server("::1", trusted=True)]
    assert configured(Env(dns_trusted="192.0.2.53"), conf)[0].trusted
    assert configured(Env(), tmp_path / "none") == [Server("127.0.0.1", trusted=True)]


def test_a_server_is_given_by_address():
    with pytest.raises(SettingError, match=r"dns\.example"):
        configured(Env(dns_servers="dns.example:53"))


def test_those_that_failed_lately_come_last_and_each_failure_in_a_row_counts_double():
    servers = [Server("a"), Server("b"), Server("c")]
    servers[0].failed(100)
    servers[0].failed(100)
    servers[1].failed(100)
    assert [server.host for server in in_order(servers, 101)] == ["c", "b", "a"]
    assert [server.host for server in in_order(servers, 103)] == ["b", "c", "a"]
    servers[0].succeeded()
    assert [server.host for server in in_order(servers, 101)] == ["a", "c", "b"]


# ---- with sockets: a real reactor against the fake server ----


@contextmanager
def real(*servers, deadline=5.0):
    """A resolver on a reactor of its own, and a function that turns the reactor until a coroutine is done."""
    reactor = EPollReactor()
    resolver = Resolver(
        reactor, [Server("127.0.0.1", getattr(one, "port", one), trusted=True) for one in servers], deadline=deadline
    )

    def run(coroutine, limit=10.0):
        box = []
        Deferred.fromCoroutine(coroutine).addBoth(box.append)
        end = time.monotonic() + limit
        while not box:
            assert time.monotonic() < end, "no answer"
            reactor.iterate(0.02)
        if hasattr(box[0], "value"):
            raise box[0].value
        return box[0]

    yield resolver, run
    reactor.iterate(0)
    leftover = [reader for reader in reactor.removeAll() if "aker" not in type(reader).__name__]
    assert leftover == [], "sockets are left open"
    gc.collect()


@pytest.fixture
def server():
    with FakeDns() as running:
        running.add("x.example", "A", "192.0.2.1")
        running.add("x.example", "MX", "10 mx.example")
        yield running


def closed_port():
    with FakeDns() as gone:
        return gone.port


def test_a_real_server_is_asked_by_udp(server):
    with real(server) as (resolver, run):
        assert run(resolver.resolve("x.example", "A")).addresses == ["192.0.2.1"]
        assert run(resolver.resolve("x.example", "MX")).exchanges == [(10, "mx.example")]
        with pytest.raises(NoSuchNameError):
            run(resolver.resolve("none.example", "A"))
    assert server.asked["x.example A"] == 1


@pytest.mark.parametrize("lie", [fakedns.wrong_id, fakedns.other_question, fakedns.garbage, fakedns.silent])
def test_what_is_no_answer_to_our_question_is_as_good_as_silence(server, lie):
    server.misbehave("x.example", lie)
    with real(server, deadline=0.4) as (resolver, run), pytest.raises(DnsFailureError):
        run(resolver.resolve("x.example", "A"))


def test_an_answer_that_did_not_fit_is_fetched_by_tcp(server):
    server.misbehave("x.example", fakedns.truncated)
    server.add("x.example", "TXT", *(f'"{number:0200}"' for number in range(50)))
    with real(server) as (resolver, run):
        assert len(run(resolver.resolve("x.example", "TXT")).texts) == 50
    assert server.asked["x.example TXT tcp"] == 1


def test_a_closed_port_is_noticed_at_once(server):
    with real(closed_port(), server, deadline=1.0) as (resolver, run):
        assert run(resolver.resolve("x.example", "A")).records


def test_no_server_at_all_is_a_temporary_failure():
    with real(closed_port()) as (resolver, run), pytest.raises(DnsFailureError, match="refused"):
        run(resolver.resolve("x.example", "A"))


def test_a_server_that_takes_edns_for_an_error_is_asked_without(server):
    server.default = fakedns.no_edns
    with real(server) as (resolver, run):
        assert run(resolver.resolve("x.example", "A")).records
        assert run(resolver.resolve("x.example", "MX")).records
    assert server.asked == {"x.example A": 2, "x.example MX": 1}


def test_the_ad_bit_of_a_loopback_server_is_believed(server):
    with real(server) as (resolver, run):
        assert not run(resolver.resolve("x.example", "A")).authentic
        server.misbehave("x.example", fakedns.authentic)
        assert run(resolver.resolve("x.example", "MX")).authentic


def test_a_slow_server_is_waited_for(server):
    server.misbehave("x.example", fakedns.slow(0.2))
    with real(server) as (resolver, run):
        assert run(resolver.resolve("x.example", "A")).records
