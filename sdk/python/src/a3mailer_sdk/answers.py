"""The answers of the API, with the members that this version knows. A number that was not measured is ``None``."""

from datetime import datetime
from typing import Any

from a3mailer_sdk.records import Page, Record


class ApiKey(Record):
    """An API key, without its secret."""

    key_id: str
    name: str
    permissions: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    allowed_networks: list[str] | None = None
    domains: list[str] | None = None


class NewApiKey(ApiKey):
    """A key just made: the only answer with its secret."""

    api_key: str


class ApiKeyPage(Page[ApiKey]):
    """Some API keys."""

    keys: list[ApiKey]


class ServerInfo(Record):
    """What server this is. ``uptime`` is in seconds."""

    version: str
    build_date: datetime | None = None
    uptime: int
    hostname: str
    features: list[str]
    status: str
    listeners: dict[str, str]


class Restart(Record):
    """A restart that has begun."""

    status: str
    request_id: str


class Reload(Record):
    """What a reload changed, or would change."""

    status: str
    changes: list[dict[str, Any]]
    warnings: list[str]


class User(Record):
    """A user. Quotas are in bytes, 0 for none."""

    id: str
    username: str
    email: str
    quota: int
    used_quota: int
    undo_seconds: int
    send_limit_hour: int | None
    send_limit_day: int | None
    enabled: bool
    groups: list[str]
    created_at: datetime
    last_login: datetime | None = None
    deleted_at: datetime | None = None
    restorable_until: datetime | None = None


class UserPage(Page[User]):
    """Some users."""

    users: list[User]


class ImportedRow(Record):
    """What came of one row: ``created`` with an id, or ``failed`` with an error."""

    row: int
    status: str
    id: str | None = None
    error: dict[str, Any] | None = None


class Imported(Record):
    """What came of making many users. Rows are counted from 1."""

    created: int
    failed: int
    results: list[ImportedRow]


class Domain(Record):
    """A domain. Quotas are in bytes; 0 for no limit."""

    id: str
    domain: str
    enabled: bool
    max_users: int
    max_quota: int
    send_limit_hour: int
    send_limit_day: int
    user_count: int
    used_quota: int
    created_at: datetime
    deleted_at: datetime | None = None
    restorable_until: datetime | None = None


class DomainPage(Page[Domain]):
    """Some domains."""

    domains: list[Domain]


class Alias(Record):
    """An address that stands for others."""

    id: str
    address: str
    targets: list[str]
    enabled: bool
    created_at: datetime


class AliasPage(Page[Alias]):
    """Some aliases."""

    aliases: list[Alias]


class UserGroup(Record):
    """A group of users. ``admin`` is built in."""

    id: str
    name: str
    members: int
    built_in: bool
    created_at: datetime | None


class UserGroupPage(Page[UserGroup]):
    """Some groups."""

    groups: list[UserGroup]


class QueueStatus(Record):
    """Messages by state (which may overlap) and by lane (which add up to the total)."""

    total_messages: int
    active_messages: int
    deferred_messages: int
    bounced_messages: int
    queues: dict[str, int]


class Purged(Record):
    """What a purge took, or would take."""

    queue: str
    deleted: int
    skipped_active: int
    undo_until: datetime | None = None
    purge_id: str | None = None


class Retried(Record):
    """How many messages are tried again."""

    retried: int
    skipped: int


class Purge(Record):
    """A purge that happened. ``queue`` is empty and ``message_id`` given where one message was taken."""

    purge_id: str
    queue: str
    message_id: str | None
    deleted: int
    by: str
    deleted_at: datetime
    undo_until: datetime
    undone_at: datetime | None = None


class PurgePage(Page[Purge]):
    """Some purges."""

    purges: list[Purge]


class Restored(Record):
    """How many messages came back."""

    purge_id: str
    restored: int


class QueuedMessage(Record):
    """A message in the queue. ``id`` is its queue id, ``message_id`` stands in its header."""

    id: str
    sender: str
    size: int
    received_at: datetime
    expires_at: datetime
    lane: str
    state: str
    subject: str
    message_id: str
    recipient_count: int
    next_attempt_at: datetime | None = None
    release_at: datetime | None = None


class QueueRecipient(Record):
    """A recipient of a message in the queue."""

    recipient: str
    destination: str
    state: str
    hold_reason: str
    attempts: int
    next_attempt_at: datetime | None = None
    last_reply: str


