"""Names of hosts: asked for in the background, known in time or not at all."""

import pytest
from dns.name import Name
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailcore.resolver.answers import DnsFailureError, NoSuchNameError
from mailcore.smtp import reverse_names as module
from mailcore.smtp.reverse_names import PATIENCE, ReverseNames
from mailcore.smtp.suspicion import UNKNOWN, Reverse

HOST = "192.0.2.1"
PTR = "1.2.0.192.in-addr.arpa."


class Answer:
    def __init__(self, names=(), addresses=()):
        self.names, self.addresses = list(names), list(addresses)


class FakeResolver:
    """Answers from a table; what is not in it is asked for and never answered."""

    def __init__(self, table):
        self.table, self.asked = table, []

    async def resolve(self, name, kind):
        name = name.to_text() if isinstance(name, Name) else name
        self.asked.append((name, kind))
        found = self.table.get((name, kind))
        if found is None:
            await Deferred()
        if isinstance(found, Exception):
            raise found
        return found


NOT_THERE = NoSuchNameError("x")
FAILED = DnsFailureError("x", "no answer")


def look_up(table, address=HOST):
    names, clock = ReverseNames(), Clock()
    names.use(FakeResolver(table), clock)
    names.begin(address)
    found = []
    Deferred.fromCoroutine(names.find(address)).addCallback(found.append)
    if not found:
        clock.advance(PATIENCE - 0.1)
        assert not found
        clock.advance(0.2)
    assert names.known(address) == found[0]
    return found[0]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({(PTR, "PTR"): Answer(["a.example"]), ("a.example", "A"): Answer((), [HOST])},
         Reverse(True, ("a.example",), "a.example")),
        ({(PTR, "PTR"): Answer(["a.example", "b.example"]), ("a.example", "A"): NOT_THERE,
          ("b.example", "A"): Answer((), ["192.0.2.9", HOST])},
         Reverse(True, ("a.example", "b.example"), "b.example")),
        ({(PTR, "PTR"): Answer(["a.example"]), ("a.example", "A"): Answer((), ["192.0.2.9"])},
         Reverse(True, ("a.example",))),
        ({(PTR, "PTR"): NOT_THERE}, Reverse(True)),
        ({(PTR, "PTR"): Answer()}, Reverse(True)),
        ({(PTR, "PTR"): FAILED}, UNKNOWN),
        ({(PTR, "PTR"): Answer(["a.example"]), ("a.example", "A"): FAILED}, UNKNOWN),
        ({}, UNKNOWN),
        ({(PTR, "PTR"): Answer(["a.example"])}, UNKNOWN),
    ],
)  # fmt: skip
def test_what_the_dns_says_and_when_it_says_nothing(table, expected):
    assert look_up(table) == expected


def test_an_ipv6_host_has_to_lead_back_by_aaaa():
    name = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
    table = {(name, "PTR"): Answer(["a.example"]), ("a.example", "AAAA"): Answer((), ["2001:db8::1"])}
    assert look_up(table, "2001:db8::1").confirmed == "a.example"


def test_what_is_known_or_under_way_is_not_asked_again_and_all_who_wait_are_told():
    names, clock = ReverseNames(), Clock()
    resolver = FakeResolver({})
    names.use(resolver, clock)
    found = []
    for _ in range(3):
        names.begin(HOST)
        Deferred.fromCoroutine(names.find(HOST)).addCallback(found.append)
    assert resolver.asked == [(PTR, "PTR")]
    assert names.known(HOST) == UNKNOWN
    clock.advance(PATIENCE)
    assert found == [UNKNOWN] * 3
    resolver.table[PTR, "PTR"] = NOT_THERE
    for _ in range(3):
        names.begin(HOST)
    assert len(resolver.asked) == 2
    assert names.known(HOST) == Reverse(True)


def test_there_are_never_too_many_questions_and_none_without_a_resolver(monkeypatch):
    monkeypatch.setattr(module, "FLIGHTS", 2)
    names, resolver = ReverseNames(), FakeResolver({})
    names.begin(HOST)
    names.use(resolver, Clock())
    for number in range(5):
        names.begin(f"192.0.2.{number}")
    assert len(resolver.asked) == 2
    found = []
    Deferred.fromCoroutine(names.find("192.0.2.4")).addCallback(found.append)
    assert found == [UNKNOWN]


def test_more_names_than_anybody_needs_are_not_looked_at():
    many = [f"n{number}.example" for number in range(100)]
    table = {(PTR, "PTR"): Answer(many), **{(name, "A"): NOT_THERE for name in many}}
    assert len(look_up(table).names) == 4
