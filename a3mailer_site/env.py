"""The only reader of the environment: every setting is one field here, and the comment above it is its manual.

A field ``message_limit`` is set by ``A3MAILER_MESSAGE_LIMIT`` in the environment, or by a line
``A3MAILER_MESSAGE_LIMIT=…`` in ``a3mailer.env`` in the data directory. The real environment wins.
"""

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BASE_DIR = Path(__file__).resolve().parent.parent

# Variables whose names are fixed by custom, without our prefix.
_UNPREFIXED = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}

DEVELOPMENT_LISTEN = {
    "smtp": "127.0.0.1:2525",
    "submission": "127.0.0.1:2587",
    "submissions": "127.0.0.1:2465",
    "imap": "127.0.0.1:2143",
    "imaps": "127.0.0.1:2993",
    "pop3": "127.0.0.1:2110",
    "pop3s": "127.0.0.1:2995",
    "managesieve": "",
    "lmtp": "",
    "http": "127.0.0.1:8080",
    "https": "",
}
PRODUCTION_LISTEN = {
    "smtp": "[::]:25",
    "submission": "[::]:587",
    "submissions": "[::]:465",
    "imap": "[::]:143",
    "imaps": "[::]:993",
    "pop3": "[::]:110",
    "pop3s": "[::]:995",
    "managesieve": "",
    "lmtp": "",
    "http": "127.0.0.1:8080",
    "https": "",
}


_SEND_LIMITS = {"development": "0/0", "production": "1000/5000"}


_MOST_DAYS_AHEAD = 3650

# Within the time that a process has for its last answers.
_LONGEST_TARPIT = 25

# How much of something one host may do, and one network.
Allowance: TypeAlias = tuple[int, int]
ALLOWANCES = ("inbound_connections", "inbound_messages", "inbound_recipients", "inbound_errors", "inbound_unknown")


