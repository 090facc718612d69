import pytest
from dns.name import from_text as to_name
from dns.rdata import from_text as to_record
from twisted.internet.defer import Deferred

from mailcore.resolver.answers import Answer, DnsFailureError, NoSuchNameError
from mailcore.resolver.mail_hosts import HOST_LIMIT, MailHost, NoMailHostError, Ourselves, mail_hosts

ZONE = {
    "one.example MX": ["10 a.example."],
    "many.example MX": ["20 c.example.", "10 a.example.", "10 b.example."],
    "null.example MX": ["0 ."],
    "half-null.example MX": ["0 .", "10 a.example."],
    "self.example MX": ["10 us.example.", "20 a.example."],
    "backup.example MX": ["10 a.example.", "20 us.example.", "20 b.example.", "30 c.example."],
    "hidden.example MX": ["10 loop.example.", "20 a.example."],
    "plain.example A": ["192.0.2.80"],
    "plain.example AAAA": ["2001:db8::80"],
    "addressless.example MX": ["10 nowhere.example."],
    "half-broken.example MX": ["10 broken.example.", "20 a.example."],
    "all-broken.example MX": ["10 broken.example.", "20 nowhere.example."],
    "flood.example MX": [f"{number} a.example." for number in range(200)],
    "a.example A": ["192.0.2.1", "192.0.2.2"],
    "a.example AAAA": ["2001:db8::1"],
    "b.example A": ["192.0.2.3"],
    "c.example AAAA": ["2001:db8::3"],
    "us.example A": ["192.0.2.99"],
    "loop.example A": ["127.0.0.1"],
}
EXISTING = {key.split()[0] for key in ZONE} | {"empty.example"}
US = Ourselves(frozenset({"us.example"}), frozenset({"192.0.2.98"}))


class Zone:
    """Answers out of the table; ``broken.example`` fails."""

    def __init__(self, authentic=False):
        self.authentic = authentic

    async def resolve(self, name, rdtype):
        if name == "broken.example":
            raise DnsFailureError(name, "SERVFAIL")
        if name not in EXISTING:
            raise NoSuchNameError(name)
        records = [to_record("IN", rdtype, text) for text in ZONE.get(f"{name} {rdtype}", [])]
        return Answer(tuple(records), 60, self.authentic, to_name(name))


def hosts(domain, *, ourselves=US, shuffle=lambda hosts: None, authentic=False):
    box = []
    Deferred.fromCoroutine(mail_hosts(Zone(authentic), domain, ourselves, shuffle)).addBoth(box.append)
    if not isinstance(box[0], list):
        raise box[0].value
    return box[0]


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("nxdomain.example", "5.1.2"),
        ("null.example", "5.1.10"),
        ("empty.example", "5.4.4"),
        ("addressless.example", "5.4.4"),
        ("broken.example", "4.4.3"),
        ("all-broken.example", "4.4.3"),
        ("self.example", "5.4.6"),
        ("us.example", "5.4.6"),
        ("hidden.example", "5.4.6"),
        ("loop.example", "5.4.6"),
        ("[192.0.2.98]", "5.4.6"),
        ("[127.0.0.1]", "5.4.6"),
        ("[0.0.0.0]", "5.4.6"),
        ("[IPv6:::1]", "5.4.6"),
        ("[IPv6:::]", "5.4.6"),
        ("[999.0.2.1]", "5.1.2"),
        ("[x]", "5.1.2"),
        ("[]", "5.1.2"),
        ("[IPv6:192.0.2.1]", "5.1.2"),
    ],
)
def test_without_a_host_the_status_says_whether_it_is_for_good(domain, status):
    with pytest.raises(NoMailHostError) as caught:
        hosts(domain)
    assert caught.value.status == status
    assert caught.value.permanent is (status[0] == "5")


def test_both_kinds_of_addresses_take_turns():
    assert hosts("one.example") == [MailHost("a.example", ("2001:db8::1", "192.0.2.1", "192.0.2.2"), 10)]


def test_the_lowest_preference_comes_first_and_equals_are_shuffled():
    assert [host.name for host in hosts("many.example")] == ["a.example", "b.example", "c.example"]
    turned = hosts("many.example", shuffle=lambda listed: listed.reverse())
    assert [host.name for host in turned] == ["b.example", "a.example", "c.example"]


def test_without_mx_the_domain_is_its_own_host():
    assert hosts("plain.example") == [MailHost("plain.example", ("2001:db8::80", "192.0.2.80"))]


def test_a_dot_beside_real_hosts_is_skipped():
    assert [host.name for host in hosts("half-null.example")] == ["a.example"]


def test_ourselves_and_all_that_are_not_better_are_dropped():
    assert [host.name for host in hosts("backup.example")] == ["a.example"]


def test_a_host_that_cannot_be_looked_up_leaves_the_others():
    assert [host.name for host in hosts("half-broken.example")] == ["a.example"]


def test_a_long_list_is_cut():
    assert len(hosts("flood.example")) == HOST_LIMIT


def test_loopback_is_somebody_else_when_the_port_is():
    elsewhere = Ourselves(loopback=False)
    assert hosts("loop.example", ourselves=elsewhere)[0].addresses == ("127.0.0.1",)
    assert hosts("[IPv6:::1]", ourselves=elsewhere) == [MailHost("[IPv6:::1]", ("::1",))]


@pytest.mark.parametrize("authentic", [False, True])
def test_a_host_is_authentic_only_when_all_that_led_to_it_is(authentic):
    assert hosts("one.example", authentic=authentic)[0].authentic is authentic
