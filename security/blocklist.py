"""Whether an address may connect: the one rule, for every listener of the mail core and for the web.

The list is in memory wherever it is asked: the mail process reads it before its first connection and whenever the
generation ``blocks`` moves; processes that serve the web call ``look`` before each use, which asks the database at
most twice a second. Without a database the last list that was read holds. A block ends by itself at its time.

    guard.refuses("192.0.2.100")        # counts a hit where it says yes

What is allowed is never blocked. 127.0.0.1, ::1 and the trusted proxies always are; other loopback addresses can be
blocked only from the command line (``blockip --force``), which is how tests see a block work.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import structlog
from django.db import DatabaseError, InterfaceError, models, transaction
from django.db.models import F, Value
from django.utils import timezone

from a3mailer_site.api.peers import Address
from a3mailer_site.env import Network
from a3mailer_site.generations import Watch, listen
from security.models import AllowedNetwork, BlockedAddress
from security.networks import parse_address, parse_network, trusted_proxies, written

log = structlog.get_logger("security.blocklist")

ALWAYS_ALLOWED = ("127.0.0.1", "::1")
# Seconds between two looks at the database, in a process that nobody rings for; and after the database has failed.
_LOOK_EVERY = 0.5
# Seconds between two times that hits are written down, and rows in one transaction.
WRITE_EVERY = 3.0
_ROWS = 100


class Networks:
    """A set of networks, each with a value, that says which one an address lies in."""

    def __init__(self, networks: Iterable[tuple[Network, float]]) -> None:
        self._by_prefix: dict[tuple[int, int], dict[int, tuple[Network, float]]] = {}
        for network, value in networks:
            shift = network.max_prefixlen - network.prefixlen
            same = self._by_prefix.setdefault((network.version, shift), {})
            same[int(network.network_address) >> shift] = (network, value)

    def covering(self, address: Address, least: float = float("-inf")) -> Network | None:
        """Return a network around the address whose value is above ``least``. One look a prefix length in use."""
        number = int(address)
        for (version, shift), same in self._by_prefix.items():
            if version == address.version:
                found = same.get(number >> shift)
                if found is not None and found[1] > least:
                    return found[0]
        return None


class Blocklist:
    """Blocked and allowed networks as they were read at one moment. Never changed, so that threads can share it."""

    def __init__(
        self, blocks: Iterable[tuple[str, float | None]] = (), allowed: Iterable[str | Network] = ALWAYS_ALLOWED
    ) -> None:
        """``blocks`` with their end in Unix time, ``None`` for permanent ones."""
        self._blocks = Networks((parse_network(text), float("inf") if end is None else end) for text, end in blocks)
        self._allowed = Networks((parse_network(str(one)), 0.0) for one in allowed)

    def covering(self, address: str, now: float) -> str | None:
        """Return the block that keeps this address out at ``now`` (Unix time); ``None`` when it may come in."""
        try:
            parsed = parse_address(address)
        except ValueError:
            return None
        found = self._blocks.covering(parsed, now)
        if found is None or self._allowed.covering(parsed) is not None:
            return None
        return written(found)

    def allows(self, address: str) -> bool:
        """Say whether this address is on the allow-list."""
        try:
            return self._allowed.covering(parse_address(address)) is not None
        except ValueError:
            return False


def read(now: datetime | None = None) -> Blocklist:
    """Read the list from the database, in one statement."""
    blocked = BlockedAddress.objects.in_force(now or timezone.now()).order_by().annotate(allowed=Value(0))
    allowed = AllowedNetwork.objects.order_by().annotate(
        allowed=Value(1), end=Value(None, output_field=models.DateTimeField())
    )
    rows = list(
        blocked.values_list("network", "expires_at", "allowed").union(
            allowed.values_list("network", "end", "allowed"), all=True
        )
    )
    return Blocklist(
        ((network, end.timestamp() if end else None) for network, end, is_allowed in rows if not is_allowed),
        [*ALWAYS_ALLOWED, *trusted_proxies(), *(network for network, _end, is_allowed in rows if is_allowed)],
    )


class Guard:
    """The list that is in force in this process, and what it has refused since that was last written down."""

    def __init__(self) -> None:
        self._list = Blocklist()
        self._lock = threading.Lock()
        self._hits: dict[str, tuple[int, float]] = {}

    def use(self, blocklist: Blocklist) -> None:
        """Put another list in force."""
        self._list = blocklist

    @property
    def in_force(self) -> Blocklist:
        """The list, as it is now."""
        return self._list

    def covers(self, address: str) -> bool:
        """Say whether the address is kept out."""
        return self._list.covering(address, time.time()) is not None

    def allows(self, address: str) -> bool:
        """Say whether the address is on the allow-list."""
        return self._list.allows(address)

    def refuses(self, address: str) -> bool:
        """Say whether somebody who comes from this address is turned away, and count it."""
        now = time.time()
        network = self._list.covering(address, now)
        if network is None:
            return False
        with self._lock:
            self._hits[network] = (self._hits.get(network, (0, 0.0))[0] + 1, now)
        return True

    def take_hits(self) -> dict[str, tuple[int, float]]:
        """Return what was refused since the last time: by block, how often and when last (Unix time)."""
        with self._lock:
            hits, self._hits = self._hits, {}
        return hits

    def give_back(self, hits: Mapping[str, tuple[int, float]]) -> None:
        """Take back what could not be written down now."""
        with self._lock:
            for network, (count, last) in hits.items():
                more, later = self._hits.get(network, (0, 0.0))
                self._hits[network] = (count + more, max(last, later))


# The list of this process.
guard = Guard()


def write_hits(hits: Mapping[str, tuple[int, float]]) -> None:
    """Add to the rows. A block that has been lifted meanwhile has no row, and its hits are forgotten."""
    todo = sorted(hits.items())
    for start in range(0, len(todo), _ROWS):
        with transaction.atomic():
            for network, (count, last) in todo[start : start + _ROWS]:
                # Not save(): nobody has to read the list anew because of a hit.
                BlockedAddress.objects.filter(network=network).update(
                    hits=F("hits") + count, last_seen=datetime.fromtimestamp(last, UTC)
                )


class _Looks:
    """When this process reads the list again, where no poller tells it to."""

    def __init__(self) -> None:
        self.stale = True
        self.reading = threading.Lock()
        self.watch = Watch("blocks", _LOOK_EVERY)
        self.not_before = 0.0
        self.written_at = 0.0


_looks = _Looks()


def forget() -> None:
    """Read the list anew at the next ``look``."""
    _looks.stale = True


listen("blocks", forget)


def look() -> None:
    """Read the list again if it may have changed. Never raises: while the database is away the last one holds."""
    if time.monotonic() < _looks.not_before:
        return
    try:
        _looks.watch.look()
        # One at a time: of two who read at once the slower one could put an older list in force.
        if _looks.stale and _looks.reading.acquire(blocking=False):
            try:
                _looks.stale = False
                guard.use(read())
            finally:
                _looks.reading.release()
    except (DatabaseError, InterfaceError) as error:
        _looks.stale = True
        _looks.not_before = time.monotonic() + _LOOK_EVERY
        log.warning("the block list cannot be read; the last one holds", reason=str(error))


def write_down(*, at_once: bool = False) -> None:
    """Write down what was refused, if that was not done in the last seconds. Never raises."""
    if not at_once and time.monotonic() - _looks.written_at < WRITE_EVERY:
        return
    _looks.written_at = time.monotonic()
    hits = guard.take_hits()
    try:
        write_hits(hits)
    except (DatabaseError, InterfaceError) as error:
        guard.give_back(hits)
        log.warning("refused connections cannot be written down now", reason=str(error))