class Attempt(Record):
    """A try to hand a message on, with the other server's own words."""

    recipient: str
    number: int
    at: datetime
    duration_ms: int | None
    host: str
    address: str | None
    tls: str
    outcome: str
    code: int | None
    enhanced: str
    reply: str


class QueuedMessageDetails(QueuedMessage):
    """A message in the queue, with its recipients and the attempts at them."""

    recipients: list[QueueRecipient]
    attempts: list[Attempt]


class QueuedMessagePage(Page[QueuedMessage]):
    """Some messages in the queue."""

    messages: list[QueuedMessage]


class Message(Record):
    """A message that came or went, and what became of it for one recipient."""

    id: str
    at: datetime
    direction: str
    outcome: str
    sender: str
    recipient: str
    message_id: str
    subject: str
    size: int


class MessagePage(Page[Message]):
    """Some messages. ``searched_from`` says how far back was looked, where that is not to the beginning."""

    messages: list[Message]
    searched_from: datetime | None = None


class MessageRecipient(Record):
    """What became of a message for one recipient."""

    recipient: str
    outcome: str
    at: datetime


class MessageDetails(Record):
    """A message that came or went."""

    id: str
    received_at: datetime
    direction: str
    sender: str
    message_id: str
    subject: str
    size: int
    recipients: list[MessageRecipient]


class Event(Record):
    """Something that happened to a message: the facts, and the same in words."""

    kind: str
    time: datetime
    recipient: str
    detail: dict[str, Any]
    title: str
    text: str
    quote: str
    tone: str


class EventPage(Page[Event]):
    """What happened to a message, oldest first."""

    events: list[Event]


class Sent(Record):
    """A message that was taken: it is on disk."""

    id: str
    recipients: list[str]
    send_at: datetime | None
    events: str
    page: str


class Webhook(Record):
    """A program that is told what happens to mail, and how that goes."""

    id: str
    url: str
    description: str
    events: list[str]
    domains: list[str] | None
    enabled: bool
    created_at: datetime
    waiting: int
    last_success_at: datetime | None
    failing_since: datetime | None
    last_error: str
    next_attempt_at: datetime | None
    replaying: bool


class NewWebhook(Webhook):
    """A webhook just made, or with a new secret: the only answers with it."""

    secret: str


class WebhookPage(Page[Webhook]):
    """Some webhooks."""

    webhooks: list[Webhook]


class WebhookDelivery(Record):
    """An event that a webhook has not taken (yet)."""

    id: str
    event: str
    queue_id: str | None
    happened_at: datetime
    replayed: bool
    attempts: int
    next_attempt_at: datetime | None
    last_error: str
    failed_at: datetime | None


class WebhookDeliveryPage(Page[WebhookDelivery]):
    """Some events."""

    deliveries: list[WebhookDelivery]


class Replaying(Record):
    """Whether there is anything to tell again."""

    replaying: bool


class SystemMetrics(Record):
    """The machine: bytes, seconds, and percent of all processors."""

    timestamp: datetime
    cpu_usage: float | None
    memory_usage: int | None
    memory_total: int | None
    disk_usage: int | None
    disk_total: int | None
    network_rx_bytes: int | None
    network_tx_bytes: int | None
    load_average: dict[str, float | None]
    active_connections: int | None
    uptime: int | None
    explain: dict[str, Any] | None = None


class ApplicationMetrics(Record):
    """The server: times in milliseconds, rates from 0 to 1."""

    timestamp: datetime
    total_requests: int | None
    successful_requests: int | None
    failed_requests: int | None
    avg_response_time: float | None
    p95_response_time: float | None
    p99_response_time: float | None
    requests_per_second: float | None
    active_sessions: int | None
    queue_sizes: dict[str, int | None]
    cache_hit_rates: dict[str, float | None]
    explain: dict[str, Any] | None = None


class Series(Record):
    """A custom metric under one set of labels; a histogram has no ``value``, but ``count``, ``sum`` and ``buckets``."""

    labels: dict[str, str]
    value: float | None = None
    timestamp: datetime
    count: int | None = None
    sum: float | None = None
    buckets: dict[str, int] | None = None


class Sample(Series):
    """What is stored of a custom metric now."""

    name: str
    type: str


