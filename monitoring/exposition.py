"""``GET /metrics``: all figures in Prometheus' text format, version 0.0.4.

The table says which family and which labels a dotted figure becomes. Counters end in ``_total``, times are in seconds
and sizes in bytes. Four families have the names of the API reference; all others of ours begin with ``a3mailer_``.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a3mailer_site.env import DEVELOPMENT_LISTEN
from a3mailer_site.figures import bounds_of
from monitoring.counted import Counted
from monitoring.histogram import Histogram
from monitoring.lanes import LANES, STATES
from monitoring.models import BOUNDS, CustomSeries

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Labels: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one name: what Prometheus calls a metric."""

    name: str
    kind: Kind
    help: str


@dataclass(frozen=True, slots=True)
class Row:
    """Figures whose names match ``pattern`` are in the family; its groups are labels, besides ``labels``."""

    pattern: re.Pattern[str]
    family: Family
    labels: tuple[tuple[str, str], ...] = ()


# Placeholders in the table's patterns: the listeners are a closed list, the last label may have dots in it.
_LISTENER = "|".join(name for name in DEVELOPMENT_LISTEN if name not in {"http", "https"})
_PLACE = re.compile(r"\\\{(\w+)\\\}")


def _pattern(text: str) -> re.Pattern[str]:
    def group(match: re.Match[str]) -> str:
        name = match[1]
        return f"(?P<{name}>{_LISTENER})" if name == "listener" else rf"(?P<{name}>[^.]+(?:\.[^.]+)*?)"

    return re.compile(_PLACE.sub(group, re.escape(text)))


def _row(figure: str, kind: Kind, name: str, text: str, **labels: str) -> Row:
    return Row(_pattern(figure), Family(name, kind, text), tuple(labels.items()))


_HTTP_REQUESTS = "Total HTTP requests"
_BYTES = "Bytes of connections that have ended, by direction"
_REFUSED = "What SMTP refused after the greeting, by enhanced status code"
_OUTCOMES = "Recipients of queued mail by the outcome of an attempt"
_LOGINS = "Logins by protocol and result"
_COMMANDS = "Commands by protocol and name"
_LOOKUPS = "Lookups in a cache by result"
_LATENCY = "Time from acceptance to the mailbox, or to the next server"
_POOL = "Connections of a pool by state"
_CONNECTS = "Connections to other mail servers by result"