class SettingError(ValueError):
    """A setting cannot be used. The message names the variable, its value and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """Everything that can be set from outside, with its default."""

    # Where data live: database, message bodies, keys, certificates. Made with mode 0700.
    data_dir: Path = BASE_DIR / "var"

    # The database, as a URL: sqlite:///path or postgres://user:password@host:port/name.
    # Empty: SQLite in the data directory.
    database_url: str = ""

    # Redis for cache, rate limits and channel layer, when several web processes share them. Empty: in the process.
    redis_url: str = ""

    # "development" listens on high ports of 127.0.0.1; "production" on the standard ports of all addresses.
    profile: str = "development"

    # The name of this mail server: greeting, EHLO, Received lines, Message-IDs. Empty: the machine's full name.
    hostname: str = ""

    # The user to run as once the listening sockets are open (only when started as root). Empty: stay.
    user: str = ""

    # Host names under which the web answers, separated by commas; ".example.com" stands for all below it, and "*" is
    # refused: links in pages and mails would follow a forged Host. Empty: the host name, localhost and loopback.
    allowed_hosts: str = ""

    # Signs sessions and tokens. Empty: made at first start and kept in the data directory (0600).
    secret_key: str = ""

    # Where to listen, as host:port; several separated by commas; "off" or empty to switch off.
    # Unset: as the profile says.
    smtp_listen: str = ""
    submission_listen: str = ""
    submissions_listen: str = ""
    imap_listen: str = ""
    imaps_listen: str = ""
    pop3_listen: str = ""
    pop3s_listen: str = ""
    managesieve_listen: str = ""
    lmtp_listen: str = ""
    http_listen: str = ""
    https_listen: str = ""

    # Certificate chain and private key (PEM). Empty: a self-signed pair made in the data directory.
    tls_cert: str = ""
    tls_key: str = ""

    # May passwords be sent without TLS? "never", or "loopback" for clients on this machine (tests and measurements).
    plaintext_auth: str = "never"

    # DNS servers as host:port, separated by commas. Empty: those of /etc/resolv.conf.
    dns_servers: str = ""

    # DNS servers, by address, whose word that DNSSEC proves an answer (the AD bit) is believed although they are not
    # on this machine, separated by commas. Only for servers reached over a network that nobody else can write to.
    dns_trusted: str = ""

    # Proxies whose X-Forwarded-For is believed: addresses or networks, separated by commas.
    trusted_proxies: str = ""

    # Load balancers in front of the mail ports: addresses or networks, separated by commas. Each connection from one of
    # them must begin with a PROXY header (version 1 or 2), and the address in it is believed.
    mail_proxies: str = ""

    # Who may read /metrics without a key: addresses or networks, separated by commas. A request through a proxy that is
    # not among the trusted ones never may, whatever it says. "off": nobody.
    metrics_allow: str = "127.0.0.0/8,::1"

    # For developers: the address of a mailbox here that gets all mail, whomever it is for; nothing is sent to other
    # servers. Empty: mail goes to whom it is for.
    catch_all: str = ""

    # Hold other servers' certificates against their TLSA records where DNSSEC proves these (DANE). Needs a resolver
    # that validates, on this machine or among dns_trusted; with any other nothing changes.
    dane: bool = True

    # Keep to what other domains say over HTTPS of their mail hosts (MTA-STS).
    mta_sts: bool = True

    # What somebody hands in again within so many seconds, unchanged and with its Message-ID, is not sent again:
    # programs do that when they have missed our answer. 0: every message is sent.
    submit_once: int = 3600

    # Private networks and loopback addresses that webhooks may go to, also without TLS, separated by commas. Empty:
    # webhooks go to public addresses only, over https.
    webhook_targets: str = ""

    # How long an event is offered to a webhook that does not take it, in seconds; after as long without any success the
    # webhook is switched off.
    webhook_lifetime: int = 3 * 24 * 3600

    # Hand on what an alias passes to another server with a sender of this server, which bounces come back to. Without
    # that the next server may refuse it, because the sender's domain (SPF) does not know this one.
    rewrite_forwarded: bool = True

    # To how many recipients elsewhere one user may send in an hour and in a day, as 1000/5000; 0 for no limit. What is
    # more is held, and the administrator is told. Unset: 1000/5000 with the profile production, else no limits.
    send_limits: str = ""

    # The most days that a message may be handed in ahead of time (FUTURERELEASE, and the API's send_at). 0: not at all.
    future_release_days: int = 30

    # The largest message accepted, in bytes.
    message_limit: int = 50 * 1024 * 1024

    # The most messages that one user may have, in all mailboxes together. 0: no limit. What is there already stays.
    user_message_limit: int = 0

    # The most recipients in one message.
    recipient_limit: int = 1000

    # What hosts elsewhere may do on the SMTP port: each of them, and all of one network (of the size block_prefix_v4 or
    # block_prefix_v6) together, as 50/200; 0 for no limit. Connections at once; and in inbound_window seconds messages,
    # recipients, and errors (wrong commands and refused recipients). What is more is put off with a temporary refusal.
    # Never for clients on this machine or on the allow-list.
    inbound_connections: str = "50/200"
    inbound_messages: str = "1000/10000"
    inbound_recipients: str = "5000/50000"
    inbound_errors: str = "100/1000"
    inbound_window: int = 600

    # The same for recipients that do not exist here: who tries out which addresses there are is slowed down at half of
    # this, and then gets one temporary answer about all recipients, whether they exist or not.
    inbound_unknown: str = "30/300"

    # After so many errors in one session a host elsewhere waits for the answer to each further one: a second, then
    # twice as long each time, up to tarpit_longest seconds. 0: never.
    tarpit_after: int = 3
    tarpit_longest: int = 10

    # Look up the names of hosts elsewhere that bring mail. They are noted with each message, with what else looks like
    # a program that only sends junk. Nobody is refused for that alone.
    reverse_lookups: bool = True

    # Refuse a host elsewhere that says in EHLO that it is this server: it is not.
    refuse_own_name: bool = True

    # In domains with greylisting: how long a first message waits, in seconds, and from how many points on a host is
    # suspicious (a message's timeline tells its points).
    greylist_wait: int = 300
    suspicious_from: int = 3

    # Seconds that an SMTP client has until it logs in or begins its first message; and that a host elsewhere has for
    # each message then, besides the time to send it at 512 bytes a second. 0: as long as it likes.
    begin_within: int = 300
    message_within: int = 1800

    # Seconds before the greeting on the SMTP port. Whoever speaks in them is refused: programs that send junk often do.
    # Never for clients on this machine or on the allow-list. 0: greet at once; 2 to 5 keep many out.
    greet_delay: int = 0

    # Connections open at once: over all mail ports, and from one address.
    connection_limit: int = 2000
    connection_limit_per_address: int = 1000

    # Bytes that the caches of all processes together may take (addresses, domains, settings), and the most connections
    # to other servers at once. Both are what holds until the API or the web admin sets something else.
    cache_size: int = 128 * 1024 * 1024
    connection_pool_size: int = 100

    # Bytes of message bodies that one process keeps in memory or in spool files while they are received.
    spool_budget: int = 512 * 1024 * 1024

    # Refuse new mail when the data directory's file system has fewer bytes free than this. 0: twice message_limit.
    disk_floor: int = 0

    # How long a message is tried before it is returned, and after how long the sender is told of a delay, in seconds.
    queue_lifetime: int = 5 * 24 * 3600
    delay_notice_after: int = 4 * 3600

    # First and longest pause between two attempts, in seconds; it doubles in between.
    retry_first: int = 300
    retry_longest: int = 3600

    # The most connections to one destination at once.
    destination_concurrency: int = 10

    # Connect to this port of MX hosts. Only tests change it.
    remote_smtp_port: int = 25

    # Fetch policies of other domains from this port of their hosts. Only tests change it.
    remote_https_port: int = 443

    # Days that the message log is kept.
    event_days: int = 30

    # Days that deleted users, domains and purged mail can be had back.
    trash_days: int = 30

    # Days that the audit log is kept. What goes leaves a checkpoint, so that the rest can still be verified.
    audit_days: int = 365

    # The widest networks that can be blocked, as prefix lengths: a smaller number is refused.
    block_prefix_v4: int = 16
    block_prefix_v6: int = 32

    # Mail processes (more than one only on PostgreSQL).
    mail_processes: int = 1

    # Keep the web process to one core: its threads take turns anyway, and taking them on one core is faster.
    web_on_one_core: bool = True

    # Default language of pages and messages: en or zh-hans.
    language: str = "en"

    # Take API keys over plain HTTP from other machines too. Only for networks that nobody else can listen to.
    clear_text_keys: bool = False

    # The most days that a new API key may last; each then needs an end. 0: a key may last for ever.
    api_key_max_days: int = 0

    # Ask for the permission `admin` where the API reference lets `write` suffice for dangerous calls.
    strict_permissions: bool = False

    def __post_init__(self) -> None:
        if self.profile not in {"development", "production"}:
            raise SettingError(f"A3MAILER_PROFILE is {self.profile!r}; it must be development or production")
        if self.plaintext_auth not in {"never", "loopback"}:
            raise SettingError(f"A3MAILER_PLAINTEXT_AUTH is {self.plaintext_auth!r}; it must be never or loopback")
        if "*" in {name.strip() for name in self.allowed_hosts.split(",")}:
            raise SettingError(f"A3MAILER_ALLOWED_HOSTS is {self.allowed_hosts!r}; it must name the hosts, not *")
        if self.connection_pool_size < 1:
            raise SettingError("A3MAILER_CONNECTION_POOL_SIZE is 0; it must be at least 1")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingError("A3MAILER_TLS_CERT and A3MAILER_TLS_KEY go together; only one is set")
        if self.block_prefix_v4 > 32 or self.block_prefix_v6 > 128:
            raise SettingError("A3MAILER_BLOCK_PREFIX_V4 and _V6 are prefix lengths: at most 32 and 128")
        for name in DEVELOPMENT_LISTEN:
            self.listen(name)
        _ = self.sending_limits
        for name in ALLOWANCES:
            self.allowance(name)
        if self.tarpit_longest > _LONGEST_TARPIT:
            raise SettingError(
                f"A3MAILER_TARPIT_LONGEST is {self.tarpit_longest}; it must be at most {_LONGEST_TARPIT}"
            )
        if self.inbound_window < 1:
            raise SettingError("A3MAILER_INBOUND_WINDOW is 0; it must be at least 1")
        _check_networks("A3MAILER_METRICS_ALLOW", "" if self.metrics_allow == "off" else self.metrics_allow)
        if self.future_release_days > _MOST_DAYS_AHEAD:
            raise SettingError(f"A3MAILER_FUTURE_RELEASE_DAYS is {self.future_release_days}; it must be at most 3650")
        _check_networks("A3MAILER_MAIL_PROXIES", self.mail_proxies)
        _check_networks("A3MAILER_WEBHOOK_TARGETS", self.webhook_targets)

    @property
    def host_name(self) -> str:
        """The configured mail name, or the machine's own."""
        return self.hostname or _machine_name()

    @property
    def free_space_floor(self) -> int:
        """Bytes that must stay free on the data directory's file system."""
        return self.disk_floor or 2 * self.message_limit

    @property
    def sending_limits(self) -> tuple[int, int]:
        """Recipients an hour and a day that one user may send to; 0: no limit."""
        return _two_numbers("A3MAILER_SEND_LIMITS", self.send_limits or _SEND_LIMITS[self.profile])

    def allowance(self, name: str) -> Allowance:
        """Return what one host and what one network may do, of those named in ``ALLOWANCES``; 0: no limit."""
        return _two_numbers(f"A3MAILER_{name.upper()}", getattr(self, name))

    def listen(self, name: str) -> list[tuple[str, int]]:
        """Return the addresses for the listener ``name`` ("smtp", "imaps", …); none when it is switched off."""
        text = getattr(self, f"{name}_listen")
        if not text:
            defaults = PRODUCTION_LISTEN if self.profile == "production" else DEVELOPMENT_LISTEN
            text = defaults[name]
        if text in {"", "off"}:
            return []
        return [host_and_port(part, f"A3MAILER_{name.upper()}_LISTEN") for part in text.split(",")]

    def is_mail_proxy(self, address: str) -> bool:
        """Say whether a load balancer that we trust is at this IP address."""
        return bool(self.mail_proxies) and any(
            ipaddress.ip_address(address) in network for network in networks(self.mail_proxies)
        )

    def plaintext_allowed(self, address: str) -> bool:
        """Say whether a client at this IP address may send its password without TLS."""
        return self.plaintext_auth == "loopback" and ipaddress.ip_address(address).is_loopback


