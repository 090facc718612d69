"""Hosts elsewhere on the SMTP port: they come through the balancer, each test from a network of its own."""

import itertools
import json
import time

import pytest
from running import quick_retries, running

from wire import Smtp, Wire, until

pytestmark = [pytest.mark.flow, pytest.mark.xdist_group("strict_server")]

BALANCER = "127.0.9.25"
NETWORKS = (f"100.{number}" for number in itertools.count(64))


@pytest.fixture(scope="module")
def strict(fake_dns):
    """A server that allows little."""
    environment = {
        **quick_retries(fake_dns),
        "A3MAILER_MAIL_PROXIES": BALANCER,
        "A3MAILER_INBOUND_CONNECTIONS": "3/4",
        "A3MAILER_INBOUND_MESSAGES": "4/6",
        "A3MAILER_INBOUND_RECIPIENTS": "6/100",
        "A3MAILER_INBOUND_ERRORS": "8/100",
        "A3MAILER_INBOUND_UNKNOWN": "4/100",
        "A3MAILER_BEGIN_WITHIN": "30",
        "A3MAILER_MESSAGE_WITHIN": "10",
        "A3MAILER_GREYLIST_WAIT": "2",
        "A3MAILER_TARPIT_AFTER": "4",
        "A3MAILER_TARPIT_LONGEST": "2",
    }
    with running("strict", environment, people=10) as one:
        yield one


@pytest.fixture
def people(strict):
    return [person.address for person in strict.people]


@pytest.fixture
def network():
    """The first two numbers of addresses that no other test uses."""
    return next(NETWORKS)


class Stranger(Smtp):
    """Somebody at this address, as the balancer says."""

    def __init__(self, server, address, **options):
        self.header = b"PROXY TCP4 %b 127.0.0.1 %d 25\r\n" % (address.encode(), next(PORTS))
        super().__init__(server.ports["smtp"], source=BALANCER, **options)

    def reply(self):
        if self.header:
            header, self.header = self.header, b""
            self.send(header)
        return super().reply()


PORTS = itertools.count(20000)


def greeting(server, address):
    """What somebody hears first."""
    with Wire(server.ports["smtp"], source=BALANCER) as wire:
        wire.send(b"PROXY TCP4 %b 127.0.0.1 %d 25\r\n" % (address.encode(), next(PORTS)))
        return wire.line()


def lines(server, what, source):
    """Lines of the log that say that a limit was reached."""
    said = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in said if line.get("what") == what and line.get("source", "").endswith(source)]


def figure(server, name):
    return server.control("figures")["counters"].get(name, 0)


def test_one_connection_too_many_is_refused_until_another_ends(strict, network):
    with Stranger(strict, f"{network}.1.1"), Stranger(strict, f"{network}.1.1"):
        third = Stranger(strict, f"{network}.1.1")
        assert greeting(strict, f"{network}.1.1").startswith(b"421 4.7.0 ")
        with Stranger(strict, f"{network}.2.2"):
            assert greeting(strict, f"{network}.3.3").startswith(b"421 4.7.0 ")
        third.close()
        until(lambda: greeting(strict, f"{network}.1.1").startswith(b"220 "), 5)
    assert len(until(lambda: lines(strict, "connections", f"{network}.1.1/32"), 10)) == 1


def test_messages_and_recipients_beyond_the_limits_are_put_off(strict, network, people):
    with Stranger(strict, f"{network}.1.1") as smtp:
        assert smtp.envelope("a@example.net", *people[:6]).startswith(b"250")
        assert smtp.say(b"RCPT TO:<%b>" % people[6].encode()).startswith(b"450 4.7.1 ")
        assert smtp.data(b"Subject: x\r\n\r\nx\r\n").startswith(b"250")
        for _ in range(3):
            assert smtp.say(b"MAIL FROM:<a@example.net>").startswith(b"250")
            smtp.say(b"RSET")
        for _ in range(3):
            assert smtp.say(b"MAIL FROM:<a@example.net>").startswith(b"450 4.7.1 ")
    with Stranger(strict, f"{network}.1.2") as smtp:
        assert smtp.envelope("a@example.net", people[0]).startswith(b"250")
    assert len(until(lambda: lines(strict, "messages", f"{network}.1.1/32"), 10)) == 1
    until(lambda: figure(strict, "smtp.limited.messages.address") >= 3, 10)


def test_after_too_many_errors_the_door_is_closed_for_a_while(strict, network, people):
    for _ in range(2):
        with Stranger(strict, f"{network}.1.1") as smtp:
            smtp.envelope("a@example.net")
            for _ in range(4):
                assert smtp.say(b"RCPT TO:<x@elsewhere.example>").startswith(b"550 5.7.1")
    assert greeting(strict, f"{network}.1.1").startswith(b"421 4.7.0 ")
    assert greeting(strict, f"{network}.1.2").startswith(b"220 ")


def test_the_answers_to_mistakes_are_slow_and_nobody_else_has_to_wait_for_them(strict, network, people):
    with Stranger(strict, f"{network}.1.1") as slow, Stranger(strict, f"{network}.1.2") as other:
        took = []
        for _ in range(7):
            began = time.monotonic()
            slow.send(b"NONSENSE\r\n")
            assert other.say(b"NOOP").startswith(b"250")
            noop_took = time.monotonic() - began
            assert slow.reply().startswith(b"500 ")
            took.append(time.monotonic() - began)
        assert [seconds >= wait for seconds, wait in zip(took, [0, 0, 0, 0, 1, 2, 2], strict=True)] == [True] * 7
        assert noop_took < took[-1]
        # All in one packet is no way around it.
        began = time.monotonic()
        slow.send(b"NONSENSE\r\n" * 2)
        assert [slow.reply()[:3] for _ in range(2)] == [b"500"] * 2
        assert time.monotonic() - began >= 4
    until(lambda: figure(strict, "smtp.slowed") >= 5, 10)


