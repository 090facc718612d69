"""Mail into an internet that works as badly as the real one: DNS, mail hosts and policy hosts of the tests' own."""

import itertools

import pytest
from internet import POLICY_PATH

from certificates import DAY, NOW, ROOT, Certified
from fakedns import authentic, servfail, silent, truncated
from fakemx import DRIP, HANG
from wire import until

pytestmark = pytest.mark.flow

# Nobody listens there.
NOBODY = "127.0.5.250"
_numbers = itertools.count()


class Place:
    """A domain of its own, with an address at which a mail host may listen."""

    def __init__(self, internet):
        number = next(_numbers)
        self.internet, self.dns = internet, internet.dns
        self.domain = f"d{number}.test"
        self.host = f"mx.{self.domain}"
        self.address = f"127.0.4.{number + 1}"
        self.recipient = f"bob@{self.domain}"

    def mx(self, *records, domain=None):
        """What the MX records say."""
        if records:
            self.dns.add(domain or self.domain, "MX", *records)

    def listening(self, shown=None, **options):
        """A mail host at the place's address, which its name leads to."""
        self.dns.add(self.host, "A", self.address)
        return self.internet.host(self.address, shown, **options)

    def certified(self, name=None, **options):
        """A certificate for the mail host."""
        return Certified(self.host, ROOT, names=[name or self.host], **options)

    def send(self, person, recipient=None):
        """Somebody sends; returns the queue id."""
        with person.submission() as smtp:
            assert smtp.envelope(person.address, recipient or self.recipient).startswith(b"250")
            content = f"From: <{person.address}>\r\nSubject: to {self.domain}\r\n\r\nx\r\n".encode()
            reply = smtp.data(content)
            assert reply.startswith(b"250"), reply
            return reply.split()[-1].decode()

    def sent(self, person):
        """Send, and wait until somebody has it."""
        return self.internet.until_tried(self.send(person), "sent")

    def not_sent(self, person, outcome):
        """Send, and wait until it has come to that."""
        return self.internet.until_tried(self.send(person), outcome)


@pytest.fixture
def place(internet):
    return Place(internet)


# -- Where mail goes ---------------------------------------------------------------------------------------------------


def plain(place):
    place.mx(f"10 {place.host}")


def no_mx(place):
    """RFC 5321 section 5.1: then the domain itself is the host."""
    place.dns.add(place.domain, "A", place.address)


def mx_is_a_cname(place):
    place.mx(f"10 alias.{place.domain}")
    place.dns.add(f"alias.{place.domain}", "CNAME", place.host)


def domain_is_a_cname(place):
    place.dns.add(place.domain, "CNAME", f"real.{place.domain}")
    place.mx(f"10 {place.host}", domain=f"real.{place.domain}")


def first_refuses(place):
    place.mx(f"10 gone.{place.domain}", f"20 {place.host}")
    place.dns.add(f"gone.{place.domain}", "A", NOBODY)


def one_of_three_addresses(place):
    place.mx(f"10 {place.host}")
    place.dns.add(place.host, "A", NOBODY, "127.0.5.251")


def first_has_no_address(place):
    place.mx(f"10 nowhere.{place.domain}", f"20 {place.host}")


def first_cannot_be_looked_up(place):
    place.mx(f"10 broken.{place.domain}", f"20 {place.host}")
    place.dns.misbehave(f"broken.{place.domain}", servfail)


def first_is_a_cname_loop(place):
    place.mx(f"10 one.{place.domain}", f"20 {place.host}")
    place.dns.add(f"one.{place.domain}", "CNAME", f"two.{place.domain}")
    place.dns.add(f"two.{place.domain}", "CNAME", f"one.{place.domain}")


def answer_is_truncated(place):
    place.mx(f"10 {place.host}")
    place.dns.misbehave(place.domain, truncated)


def we_are_the_second(place):
    place.mx(f"10 {place.host}", "20 mail.example.test")
    place.dns.add("mail.example.test", "A", NOBODY)


def very_many(place):
    place.mx(f"10 {place.host}", *(f"{20 + number} more{number}.{place.domain}" for number in range(300)))


def a_null_mx_beside_others(place):
    place.mx("0 .", f"10 {place.host}")


@pytest.mark.parametrize(
    "set_up",
    [
        plain,
        no_mx,
        mx_is_a_cname,
        domain_is_a_cname,
        first_refuses,
        one_of_three_addresses,
        first_has_no_address,
        first_cannot_be_looked_up,
        first_is_a_cname_loop,
        answer_is_truncated,
        we_are_the_second,
        very_many,
        a_null_mx_beside_others,
    ],
    ids=lambda function: function.__name__,
)
def test_mail_finds_its_way(place, person, set_up):
    set_up(place)
    with place.listening() as mx:
        attempt = place.sent(person)
        (message,) = mx.messages
    assert message.recipients == [place.recipient]
    assert attempt.address == place.address
    if set_up is answer_is_truncated:
        assert place.dns.asked[f"{place.domain} MX tcp"] == 1
    if set_up is very_many:
        assert sum(place.dns.asked[f"more{number}.{place.domain} A"] for number in range(300)) <= 16