@lru_cache(maxsize=64)
def _two_numbers(variable: str, text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    if not slash or not first.isdecimal() or not second.isdecimal():
        raise SettingError(f"{variable} is {text!r}; it must be two numbers such as 1000/5000")
    return int(first), int(second)


def _check_networks(variable: str, text: str) -> None:
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError as error:
            raise SettingError(f"{variable} has {part!r}; it must be an address or a network") from error


@lru_cache(maxsize=16)
def networks(text: str) -> tuple[Network, ...]:
    """Return the networks that a setting lists, separated by commas."""
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


@cache
def _machine_name() -> str:
    """Ask once: the answer may come from the DNS, and each message has our name in it."""
    return socket.getfqdn()


def host_and_port(text: str, variable: str) -> tuple[str, int]:
    """Split ``host:port`` (``[::1]:25`` for IPv6); raises ``SettingError`` that names the variable."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise SettingError(f"{variable} has {text!r}; it must be host:port, for example 127.0.0.1:2525")
    return host, int(port)


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; empty lines and lines that begin with # are skipped."""
    values: dict[str, str] = {}
    if not path.exists():
        return values
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            # Not what it says: it may be a secret that lost its name.
            raise SettingError(f"{path} line {number} must be NAME=value")
        values[name.strip()] = value.strip().strip("\"'")
    return values


def _convert(variable: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off", ""}:
            return False
        raise SettingError(f"{variable} is {text!r}; it must be true or false")
    if isinstance(default, int):
        if not text.isdigit():
            raise SettingError(f"{variable} is {text!r}; it must be a whole number, 0 or more")
        return int(text)
    if isinstance(default, Path):
        return Path(text).expanduser().resolve()
    return text


def load(environ: Mapping[str, str] | None = None) -> Env:
    """Read settings from the environment and from ``a3mailer.env`` in the data directory. Raises ``SettingError``."""
    real = os.environ if environ is None else environ
    data_dir = Path(real.get("A3MAILER_DATA_DIR") or BASE_DIR / "var").expanduser().resolve()
    both = {**read_env_file(data_dir / "a3mailer.env"), **real}
    given: dict[str, Any] = {"data_dir": data_dir}
    for field in fields(Env):
        if field.name == "data_dir":
            continue
        variable = _UNPREFIXED.get(field.name, f"A3MAILER_{field.name.upper()}")
        # An empty listener variable means off; for everything else empty is the same as unset.
        if variable in both and both[variable] == "" and field.name.endswith("_listen"):
            given[field.name] = "off"
        elif both.get(variable):
            given[field.name] = _convert(variable, both[variable], field.default)
    return Env(**given)


_current = load()


def current() -> Env:
    """Return the settings in force. Ask at each use: a reload replaces them."""
    return _current


def reload() -> Env:
    """Read everything anew and put it in force; raises ``SettingError`` and changes nothing when it is invalid."""
    global _current  # noqa: PLW0603
    _current = load()
    return _current