class CustomMetric(Record):
    """A custom metric."""

    name: str
    type: str
    series_count: int
    created_at: datetime
    updated_at: datetime | None = None


class CustomMetricSeries(Record):
    """A custom metric with all its label sets."""

    name: str
    type: str
    series: list[Series]


class CustomMetricPage(Page[CustomMetric]):
    """Some custom metrics."""

    metrics: list[CustomMetric]


class SecurityOverview(Record):
    """How safe the server stands. The score is from 0 to 1."""

    security_score: float | None
    threat_level: str
    active_threats: int
    blocked_ips: int
    failed_auth_attempts: int
    rate_limit_violations: int
    last_security_scan: datetime | None
    security_events: dict[str, int]
    window: dict[str, int]
    explain: dict[str, Any] | None = None


class PostureCheck(Record):
    """One check behind the score: ``pass``, ``fail`` or ``unknown``."""

    id: str
    title: str
    status: str
    weight: int
    detail: str
    advice: str
    checked_at: datetime | None


class PostureCheckPage(Page[PostureCheck]):
    """The checks behind the score."""

    checks: list[PostureCheck]
    security_score: float | None


class BlockedIp(Record):
    """An address or network that may not connect."""

    ip_address: str
    reason: str
    source: str
    blocked_at: datetime
    expires_at: datetime | None
    permanent: bool
    hits: int
    last_seen: datetime | None


class BlockedIpPage(Page[BlockedIp]):
    """Some blocks."""

    blocked_ips: list[BlockedIp]


class AllowedIp(Record):
    """An address or network that is never blocked."""

    ip_address: str
    reason: str
    added_at: datetime


class AllowedIpPage(Page[AllowedIp]):
    """Some addresses that are never blocked."""

    allowed_ips: list[AllowedIp]


class AuditLog(Record):
    """One row of the audit log."""

    id: str
    timestamp: datetime
    event_type: str
    severity: str
    outcome: str
    source_ip: str | None
    user_id: str | None
    action: str
    description: str
    metadata: dict[str, Any]
    sealed: bool
    seq: int | None
    request_id: str


class AuditLogPage(Page[AuditLog]):
    """Some rows of the audit log."""

    logs: list[AuditLog]


class RateLimit(Record):
    """So many requests in so many seconds."""

    max_requests: int
    window_seconds: int


class RateLimits(Record):
    """The rate limits of the API; the one for everybody together is ``limits["global"]``."""

    per_ip: RateLimit
    per_user: RateLimit
    usage: dict[str, Any] | None = None


class PerformanceStats(Record):
    """Pools, caches and requests: times in milliseconds, sizes in bytes, rates from 0 to 1."""

    connection_pool: dict[str, Any]
    cache_performance: dict[str, Any]
    request_performance: dict[str, Any]
    pools: dict[str, Any]
    explain: dict[str, Any] | None = None


class Recommendation(Record):
    """What would make the server faster."""

    category: str
    priority: str
    title: str
    description: str
    impact: str
    action: str
    evidence: dict[str, Any] | None = None
    optimization: dict[str, Any] | None = None


class Recommendations(Record):
    """What would make the server faster; often nothing."""

    recommendations: list[Recommendation]


class Optimized(Record):
    """What was resized, and what was refused."""

    applied: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


class Optimization(Record):
    """An optimization that was applied."""

    id: str
    type: str
    previous: int
    value: int
    applied_at: datetime
    applied_by: str | None
    reverted_at: datetime | None
    reverted_by: str | None


class OptimizationPage(Page[Optimization]):
    """Some optimizations."""

    optimizations: list[Optimization]


class HealthCheck(Record):
    """How one part is: ``healthy``, ``degraded``, ``unhealthy`` or ``unknown``. The time is in milliseconds."""

    status: str
    response_time: float | None
    details: dict[str, Any]


class ComponentHealth(HealthCheck):
    """How one part is, just checked."""

    component: str
    timestamp: datetime


class Health(Record):
    """How the server is. A stranger sees only status and timestamp."""

    status: str
    timestamp: datetime
    uptime: int | None = None
    version: str | None = None
    checks: dict[str, HealthCheck] = {}


class Readiness(Record):
    """Whether every service answers."""

    ready: bool
    timestamp: datetime
    services: dict[str, bool]
    details: dict[str, str] | None = None


class Schema(Record):
    """The OpenAPI document."""

    openapi: str
