"""The DNS servers that we ask: where they are written down, and how well each has served."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from a3mailer_site.env import Env, SettingError, host_and_port

DNS_PORT = 53

# Seconds that a server which did not answer goes to the end of the line; doubled by each further failure in a row.
PENALTY_FIRST = 2.0
PENALTY_LONGEST = 60.0


@dataclass(slots=True)
class Server:
    """One DNS server. ``trusted``: its word that an answer is authentic (the AD bit) is believed."""

    host: str
    port: int = DNS_PORT
    trusted: bool = False
    edns: bool = True  # false once it has refused a query with EDNS(0) as malformed
    failures: int = field(default=0, compare=False)  # in a row
    shunned_until: float = field(default=0.0, compare=False)

    def succeeded(self) -> None:
        """It answered: the slate is clean."""
        self.failures = 0
        self.shunned_until = 0.0

    def failed(self, now: float) -> None:
        """It did not answer: let others go first for a while."""
        self.shunned_until = now + min(PENALTY_FIRST * 2**self.failures, PENALTY_LONGEST)
        self.failures = min(self.failures + 1, 10)


def in_order(servers: Iterable[Server], now: float) -> list[Server]:
    """Return the servers in the order to ask: as configured, and those that failed lately last, soonest back first."""
    return sorted(servers, key=lambda server: server.shunned_until if server.shunned_until > now else 0.0)


def configured(env: Env, resolv_conf: Path = Path("/etc/resolv.conf")) -> list[Server]:
    """Return the servers of ``A3MAILER_DNS_SERVERS``, else of ``resolv.conf``, else the one of this machine.

    Raises ``SettingError`` when the setting cannot be read.
    """
    if env.dns_servers:
        found = [host_and_port(part, "A3MAILER_DNS_SERVERS") for part in env.dns_servers.split(",")]
        for host, _port in found:
            if not _is_address(host):
                raise SettingError(f"A3MAILER_DNS_SERVERS has {host!r}; a DNS server is given by its address")
    else:
        found = [(host, DNS_PORT) for host in _nameservers(resolv_conf)] or [("127.0.0.1", DNS_PORT)]
    believed = {part.strip() for part in env.dns_trusted.split(",")}
    return [Server(host, port, trusted=host in believed or _is_loopback(host)) for host, port in found]


def _nameservers(path: Path) -> list[str]:
    """Read the ``nameserver`` lines of a resolv.conf(5); the first three count, as for everybody else."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    named = [parts[1] for parts in words if len(parts) > 1 and parts[0] == "nameserver"]
    return [host for host in named if _is_address(host)][:3]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback
