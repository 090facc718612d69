"""Which family of Prometheus' a dotted figure becomes, and with which labels: one table.

Counters end in ``_total``, times are in seconds and sizes in bytes. Four families have the names of the API reference;
all others of ours begin with ``a3mailer_``.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a3mailer_site.env import DEVELOPMENT_LISTEN

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


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
_TURNED_AWAY = "Requests turned away before they were looked at"
_BYTES = "Bytes of connections that have ended, by direction"
_REFUSED = "What SMTP refused after the greeting, by enhanced status code"
_PUT_OFF = "What limits on strangers put off, by what it was and whose limit it was"
_GREYLISTED = "Recipients that greylisting looked at, by what came of it"
_OUTCOMES = "Recipients of queued mail by the outcome of an attempt"
_LOGINS = "Logins by protocol and result"
_COMMANDS = "Commands by protocol and name"
_LOOKUPS = "Lookups in a cache by result"
_LATENCY = "Time from acceptance to the mailbox, or to the next server"
_TOLD = "Events told to webhooks, by what came of it"
_REPORTS = "Recipients of earlier messages that a report is about"
_LIMITED = "Messages beyond a sending limit, by what became of them"
_CONNECTS = "Connections to other mail servers by result"

ROWS: tuple[Row, ...] = (
    # HTTP.
    _row("http.requests.{method}.{status}", "counter", "stalwart_http_requests_total", _HTTP_REQUESTS),
    _row("http.seconds", "histogram", "stalwart_response_time_seconds", "Response time in seconds"),
    _row(
        "http.abandoned", "counter", "a3mailer_http_abandoned_total", "Requests whose client went away before their end"
    ),
    _row("http.malformed", "counter", "a3mailer_http_malformed_total", "What came over HTTP and was no request"),
    _row("http.overloaded", "counter", "a3mailer_http_refused_total", _TURNED_AWAY, reason="overloaded"),
    _row("http.body_too_large", "counter", "a3mailer_http_refused_total", _TURNED_AWAY, reason="too_large"),
    _row("http.rate_limited", "counter", "a3mailer_http_refused_total", _TURNED_AWAY, reason="rate_limit"),
    _row("http.blocked", "counter", "a3mailer_http_refused_total", _TURNED_AWAY, reason="blocked"),
    _row(
        "http.limits_unavailable",
        "counter",
        "a3mailer_http_unlimited_total",
        "Requests answered without a rate limit",
    ),
    _row("api.replays", "counter", "a3mailer_api_replays_total", "Requests answered again by their Idempotency-Key"),
    _row("api.keys.outside", "counter", "a3mailer_api_keys_outside_total", "API keys used from where they must not be"),
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
    _row(
        "{listener}.bad_proxy_headers",
        "counter",
        "a3mailer_connections_refused_total",
        "Connections turned away",
        reason="proxy_header",
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
        "Messages accepted over SMTP and HTTP",
        direction="submitted",
    ),
    _row(
        "smtp.accepted.received",
        "counter",
        "a3mailer_messages_accepted_total",
        "Messages accepted over SMTP and HTTP",
        direction="inbound",
    ),
    _row(
        "messages.accepted_bytes",
        "counter",
        "a3mailer_message_bytes_total",
        "Bytes of messages accepted",
    ),
    _row("messages.delivered", "counter", "a3mailer_messages_delivered_total", "Messages put into mailboxes"),
    _row("messages.queued", "counter", "a3mailer_messages_queued_total", "Recipients put into the queue"),
    _row(
        "smtp.submitted_again",
        "counter",
        "a3mailer_submitted_again_total",
        "Messages handed in again, and not sent twice",
    ),
    _row("smtp.greeting.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="greeting"),
    _row("smtp.sender.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="sender"),
    _row("smtp.recipient.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="recipient"),
    _row("smtp.message.refused.{status}", "counter", "a3mailer_refused_total", _REFUSED, what="message"),
    _row("smtp.limited.{what}.{whose}", "counter", "a3mailer_strangers_limited_total", _PUT_OFF),
    _row("smtp.greylisted.deferred", "counter", "a3mailer_greylisted_total", _GREYLISTED, outcome="deferred"),
    _row("smtp.greylisted.passed", "counter", "a3mailer_greylisted_total", _GREYLISTED, outcome="passed"),
    _row("smtp.slowed", "counter", "a3mailer_strangers_slowed_total", "Answers that strangers had to wait for"),
    _row("smtp.held", "gauge", "a3mailer_strangers_waiting", "Strangers who wait for the answer to a mistake"),
    _row("sending.held", "counter", "a3mailer_sending_limited_total", _LIMITED, outcome="held"),
    _row("sending.refused", "counter", "a3mailer_sending_limited_total", _LIMITED, outcome="refused"),
    _row("reports.bounces", "counter", "a3mailer_reports_total", _REPORTS, what="bounce"),
    _row("reports.complaints", "counter", "a3mailer_reports_total", _REPORTS, what="complaint"),
    # ... and out.
    _row("delivery.sent", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="sent"),
    _row("delivery.deferred", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="deferred"),
    _row("delivery.failed", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="failed"),
    _row("delivery.held", "counter", "a3mailer_deliveries_total", _OUTCOMES, outcome="held"),
    _row("delivery.dane.{result}", "counter", "a3mailer_dane_total", "TLS handshakes held against TLSA records"),
    _row("delivery.mta_sts.{result}", "counter", "a3mailer_mta_sts_total", "What came of MTA-STS policies"),
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
    *(
        _row(f"delivery.pool.{what}", "gauge", "a3mailer_outbound_pool", "Kept connections to servers", state=what)
        for what in ("active", "idle", "limit", "waiting")
    ),
    *(
        _row(f"delivery.pool.{what}", "counter", "a3mailer_outbound_pool_total", "What was done with them", what=what)
        for what in ("opened", "failed", "checkouts", "reuses", "waits")
    ),
    _row("delivery.pool.open", "histogram", "a3mailer_outbound_open_seconds", "Time to open one, with TLS and EHLO"),
    _row("delivery.in_hand", "gauge", "a3mailer_queue_leased", "Recipients that the worker has in hand"),
    _row(
        "delivery.away", "counter", "a3mailer_destinations_away_total", "Times that a destination was found to be away"
    ),
    _row("delivery.crashed", "counter", "a3mailer_delivery_crashes_total", "Attempts that ended in a mistake of ours"),
    _row("webhooks.told", "counter", "a3mailer_webhooks_total", _TOLD, outcome="taken"),
    _row("webhooks.failed", "counter", "a3mailer_webhooks_total", _TOLD, outcome="failed"),
    _row("webhooks.seconds", "histogram", "a3mailer_webhook_seconds", "Time that telling a webhook took"),
    # Inside.
    _row("commit.seconds", "histogram", "a3mailer_commit_seconds", "Time that a group commit took"),
    _row("commit.batch_size", "histogram", "a3mailer_commit_batch_size", "Units of work in a group commit"),
    _row("commit.waiting", "gauge", "a3mailer_commit_waiting", "Units of work that wait for their commit"),
    _row("commit.divided", "counter", "a3mailer_commit_divided_total", "Group commits that failed and were divided"),
    _row("database.wal_bytes", "gauge", "a3mailer_database_wal_bytes", "Size of SQLite's write-ahead log"),
    _row("database.connections", "gauge", "a3mailer_database_connections", "Open connections to the database"),
    _row("database.connections_opened", "counter", "a3mailer_database_connections_opened_total", "Connections opened"),
    _row("blocks.cut", "counter", "a3mailer_blocks_cut_total", "Connections cut because their address was blocked"),
    _row("pool.{pool}.waiting", "gauge", "a3mailer_pool_waiting", "Tasks that wait for a thread"),
    _row("pool.{pool}.refused", "counter", "a3mailer_pool_refused_total", "Tasks refused because too many waited"),
    _row("pool.{pool}.wait_seconds", "histogram", "a3mailer_pool_wait_seconds", "Time that a task waited for a thread"),
    _row("eyes.failed", "counter", "a3mailer_change_polls_failed_total", "Looks for changes of mailboxes that failed"),
    _row("index.lag_seconds", "gauge", "a3mailer_search_index_lag_seconds", "Age of the mail that waits for the index"),
    _row("index.entries", "counter", "a3mailer_search_index_entries_total", "Messages put into the search index"),
    _row("index.unreadable", "counter", "a3mailer_search_index_failures_total", "Messages that could not be indexed"),
    _row("worker.task_failures", "counter", "a3mailer_worker_task_failures_total", "Household tasks that failed"),
    _row("cache.{cache}.hits", "counter", "a3mailer_cache_lookups_total", _LOOKUPS, result="hit"),
    _row("cache.{cache}.misses", "counter", "a3mailer_cache_lookups_total", _LOOKUPS, result="miss"),
    _row("cache.{cache}.insertions", "counter", "a3mailer_cache_insertions_total", "What was put into a cache"),
    _row("cache.{cache}.evictions", "counter", "a3mailer_cache_evictions_total", "What had to leave a cache"),
    _row("cache.{cache}.lookup", "histogram", "a3mailer_cache_lookup_seconds", "Time that some of the lookups took"),
    _row("cache.{cache}.bytes", "gauge", "a3mailer_cache_bytes", "Bytes in a cache"),
    _row("cache.{cache}.entries", "gauge", "a3mailer_cache_entries", "Entries in a cache"),
    _row("cache.{cache}.capacity", "gauge", "a3mailer_cache_capacity_bytes", "Bytes that a cache may have"),
    _row("cache.capacity", "gauge", "a3mailer_caches_capacity_bytes", "Bytes that all caches may have"),
)
# Of each process, with its role as a label.
OF_A_PROCESS: dict[str, Family] = {
    "process.rss_bytes": Family("a3mailer_process_resident_memory_bytes", "gauge", "Memory that a process uses"),
    "process.descriptors": Family("a3mailer_process_open_descriptors", "gauge", "Open file descriptors of a process"),
    "process.cpu_seconds": Family("a3mailer_process_cpu_seconds_total", "counter", "Processor time of a process"),
}
RESTARTS = Family("a3mailer_process_restarts_total", "counter", "How often a process had to be started again")
# What a newer part counts and the table does not know yet is shown all the same.
OTHER = {
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