def test_who_tries_out_addresses_learns_nothing_more_and_is_written_down(strict, network, people):
    with Stranger(strict, f"{network}.1.1") as smtp:
        assert smtp.envelope("a@example.net", people[0]).startswith(b"250")
        for number in range(4):
            assert smtp.say(b"RCPT TO:<who%d@example.test>" % number).startswith(b"550 5.1.1")
        unknown = smtp.say(b"RCPT TO:<who9@example.test>")
        assert unknown.startswith(b"450 4.7.1 ")
        assert smtp.say(b"RCPT TO:<%b>" % people[1].encode()) == unknown
        # What was taken before is delivered all the same.
        assert smtp.data(b"Subject: x\r\n\r\nx\r\n").startswith(b"250")
    with Stranger(strict, f"{network}.1.1") as smtp:
        assert smtp.envelope("a@example.net", people[0]) == unknown
    with Stranger(strict, f"{network}.1.2") as smtp:
        assert smtp.envelope("a@example.net", people[0]).startswith(b"250")
    look = "print(*AuditEntry.objects.filter(action='addresses_probed').values_list('source_ip', flat=True))"
    shell = ("shell", "--verbosity", "0", "-c", f"from security.models import AuditEntry\n{look}")
    assert strict.manage(*shell).split() == [f"{network}.1.1"]


@pytest.fixture
def policy(strict):
    """Give the domain a policy, and wait until the server keeps to it."""

    def put(value):
        code = f"from domains.models import Domain\nd = Domain.objects.get()\nd.greylisting = '{value}'\nd.save()"
        strict.manage("shell", "--verbosity", "0", "-c", code)

    yield put
    put("off")


def test_a_first_message_waits_where_the_domain_wants_that(strict, network, people, policy):
    recipient = b"RCPT TO:<%b>" % people[0].encode()
    with Stranger(strict, f"{network}.1.1") as smtp:
        assert smtp.envelope("a@example.net", people[0]).startswith(b"250")
    policy("always")
    with Stranger(strict, f"{network}.2.1") as first, Stranger(strict, f"{network}.2.2") as second:
        for smtp in (first, second):
            assert smtp.say(b"MAIL FROM:<b@example.net>").startswith(b"250")
        until(lambda: first.say(recipient).startswith(b"450 4.7.1 Greylisted, try again in "), 10)
        assert first.say(recipient).startswith(b"450 4.7.1 ")
        # Another machine of the same network may come again.
        until(lambda: second.say(recipient).startswith(b"250"), 10)
        assert second.data(b"Subject: x\r\n\r\nx\r\n").startswith(b"250")
    with Smtp(strict.ports["smtp"]) as smtp:
        assert smtp.envelope("a@example.net", people[0]).startswith(b"250")


def test_the_timeline_tells_what_is_known_of_a_host_and_only_our_own_name_is_refused(strict, network, fake_dns, people):
    first, second = network.split(".")
    fake_dns.add(f"1.1.{second}.{first}.in-addr.arpa", "PTR", "mx.outside.example.")
    fake_dns.add("mx.outside.example", "A", f"{network}.1.1")
    with Stranger(strict, f"{network}.1.1") as smtp:
        assert smtp.say(b"EHLO mail.example.test").startswith(b"550 5.7.1 ")
        assert smtp.say(b"EHLO user").startswith(b"250")
        assert smtp.envelope("a@example.net", people[9]).startswith(b"250")
        assert smtp.data(b"Subject: x\r\n\r\nfrom outside\r\n").startswith(b"250")
    content = strict.people[9].wait_for(1)[-1]
    assert b"from user (mx.outside.example [%b.1.1])" % network.encode() in content.replace(b"\r\n\t", b" ")
    look = "print(MessageEvent.objects.filter(kind='received').order_by('-pk').first().detail['suspicion'])"
    said = strict.manage("shell", "--verbosity", "0", "-c", f"from mailqueue.models import MessageEvent\n{look}")
    assert said.strip() == "{'points': 2, 'reasons': ['helo_not_qualified']}"


def test_who_never_comes_to_the_point_is_told_to_go(strict, network, people):
    with Stranger(strict, f"{network}.1.1") as smtp:
        assert smtp.envelope("a@example.net", people[0]).startswith(b"250")
        began = time.monotonic()
        # An octet in each chunk, and an answer to each: without an end that is no message.
        said = b""
        while not said.startswith(b"421") and time.monotonic() - began < 60:
            time.sleep(0.3)  # it is the slowness that is tested
            said = smtp.chunk(b"x", last=False)
        assert said == b"421 4.4.2 You took too long, closing"
        assert time.monotonic() - began >= 9


def test_who_is_no_stranger_has_none_of_these_limits(strict, people):
    with Smtp(strict.ports["smtp"]) as smtp:
        for _ in range(10):
            assert smtp.say(b"NONSENSE").startswith(b"500 ")
        for _ in range(3):
            assert smtp.envelope("a@example.net", *people).startswith(b"250")
            assert smtp.data(b"Subject: x\r\n\r\nx\r\n").startswith(b"250")
    with strict.people[0].submission() as smtp:
        for _ in range(8):
            assert smtp.envelope(people[0], *people[:8]).startswith(b"250")
            smtp.say(b"RSET")
