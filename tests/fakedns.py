"""A small authoritative DNS server on loopback, UDP and TCP, for tests. It lies on demand.

    with FakeDns() as dns:
        dns.add("example.com", "MX", "10 mx.example.com.")
        dns.misbehave("broken.example", Servfail())
        environ["A3MAILER_DNS_SERVERS"] = dns.address

It runs in two threads of its own, so it serves this process and any other on the machine alike.
"""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.message import Message
from dns.name import Name
from dns.rdatatype import RdataType

Behaviour = Callable[["Exchange"], bytes | None]


@dataclass
class Exchange:
    """One query as it came, and the honest reply to it; a behaviour returns what is sent instead."""

    query: Message
    reply: Message
    over_tcp: bool
    stopping: threading.Event


def honest(exchange: Exchange) -> bytes | None:
    return exchange.reply.to_wire(max_size=65535)


def servfail(exchange: Exchange) -> bytes | None:
    return rcode(dns.rcode.SERVFAIL)(exchange)


def rcode(code: dns.rcode.Rcode) -> Behaviour:
    def answer(exchange: Exchange) -> bytes | None:
        reply = dns.message.make_response(exchange.query)
        reply.set_rcode(code)
        return reply.to_wire()

    return answer


def silent(exchange: Exchange) -> bytes | None:
    return None


def truncated(exchange: Exchange) -> bytes | None:
    """By UDP only that it did not fit; whole by TCP."""
    if exchange.over_tcp:
        return exchange.reply.to_wire(max_size=65535)
    reply = dns.message.make_response(exchange.query)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def wrong_id(exchange: Exchange) -> bytes | None:
    exchange.reply.id ^= 0x5555
    return exchange.reply.to_wire(max_size=65535)


def other_question(exchange: Exchange) -> bytes | None:
    reply = dns.message.make_response(dns.message.make_query("elsewhere.example", exchange.query.question[0].rdtype))
    reply.id = exchange.query.id
    return reply.to_wire()


def garbage(exchange: Exchange) -> bytes | None:
    return exchange.query.id.to_bytes(2, "big") + b"\x81\x80\xff\xff\xff"


def authentic(exchange: Exchange) -> bytes | None:
    """The honest answer, with the AD bit."""
    exchange.reply.flags |= dns.flags.AD
    return exchange.reply.to_wire(max_size=65535)


def no_edns(exchange: Exchange) -> bytes | None:
    """An old server: a query with EDNS(0) is malformed to it."""
    return exchange.reply.to_wire(max_size=65535) if exchange.query.edns < 0 else rcode(dns.rcode.FORMERR)(exchange)


def slow(seconds: float) -> Behaviour:
    def answer(exchange: Exchange) -> bytes | None:
        exchange.stopping.wait(seconds)
        return exchange.reply.to_wire(max_size=65535)

    return answer


@dataclass
class FakeDns:
    """The server; ``address`` is ``host:port`` once it is entered."""

    host: str = "127.0.0.1"
    default: Behaviour = honest
    # TTL of the SOA in negative answers; None leaves it out.
    negative_ttl: int | None = 60
    asked: Counter[str] = field(default_factory=Counter)  # "example.com MX", "example.com MX tcp"

    def __post_init__(self) -> None:
        self._records: dict[tuple[Name, RdataType], dns.rrset.RRset] = {}
        self._behaviours: dict[Name, Behaviour] = {}
        self._stopping = threading.Event()

    def add(self, name: str, rdtype: str, *texts: str, ttl: int = 300) -> None:
        """Add records; names in them are absolute with or without the dot."""
        owner = dns.name.from_text(name)
        added = dns.rrset.from_text_list(owner, ttl, "IN", rdtype, texts, origin=dns.name.root, relativize=False)
        known = self._records.setdefault((owner, added.rdtype), added)
        for record in added:
            known.add(record, ttl)

    def remove(self, name: str) -> None:
        """Forget a name."""
        owner = dns.name.from_text(name)
        self._records = {key: value for key, value in self._records.items() if key[0] != owner}

    def misbehave(self, name: str, behaviour: Behaviour) -> None:
        """Answer every question about this name in that way."""
        self._behaviours[dns.name.from_text(name)] = behaviour

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._udp, self._tcp = _pair(self.host)
        self.port = self._udp.getsockname()[1]
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                wire, client = self._udp.recvfrom(65535)
                threading.Thread(target=self._answer_datagram, args=(wire, client), daemon=True).start()

    def _answer_datagram(self, wire: bytes, client: tuple[str, int]) -> None:
        reply = self._reply(wire, over_tcp=False)
        if reply is not None:
            with contextlib.suppress(OSError):
                self._udp.sendto(reply, client)

    def _serve_tcp(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                connection, _client = self._tcp.accept()
                with connection:
                    connection.settimeout(2)
                    length = int.from_bytes(_exactly(connection, 2), "big")
                    reply = self._reply(_exactly(connection, length), over_tcp=True)
                    if reply is not None:
                        # In two pieces: a reader must put them together.
                        framed = len(reply).to_bytes(2, "big") + reply
                        connection.sendall(framed[:3])
                        connection.sendall(framed[3:])

    def _reply(self, wire: bytes, *, over_tcp: bool) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name = question.name
        self.asked[f"{name.to_text(omit_final_dot=True)} {question.rdtype.name}{' tcp' if over_tcp else ''}"] += 1
        behaviour = self._behaviours.get(name, self.default)
        return behaviour(Exchange(query, self._honest_reply(query), over_tcp, self._stopping))

    def _honest_reply(self, query: Message) -> Message:
        reply = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name = question.name
        for _link in range(20):
            found = self._records.get((name, question.rdtype))
            if found is not None:
                reply.answer.append(found)
                return reply
            alias = self._records.get((name, RdataType.CNAME))
            if alias is None:
                break
            reply.answer.append(alias)
            name = alias[0].target
        if not any(owner == name or owner.is_subdomain(name) for owner, _rdtype in self._records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if self.negative_ttl is not None:
            zone = name.parent() if len(name) > 2 else name
            soa = f"ns.invalid. hostmaster.invalid. 1 2 3 4 {self.negative_ttl}"
            reply.authority.append(dns.rrset.from_text(zone, self.negative_ttl, "IN", "SOA", soa))
        return reply


def _pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Open a UDP and a TCP socket on the same free port."""
    for _attempt in range(50):
        tcp = socket.create_server((host, 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind((host, tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
            continue
        tcp.settimeout(0.1)
        udp.settimeout(0.1)
        return udp, tcp
    raise OSError("no port is free for UDP and TCP alike")


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise OSError("the client is gone")
        data += piece
    return data
