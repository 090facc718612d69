"""How much a host that nobody knows may ask for on the port for mail from outside.

Counted for its address and for the network around it, whose size is that of the widest block: who has a network gets
little more by using all of it. Beyond a limit the answer is temporary, and what is refused is not counted, so that
whoever waits gets in. Everything is in the memory of this process and belongs to the reactor's thread.

Who is from this machine or on the allow-list, has logged in, or comes over LMTP, is no stranger.
"""

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import structlog

from a3mailer_site.env import Allowance, current
from a3mailer_site.figures import figures
from domains import greylisting
from mailcore.dialogue import Peer
from mailcore.message.envelope import Envelope, Reply
from mailcore.smtp.suspicion import Ours
from security import blocklist
from security.sliding import SlidingCounts

log = structlog.get_logger("mailcore.smtp.strangers")

TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections from your network, try again later")
TOO_MANY_MISTAKES = Reply(421, "4.7.0", "Too many errors from your network lately, try again later")
MISTAKES_LATELY = Reply(450, "4.7.1", "Too many errors from your network lately, try again later")
TOO_MANY_MESSAGES = Reply(450, "4.7.1", "Too many messages from your network lately, try again later")
TOO_MANY_UNKNOWN = Reply(450, "4.7.1", "Too many unknown recipients from your network lately, try again later")
TOO_MANY_ADDRESSES = Reply(450, "4.7.1", "Too many recipients from your network lately, send the rest later")

# Addresses and networks that are remembered for each thing that is counted. Some 200 bytes each.
REMEMBERED = 20_000
# Sessions that wait for the answer to a mistake, at once: who comes then is told to go, and holds nothing.
HELD_AT_ONCE = 200
# Seconds that each question about recipients waits once a source has used this share of its unknown ones.
SUSPECT_SHARE = 0.5
SUSPECT_WAITS = 1.0
# Counted as one address: who has an IPv6 network has 2^64 addresses in it.
_V6_HOST = 64