def null_mx(place):
    place.mx("0 .")


def nothing(place):
    """The domain does not exist."""


def no_address(place):
    place.mx(f"10 {place.host}")
    place.dns.add(place.host, "TXT", '"here"')


def mx_does_not_exist(place):
    place.mx(f"10 {place.host}")


def we_are_the_first(place):
    place.mx("10 mail.example.test", f"20 {place.host}")
    place.dns.add(place.host, "A", NOBODY)


def we_are_equal(place):
    place.mx("10 mail.example.test", f"10 {place.host}")
    place.dns.add(place.host, "A", NOBODY)


def we_are_the_only_one(place):
    place.mx("10 mail.example.test")


@pytest.mark.parametrize(
    ("set_up", "status", "words"),
    [
        (null_mx, "5.1.10", "the domain {domain} takes no mail"),
        (nothing, "5.1.2", "the domain {domain} does not exist"),
        (no_address, "5.4.4", "no mail host of {domain} has an address"),
        (mx_does_not_exist, "5.4.4", "no mail host of {domain} has an address"),
        (we_are_the_first, "5.4.6", "mail for {domain} loops back to this server"),
        (we_are_equal, "5.4.6", "mail for {domain} loops back to this server"),
        (we_are_the_only_one, "5.4.6", "mail for {domain} loops back to this server"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mail_that_can_go_nowhere_comes_back_at_once(place, person, set_up, status, words):
    set_up(place)
    attempt = place.not_sent(person, "failed")
    assert (attempt.enhanced, attempt.reply) == (status, words.format(domain=place.domain))
    (notice,) = person.wait_for()
    assert status.encode() in notice


def mx_servfail(place):
    place.dns.misbehave(place.domain, servfail)


def mx_silent(place):
    place.dns.misbehave(place.domain, silent)


def cname_loop(place):
    place.dns.add(place.domain, "CNAME", f"other.{place.domain}")
    place.dns.add(f"other.{place.domain}", "CNAME", place.domain)


def host_servfail(place):
    place.mx(f"10 {place.host}")
    place.dns.misbehave(place.host, servfail)


def refused(place):
    place.mx(f"10 {place.host}")
    place.dns.add(place.host, "A", NOBODY)


def better_than_we_refuses(place):
    place.mx(f"10 {place.host}", "20 mail.example.test", f"30 third.{place.domain}")
    place.dns.add(place.host, "A", NOBODY)
    place.dns.add(f"third.{place.domain}", "A", "127.0.5.252")


LOOKING_UP = "cannot look up the mail hosts of {domain}: "


@pytest.mark.parametrize(
    ("set_up", "status", "words"),
    [
        (mx_servfail, "4.4.3", LOOKING_UP),
        pytest.param(mx_silent, "4.4.3", LOOKING_UP, marks=pytest.mark.long),
        (cname_loop, "4.4.3", LOOKING_UP),
        (host_servfail, "4.4.3", LOOKING_UP),
        (refused, "4.4.1", "cannot connect: "),
        (better_than_we_refuses, "4.4.1", "cannot connect: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mail_waits_for_what_may_pass(place, person, set_up, status, words):
    set_up(place)
    attempt = place.not_sent(person, "deferred")
    assert attempt.enhanced == status
    assert attempt.reply.startswith(words.format(domain=place.domain))
    assert attempt.address in {"", NOBODY}


# -- Who must prove what -----------------------------------------------------------------------------------------------


def proved(place, *records):
    """All of it is signed, and TLSA records say what the host has to show."""
    place.mx(f"10 {place.host}")
    where = f"_{place.internet.port}._tcp.{place.host}"
    if records:
        place.dns.add(where, "TLSA", *records)
    for name in (place.domain, place.host, where):
        place.dns.misbehave(name, authentic)
    return where


def tlsa(certified):
    return f"3 1 0 {certified.spki.hex()}"


def test_dane_takes_the_host_that_the_dns_names_whatever_else_its_certificate_says(place, person):
    shown = Certified("nobody", names=["elsewhere.test"], begin=NOW - 3 * DAY, end=NOW - DAY)
    proved(place, tlsa(shown))
    with place.listening(shown) as mx:
        assert place.sent(person).tls.endswith(", proved by DANE")
        assert mx.messages[0].tls


def test_dane_takes_no_other_though_its_certificate_is_valid(place, person):
    proved(place, tlsa(Certified("somebody else")))
    with place.listening(place.certified()) as mx:
        attempt = place.not_sent(person, "deferred")
        assert (attempt.enhanced, attempt.reply) == ("4.7.5", "DANE: no TLSA record fits the certificate")
        assert mx.messages == []


def test_dane_takes_nothing_without_tls(place, person):
    proved(place, tlsa(Certified("mx")))
    with place.listening() as mx:
        assert place.not_sent(person, "deferred").enhanced == "4.7.4"
        assert mx.messages == []


def test_a_host_whose_tlsa_records_cannot_be_looked_up_is_not_used(place, person):
    where = proved(place)
    place.dns.misbehave(where, servfail)
    with place.listening(place.certified()) as mx:
        attempt = place.not_sent(person, "deferred")
        assert attempt.enhanced == "4.4.3"
        assert attempt.reply.startswith(f"cannot look up the TLSA records of {place.host}: ")
        assert mx.connections == 0


def test_what_dnssec_does_not_prove_asks_for_nothing(place, person):
    place.mx(f"10 {place.host}")
    place.dns.add(f"_{place.internet.port}._tcp.{place.host}", "TLSA", tlsa(Certified("somebody else")))
    with place.listening(place.certified()) as mx:
        assert place.sent(person).tls.startswith("TLS")
        assert mx.messages[0].tls


def policy(place, mode, *hosts, status=200):
    """Publish a policy of MTA-STS."""
    place.mx(f"10 {place.host}")
    place.dns.add(f"_mta-sts.{place.domain}", "TXT", '"v=STSv1; id=1;"')
    place.dns.add(f"mta-sts.{place.domain}", "A", "127.0.0.1")
    named = "".join(f"mx: {host}\r\n" for host in hosts or [place.host])
    text = f"version: STSv1\r\nmode: {mode}\r\n{named}max_age: 86400\r\n".encode()
    place.internet.web.answers[f"mta-sts.{place.domain}", POLICY_PATH] = (status, text)


def test_mta_sts_takes_a_host_that_is_named_and_has_a_valid_certificate(place, person):
    policy(place, "enforce")
    with place.listening(place.certified()) as mx:
        assert place.sent(person).tls.endswith(", proved by MTA-STS")
        assert mx.messages[0].tls


@pytest.mark.parametrize(
    ("shown", "status", "words"),
    [
        ("another name", "4.7.5", "the certificate is for another name than {host}"),
        ("expired", "4.7.5", "the certificate has expired"),
        ("self-signed", "4.7.5", "the certificate is self-signed"),
        ("none", "4.7.4", "TLS is required and was not to be had"),
    ],
)
def test_mta_sts_takes_no_other_where_it_is_enforced_and_any_where_it_is_tested(place, person, shown, status, words):
    certified = {
        "another name": lambda: place.certified("elsewhere.test"),
        "expired": lambda: place.certified(begin=NOW - 3 * DAY, end=NOW - DAY),
        "self-signed": lambda: Certified("mx", names=[place.host]),
        "none": lambda: None,
    }[shown]()
    policy(place, "enforce")
    with place.listening(certified) as mx:
        attempt = place.not_sent(person, "deferred")
        assert (attempt.enhanced, attempt.reply) == (status, words.format(host=place.host))
        assert mx.messages == []
    testing = Place(place.internet)
    policy(testing, "testing")
    with testing.listening(certified) as mx:
        testing.sent(person)
        assert mx.messages[0].tls is (certified is not None)


def test_mta_sts_takes_no_host_that_is_not_named(place, person):
    policy(place, "enforce", f"other.{place.domain}")
    with place.listening(place.certified()) as mx:
        attempt = place.not_sent(person, "deferred")
        assert attempt.enhanced == "4.7.0"
        assert attempt.reply == f"the MTA-STS policy of {place.domain} does not name its mail hosts ({place.host})"
        assert mx.connections == 0


def test_a_policy_that_is_not_to_be_had_hinders_nothing(place, person):
    policy(place, "enforce", f"other.{place.domain}", status=404)
    with place.listening() as mx:
        place.sent(person)
        assert mx.messages


# -- Hosts that take their time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [HANG, DRIP], ids=["silent", "a byte a second"])
def test_a_host_that_takes_its_time_delays_nobody_else(internet, person, slow):
    places = [Place(internet) for _ in range(3)]
    for one in places:
        one.mx(f"10 {one.host}")
    greeting, answering, quick = places
    with (
        greeting.listening(says={"GREETING": slow}) as first,
        answering.listening(says={"RCPT": slow}) as second,
        quick.listening() as third,
    ):
        waiting = [one.send(person) for one in (greeting, answering)]
        until(lambda: first.connections and any(command.startswith("RCPT") for command in second.commands))
        for _ in range(3):
            quick.send(person)
        third.wait(3)
        assert [internet.attempts(queue_id) for queue_id in waiting] == [[], []]
        first.drop_all()
        second.drop_all()
        # What was broken off is tried again, and by then they are well.
        first.says, second.says = {}, {}
        first.wait(1)
        second.wait(1)


def test_mail_for_many_recipients_is_not_held_up_by_those_whose_host_is_slow(internet, person):
    slow, quick = Place(internet), Place(internet)
    for one in (slow, quick):
        one.mx(f"10 {one.host}")
    with slow.listening(says={"DOT": HANG}) as first, quick.listening() as second:
        with person.submission() as smtp:
            assert smtp.envelope(person.address, slow.recipient, quick.recipient).startswith(b"250")
            assert smtp.data(b"From: <%s>\r\n\r\nx\r\n" % person.address.encode()).startswith(b"250")
        second.wait(1)
        until(lambda: "DATA" in first.commands)
        first.says = {}
        first.drop_all()
        first.wait(1)
        assert len(second.messages) == 1