ROWS: tuple[Row, ...] = (
    # HTTP.
    _row("http.requests.{method}.{status}", "counter", "stalwart_http_requests_total", _HTTP_REQUESTS),
    _row("http.seconds", "histogram", "stalwart_response_time_seconds", "Response time in seconds"),
    _row(
        "http.abandoned", "counter", "a3mailer_http_abandoned_total", "Requests whose client went away before their end"
    ),
    _row("http.overloaded", "counter", "a3mailer_http_overloaded_total", "Requests refused because too many waited"),
    _row("http.malformed", "counter", "a3mailer_http_malformed_total", "What came over HTTP and was no request"),
    _row("http.body_too_large", "counter", "a3mailer_http_body_too_large_total", "Requests refused for their size"),
    _row("http.in_flight", "gauge", "a3mailer_http_requests_in_flight", "Requests that are being answered"),
    # Connections.
    _row("http.connections", "counter", "a3mailer_connections_total", "Connections by listener", listener="http"),
    _row("http.open", "gauge", "a3mailer_connections_open", "Open connections by listener", listener="http"),
    _row("{listener}.connections", "counter", "a3mailer_connections_total", "Connections by listener"),
    _row("{listener}.open", "gauge", "a3mailer_connections_open", "Open connections by listener"),
    _row(
        "{listener}.refused", "counter", "a3mailer_connections_refused_total", "Connections turned away", reason="limit"
    ),
    _row(
        "{listener}.blocked",
        "counter",
        "a3mailer_connections_refused_total",
        "Connections turned away",
        reason="blocked",
    ),
    _row("{listener}.tls.{version}", "counter", "a3mailer_tls_handshakes_total", "TLS handshakes that succeeded"),
    _row("{listener}.tls_failures", "counter", "a3mailer_tls_failures_total", "TLS handshakes that failed"),
    _row("{listener}.timeouts", "counter", "a3mailer_timeouts_total", "Connections ended because the peer was silent"),
    _row(
        "{listener}.unavailable", "counter", "a3mailer_unavailable_total", "Questions that had to wait for the database"
    ),
    _row(
        "{listener}.failures", "counter", "a3mailer_failures_total", "Sessions and answers that failed by our mistake"
    ),
    _row("{listener}.bytes_in", "counter", "a3mailer_connection_bytes_total", _BYTES, direction="in"),
    _row("{listener}.bytes_out", "counter", "a3mailer_connection_bytes_total", _BYTES, direction="out"),
    _row("sessions.authenticated", "gauge", "a3mailer_sessions", "Mail connections that are logged in"),
    # Commands and logins.
    _row("smtp.commands.{command}", "counter", "a3mailer_commands_total", _COMMANDS, protocol="smtp"),
    _row("imap.commands.{command}", "counter", "a3mailer_commands_total", _COMMANDS, protocol="imap"),
    _row("pop3.commands.{command}", "counter", "a3mailer_commands_total", _COMMANDS, protocol="pop3"),
    _row("login.{protocol}.succeeded", "counter", "a3mailer_logins_total", _LOGINS, result="succeeded"),
    _row("login.{protocol}.failed", "counter", "a3mailer_logins_total", _LOGINS, result="failed"),
    _row("login.{protocol}.blocked", "counter", "a3mailer_logins_total", _LOGINS, result="blocked"),
    # Mail on its way in.
    _row(
        "smtp.accepted.submitted",
        "counter",
        "a3mailer_messages_accepted_total",
        "Messages accepted over SMTP",
        direction="submitted",
    ),
    _row(
        "smtp.accepted.received",
        "counter",
        "a3mailer_messages_accepted_total",
        "Messages accepted over SMTP",
        direction="inbound",
    ),
    _row("messages.accepted_bytes", "counter", "a3mailer_message_bytes_total", "Bytes of messages accepted over SMTP"),
    _row("messages.delivered", "counter", "a3mailer_messages_delivered_total", "Messages put into mailboxes"),
    _row("messages.queued", "counter", "a3mailer_messages_queued_total", "Recipients put into the queue"),
    _row("smtp.sender.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="sender"),
    _row("smtp.recipient.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="recipient"),
    _row("smtp.message.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="message"),
    # ... and out.
    _row("delivery.sent", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="sent"),
    _row("delivery.deferred", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="deferred"),
    _row("delivery.failed", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="failed"),
    _row("delivery.held", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="held"),
    _row("delivery.notices.{kind}", "counter", "a3mailer_notices_total", "Notices sent to senders, by what they tell"),
    _row("delivery.mailbox.latency_seconds", "histogram", "a3mailer_latency_seconds", _LATENCY, to="mailbox"),
    _row("delivery.remote.latency_seconds", "histogram", "a3mailer_latency_seconds", _LATENCY, to="remote"),
    _row("delivery.connections", "counter", "a3mailer_outbound_connections_total", _CONNECTS, result="tried"),
    _row("delivery.connect_failed", "counter", "a3mailer_outbound_connections_total", _CONNECTS, result="failed"),
    _row("delivery.tls_failed", "counter", "a3mailer_outbound_connections_total", _CONNECTS, result="without_tls"),
    _row(
        "delivery.connections_open",
        "gauge",
        "a3mailer_outbound_connections",
        "Connections to other mail servers at work",
    ),
    _row("delivery.in_hand", "gauge", "a3mailer_queue_leased", "Recipients that the worker has in hand"),
    _row("delivery.crashed", "counter", "a3mailer_delivery_crashes_total", "Attempts that ended in a mistake of ours"),
    _row("delivery.pool.active", "gauge", "a3mailer_pool_connections", _POOL, pool="smtp", state="active"),
    _row("delivery.pool.idle", "gauge", "a3mailer_pool_connections", _POOL, pool="smtp", state="idle"),
    _row("delivery.pool.limit", "gauge", "a3mailer_pool_connections_limit", "Most connections of a pool", pool="smtp"),
    _row(
        "delivery.pool.waiting", "gauge", "a3mailer_pool_connection_waiters", "Who waits for a connection", pool="smtp"
    ),
    _row("delivery.pool.waits", "counter", "a3mailer_pool_waits_total", "Waits for a connection", pool="smtp"),
    _row("delivery.pool.opened", "counter", "a3mailer_pool_opened_total", "Connections opened", pool="smtp"),
    _row("delivery.pool.failed", "counter", "a3mailer_pool_failed_total", "Connections that failed", pool="smtp"),
    _row("delivery.pool.checkouts", "counter", "a3mailer_pool_checkouts_total", "Uses of a connection", pool="smtp"),
    _row("delivery.pool.reuses", "counter", "a3mailer_pool_reuses_total", "Uses of an open connection", pool="smtp"),
    _row("delivery.pool.open", "histogram", "a3mailer_pool_open_seconds", "Time to open a connection", pool="smtp"),
    # Inside.
    _row("commit.seconds", "histogram", "a3mailer_commit_seconds", "Time that a group commit took"),
    _row("commit.batch_size", "histogram", "a3mailer_commit_batch_size", "Units of work in a group commit"),
    _row("commit.waiting", "gauge", "a3mailer_commit_waiting", "Units of work that wait for their commit"),
    _row("commit.divided", "counter", "a3mailer_commit_divided_total", "Group commits that failed and were divided"),
    _row("database.wal_bytes", "gauge", "a3mailer_database_wal_bytes", "Size of SQLite's write-ahead log"),
    _row("pool.{pool}.waiting", "gauge", "a3mailer_pool_waiting", "Tasks that wait for a thread"),
    _row("pool.{pool}.refused", "counter", "a3mailer_pool_refused_total", "Tasks refused because too many waited"),
    _row("pool.{pool}.wait_seconds", "histogram", "a3mailer_pool_wait_seconds", "Time that a task waited for a thread"),
    _row("eyes.failed", "counter", "a3mailer_change_polls_failed_total", "Looks for changes of mailboxes that failed"),
    _row("worker.task_failures", "counter", "a3mailer_worker_task_failures_total", "Household tasks that failed"),
    _row("cache.{cache}.hits", "counter", "a3mailer_cache_lookups_total", _LOOKUPS, result="hit"),
    _row("cache.{cache}.misses", "counter", "a3mailer_cache_lookups_total", _LOOKUPS, result="miss"),
    _row("cache.{cache}.insertions", "counter", "a3mailer_cache_insertions_total", "Entries put into a cache"),
    _row("cache.{cache}.evictions", "counter", "a3mailer_cache_evictions_total", "Entries that had to make room"),
    _row("cache.{cache}.lookup", "histogram", "a3mailer_cache_lookup_seconds", "Time of a lookup, of those sampled"),
    _row("cache.{cache}.capacity", "gauge", "a3mailer_cache_capacity_bytes", "Most that a cache may take"),
    _row("cache.{cache}.bytes", "gauge", "a3mailer_cache_bytes", "What a cache takes, as estimated"),
    _row("cache.{cache}.entries", "gauge", "a3mailer_cache_entries", "Entries of a cache"),
    _row("cache.capacity", "gauge", "a3mailer_caches_capacity_bytes", "Most that all caches together may take"),
    # The API.
    _row("api.replays", "counter", "a3mailer_api_replays_total", "Answers given again for an Idempotency-Key"),
    _row("api.keys.outside", "counter", "a3mailer_api_keys_outside_total", "Keys used from outside their networks"),
)
# Of each process, with its role as a label.
_OF_A_PROCESS: dict[str, Family] = {
    "process.rss_bytes": Family("a3mailer_process_resident_memory_bytes", "gauge", "Memory that a process uses"),
    "process.descriptors": Family("a3mailer_process_open_descriptors", "gauge", "Open file descriptors of a process"),
    "process.cpu_seconds": Family("a3mailer_process_cpu_seconds_total", "counter", "Processor time of a process"),
}
_RESTARTS = Family("a3mailer_process_restarts_total", "counter", "How often a process had to be started again")
# What a newer part counts and the table does not know yet is shown all the same.
_OTHER = {
    "counter": Family("a3mailer_figure_total", "counter", "Counters without a family of their own"),
    "gauge": Family("a3mailer_figure", "gauge", "Gauges without a family of their own"),
    "histogram": Family("a3mailer_figure_histogram", "histogram", "Measurements without a family of their own"),
}


def place(figure: str, kind: Kind) -> tuple[Family, dict[str, str]] | None:
    """Return family and labels of a figure; ``None`` when it is not in the table."""
    for row in ROWS:
        match = row.pattern.fullmatch(figure) if row.family.kind == kind else None
        if match:
            return row.family, {**match.groupdict(), **dict(row.labels)}
    return None


class Page:
    """The text, family by family. A family has one HELP, one TYPE, and no series twice."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[Family, dict[str, str]]] = {}

    def add(self, family: Family, value: float | None, labels: Labels | None = None) -> None:
        """Add a sample; ``None`` is left away."""
        if value is not None:
            self._put(family, family.name, labels or {}, number(value))

    def add_histogram(
        self,
        family: Family,
        bounds: Sequence[float],
        cumulative: Sequence[float],
        total: float,
        labels: Labels | None = None,
    ) -> None:
        """Add a histogram, whose last cumulative count is of all."""
        names = [number(bound) if bound % 1 else f"{bound:.1f}" for bound in bounds]
        for bound, count in zip([*names, "+Inf"], cumulative, strict=True):
            self._put(family, f"{family.name}_bucket", {**(labels or {}), "le": bound}, number(count))
        self._put(family, f"{family.name}_sum", labels or {}, number(total))
        self._put(family, f"{family.name}_count", labels or {}, number(cumulative[-1]))

    def _put(self, family: Family, name: str, labels: Labels, value: str) -> None:
        _, samples = self._families.setdefault(family.name, (family, {}))
        inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
        samples.setdefault(f"{name}{{{inside}}}" if inside else name, value)

    def __str__(self) -> str:
        return "".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for family, samples in self._families.values():
            yield f"# HELP {family.name} {_escaped_help(family.help)}\n# TYPE {family.name} {family.kind}\n"
            for series, value in samples.items():
                yield f"{series} {value}\n"


def number(value: float) -> str:
    """Write a number as the format has it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def escaped(text: str) -> str:
    """Write a label's value: backslash, quote and line feed would end it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def add_reference(page: Page, cpu_percent: float | None, memory_bytes: int) -> None:
    """Add the two gauges that the reference names; its counter and its histogram come with the figures."""
    page.add(Family("stalwart_cpu_usage_percent", "gauge", "CPU usage percentage"), cpu_percent)
    page.add(Family("stalwart_memory_usage_bytes", "gauge", "Memory usage in bytes"), memory_bytes)


def add_figures(page: Page, counted: Counted) -> None:
    """Add what all processes have counted since the server started."""
    for name, value in sorted(counted.ever.counters.items()):
        family, labels = place(name, "counter") or (_OTHER["counter"], {"figure": name})
        page.add(family, value, labels)
    for name in sorted(counted.ever.timings):
        family, labels = place(name, "histogram") or (_OTHER["histogram"], {"figure": name})
        found: Histogram = counted.ever.histogram(name)
        page.add_histogram(family, bounds_of(name), found.cumulative, found.total, labels)
    for name, value in sorted(counted.gauges.items()):
        if name not in _OF_A_PROCESS:
            family, labels = place(name, "gauge") or (_OTHER["gauge"], {"figure": name})
            page.add(family, value, labels)
    _add_processes(page, counted)
    page.add(Family("a3mailer_uptime_seconds", "gauge", "Time since the server was started"), counted.uptime)


def _add_processes(page: Page, counted: Counted) -> None:
    for process in counted.processes:
        labels = {"process": process["name"]}
        for name, family in _OF_A_PROCESS.items():
            page.add(family, process["gauges"].get(name), labels)
        page.add(_RESTARTS, process.get("restarts"), labels)


def add_queue(page: Page, counts: Mapping[str, int] | None) -> None:
    """Add the queue by lane and by state, if it can be asked."""
    lanes = Family("a3mailer_queue_messages", "gauge", "Messages in the queue by lane; each is in one")
    states = Family("a3mailer_queue_state_messages", "gauge", "Messages in the queue by state; they overlap")
    for name in LANES if counts else ():
        page.add(lanes, counts[name] if counts else None, {"lane": name})
    for name in STATES if counts else ():
        page.add(states, counts[name] if counts else None, {"state": name})


def add_database(page: Page, *, is_up: bool) -> None:
    """Say whether the web process reached the database just now."""
    page.add(Family("a3mailer_database_up", "gauge", "Whether the database answered this request"), int(is_up))


def add_build(page: Page, version: str, build_date: str) -> None:
    """Say which program this is."""
    family = Family("a3mailer_build_info", "gauge", "The program, by version and the date it was built")
    page.add(family, 1, {"version": version, "build_date": build_date})


def add_custom(page: Page, series: Iterable[CustomSeries]) -> None:
    """Add what others have given us to keep. Their names cannot be ours, and no two of them overlap."""
    for each in series:
        kind: Kind = each.metric.kind  # type: ignore[assignment] # of the same words
        family = Family(each.metric.name, kind, "Custom metric")
        if each.buckets is not None:
            found = Histogram(BOUNDS, tuple(each.buckets), each.value)
            page.add_histogram(family, BOUNDS, found.cumulative, found.total, each.labels)
        else:
            page.add(family, each.value, each.labels)