class Act(Enum):
    """What is counted. The value is its name in figures and in the log."""

    CONNECTION = "connections"
    MESSAGE = "messages"
    RECIPIENT = "recipients"
    ERROR = "errors"
    UNKNOWN = "unknown"  # recipients that are not here


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that is reached: where, how much that is, and whether this is the first that the log hears of it."""

    place: str
    limit: int
    news: bool


def tarpit(number: int) -> float:
    """Return how many seconds the answer to the ``number``-th mistake of a session waits."""
    env = current()
    beyond = number - env.tarpit_after
    if not env.tarpit_after or beyond <= 0:
        return 0.0
    return float(min(2 ** min(beyond - 1, 30), env.tarpit_longest))


def is_exempt(address: str) -> bool:
    """Say whether somebody at this address is no stranger: from this machine, or on the allow-list."""
    return ipaddress.ip_address(address).is_loopback or blocklist.guard.allows(address)


def stranger_of(envelope: Envelope) -> str:
    """Return the address of the stranger who sends this; "" when it is somebody else."""
    return envelope.client.peer.address if envelope.client and envelope.client.stranger else ""


def ours(doors: Any) -> Ours:
    """Return what nobody else may call himself: our names, and the address of ours that the connection came to."""
    connection = doors.connection
    host = connection.transport.getHost() if connection is not None else None
    return Ours(current().host_name, {host.host} if host is not None else (), greylisting.policies_now() or ())


class Strangers:
    """What strangers have done lately, and whether it was too much."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = {act: SlidingCounts(REMEMBERED) for act in Act}
        self._here: dict[Peer, tuple[str, str]] = {}
        self._open: Counter[str] = Counter()
        self._told: OrderedDict[tuple[Act, str], float] = OrderedDict()
        self.held = 0  # sessions that wait in ``hold``

    def enter(self, peer: Peer) -> Reply | None:
        """Count a connection that has begun, or say why it is one too many. ``leave`` ends it."""
        if self.excess(Act.ERROR, peer.address):
            return TOO_MANY_MISTAKES
        if self.excess(Act.CONNECTION, peer.address):
            return TOO_MANY_CONNECTIONS
        if peer not in self._here:
            places = self._here[peer] = _places(peer.address)
            self._open.update(places)
        return None

    def leave(self, peer: Peer) -> None:
        """Forget a connection, if it was let in."""
        for place in self._here.pop(peer, ()):
            self._open[place] -= 1
            if not self._open[place]:
                del self._open[place]

    def count(self, act: Act, address: str) -> None:
        """Note that a stranger at this address did something."""
        now, seconds = self._clock(), current().inbound_window
        for place in _places(address):
            self._counts[act].add(place, 1, now=now, seconds=seconds)

    def excess(self, act: Act, address: str) -> Excess | None:
        """Say if no more of this may come from here now. Who asks refuses: it is counted, and logged at times."""
        for whose, place, limit, used in self._uses(act, address):
            # A hair's breadth for what floating point makes of whole numbers.
            if used + 1e-6 >= limit:
                figures.count(f"smtp.limited.{act.value}.{whose}")
                return Excess(place, limit, self._tell(act, place, limit, address))
        return None

    def suspects(self, address: str) -> bool:
        """Say whether this source seems to try out which addresses there are."""
        return any(used >= limit * SUSPECT_SHARE for _whose, _place, limit, used in self._uses(Act.UNKNOWN, address))

    def _uses(self, act: Act, address: str) -> Iterator[tuple[str, str, int, float]]:
        """Give each limit that holds here: whose, for what place, how much it is, and how much of it is used."""
        now, seconds = self._clock(), current().inbound_window
        for whose, place, limit in zip(("address", "network"), _places(address), _allowance(act), strict=True):
            if not limit:
                continue
            if act is Act.CONNECTION:
                yield whose, place, limit, self._open[place]
            else:
                yield whose, place, limit, self._counts[act].count(place, now=now, seconds=seconds)

    async def hold(self, seconds: float, pause: Callable[[float], Awaitable[None]]) -> bool:
        """Let a stranger wait; ``False`` at once when too many wait already."""
        if self.held >= HELD_AT_ONCE:
            return False
        figures.count("smtp.slowed")
        self.held += 1
        try:
            await pause(seconds)
        finally:
            self.held -= 1
        return True

    def forget(self) -> None:
        """Forget everything (tests)."""
        for counts in self._counts.values():
            counts.clear()
        self._here.clear()
        self._open.clear()
        self._told.clear()

    def _tell(self, act: Act, place: str, limit: int, address: str) -> bool:
        """Say it in the log, once in each window: a flood of refusals is no flood of lines."""
        now, seconds = self._clock(), current().inbound_window
        if now - self._told.get((act, place), float("-inf")) < seconds:
            return False
        self._told[act, place] = now
        self._told.move_to_end((act, place))
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        log.warning(
            "a limit of the SMTP port is reached; more is put off",
            what=act.value,
            source=place,
            limit=limit,
            peer=address,
        )
        return True


def _allowance(act: Act) -> Allowance:
    env = current()
    match act:
        case Act.CONNECTION:
            return env.allowance("inbound_connections")
        case Act.MESSAGE:
            return env.allowance("inbound_messages")
        case Act.RECIPIENT:
            return env.allowance("inbound_recipients")
        case Act.ERROR:
            return env.allowance("inbound_errors")
        case Act.UNKNOWN:
            return env.allowance("inbound_unknown")


def _places(address: str) -> tuple[str, str]:
    """Return under which names a host and its network are counted."""
    env = current()
    return _named(address, env.block_prefix_v4, env.block_prefix_v6)


@lru_cache(maxsize=4096)
def _named(address: str, prefix_v4: int, prefix_v6: int) -> tuple[str, str]:
    ip = ipaddress.ip_address(address)
    host, network = (_V6_HOST, prefix_v6) if ip.version == 6 else (32, prefix_v4)
    # With the length of the prefix in both, so that a host and a network are never the same.
    return str(
        ipaddress.ip_network((ip, host), strict=False)
    ), f"around {ipaddress.ip_network((ip, network), strict=False)}"


# Those of this process.
strangers = Strangers()
