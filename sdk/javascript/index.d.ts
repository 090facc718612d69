/**
 * Types of A3Mailer's management API. Answers may have more members than are named here; a number that was not
 * measured is null. Times are strings such as "2024-01-15T10:30:00Z"; in parameters a Date does, too.
 */

type Time = string | Date;
type Json = Record<string, any>;

/** Options of a client and of each call. Times are in milliseconds; `timeout` is for each try. */
export interface Options {
  timeout?: number;
  maxRetries?: number;
  firstPause?: number;
  longestPause?: number;
  language?: string;
  userAgent?: string;
  fetch?: typeof globalThis.fetch;
}

export interface CallOptions extends Options {
  requestId?: string;
  idempotencyKey?: string;
  ifMatch?: string;
  signal?: AbortSignal;
}

export interface Settings extends Options {
  baseUrl: string;
  apiKey?: string;
  /** Send the key in clear text to another machine. */
  allowHttp?: boolean;
}

export interface PageQuery {
  page?: number;
  limit?: number;
}

export type Page<Name extends string, Row> = { [name in Name]: Row[] } & {
  total: number;
  page: number;
  limit: number;
  /** False where the list is too long to be counted: then it ends at `total`. */
  total_is_exact?: boolean;
};

export interface ApiKey extends Json {
  key_id: string;
  name: string;
  permissions: string[];
  created_at: string;
  expires_at: string | null;
  last_used_at?: string | null;
  allowed_networks: string[] | null;
  domains: string[] | null;
}

export interface NewApiKey extends ApiKey {
  api_key: string;
}

export interface ServerInfo extends Json {
  version: string;
  build_date: string | null;
  uptime: number;
  hostname: string;
  features: string[];
  status: string;
  listeners: Record<string, string>;
}

export interface User extends Json {
  id: string;
  username: string;
  email: string;
  quota: number;
  used_quota: number;
  undo_seconds: number;
  send_limit_hour: number | null;
  send_limit_day: number | null;
  enabled: boolean;
  groups: string[];
  created_at: string;
  last_login: string | null;
  deleted_at?: string;
  restorable_until?: string;
  readonly etag?: string;
}

export interface NewUser {
  username: string;
  email: string;
  password: string;
  quota?: number;
  undo_seconds?: number;
  send_limit_hour?: number | null;
  send_limit_day?: number | null;
  enabled?: boolean;
  groups?: string[];
}

export interface Domain extends Json {
  id: string;
  domain: string;
  enabled: boolean;
  max_users: number;
  max_quota: number;
  send_limit_hour: number;
  send_limit_day: number;
  user_count: number;
  used_quota: number;
  created_at: string;
  deleted_at?: string;
  restorable_until?: string;
  readonly etag?: string;
}

export interface NewDomain {
  domain: string;
  enabled?: boolean;
  max_users?: number | null;
  max_quota?: number | null;
  send_limit_hour?: number | null;
  send_limit_day?: number | null;
}

/** What came of making many users. Rows are counted from 1. */
export interface Imported extends Json {
  created: number;
  failed: number;
  results: {
    row: number;
    status: "created" | "failed";
    id?: string;
    error?: { code: string; details: string; fields: Record<string, string[]> };
  }[];
}

export interface Alias extends Json {
  id: string;
  address: string;
  targets: string[];
  enabled: boolean;
  created_at: string;
}

export interface UserGroup extends Json {
  id: string;
  name: string;
  members: number;
  built_in: boolean;
  created_at: string | null;
}

/** Bytes are in Base64, addresses may have a name: `Jane <jane@example.org>`. */
export interface NewMessage {
  from: string;
  to?: string[];
  cc?: string[];
  bcc?: string[];
  reply_to?: string[];
  subject?: string;
  text?: string;
  html?: string;
  attachments?: { filename: string; content: string; content_type?: string; content_id?: string }[];
  headers?: Record<string, string>;
  raw?: string;
  send_at?: Time;
}

/** A message that was taken: it is on disk. */
export interface Sent extends Json {
  id: string;
  recipients: string[];
  send_at: string | null;
  events: string;
  page: string;
}

export interface Webhook extends Json {
  id: string;
  url: string;
  description: string;
  events: string[];
  domains: string[] | null;
  enabled: boolean;
  created_at: string;
  waiting: number;
  last_success_at: string | null;
  failing_since: string | null;
  last_error: string;
  next_attempt_at: string | null;
  replaying: boolean;
}

/** The only answers with the secret that signs what is sent. */
export interface NewWebhook extends Webhook {
  secret: string;
}

/** An event that a webhook has not taken (yet). */
export interface WebhookDelivery extends Json {
  id: string;
  event: string;
  queue_id: string | null;
  happened_at: string;
  replayed: boolean;
  attempts: number;
  next_attempt_at: string | null;
  last_error: string;
  failed_at: string | null;
}

export interface WebhookFields {
  url?: string;
  events?: string[];
  description?: string;
  domains?: string[] | null;
  enabled?: boolean;
}

export interface QueueStatus extends Json {
  total_messages: number;
  active_messages: number;
  deferred_messages: number;
  bounced_messages: number;
  queues: { incoming: number; outgoing: number; retry: number; bounce: number };
}

export interface Purged extends Json {
  queue: string;
  deleted: number;
  skipped_active: number;
  undo_until: string | null;
  purge_id: string | null;
}

export interface Purge extends Json {
  purge_id: string;
  queue: string;
  message_id: string | null;
  deleted: number;
  by: string;
  deleted_at: string;
  undo_until: string;
  undone_at: string | null;
}

/** `id` is its queue id, `message_id` stands in its header. */
export interface QueuedMessage extends Json {
  id: string;
  sender: string;
  size: number;
  received_at: string;
  expires_at: string;
  lane: string;
  state: string;
  subject: string;
  message_id: string;
  recipient_count: number;
  next_attempt_at: string | null;
  release_at: string | null;
}

export interface QueuedMessageDetails extends QueuedMessage {
  recipients: {
    recipient: string;
    destination: string;
    state: string;
    hold_reason: string;
    attempts: number;
    next_attempt_at: string | null;
    last_reply: string;
  }[];
  attempts: {
    recipient: string;
    number: number;
    at: string;
    duration_ms: number | null;
    host: string;
    address: string | null;
    tls: string;
    outcome: string;
    code: number | null;
    enhanced: string;
    reply: string;
  }[];
}

/** A message that came or went, and what became of it for one recipient. */
export interface Message extends Json {
  id: string;
  at: string;
  direction: string;
  outcome: string;
  sender: string;
  recipient: string;
  message_id: string;
  subject: string;
  size: number;
}

export interface MessageDetails extends Json {
  id: string;
  received_at: string;
  direction: string;
  sender: string;
  message_id: string;
  subject: string;
  size: number;
  recipients: { recipient: string; outcome: string; at: string }[];
}

/** Something that happened to a message: the facts, and the same in words. */
export interface MessageEvent extends Json {
  kind: string;
  time: string;
  recipient: string;
  detail: Json;
  title: string;
  text: string;
  quote: string;
  tone: string;
}

export interface SystemMetrics extends Json {
  timestamp: string;
  cpu_usage: number | null;
  memory_usage: number | null;
  memory_total: number | null;
  disk_usage: number | null;
  disk_total: number | null;
  network_rx_bytes: number | null;
  network_tx_bytes: number | null;
  load_average: { "1m": number | null; "5m": number | null; "15m": number | null };
  active_connections: number | null;
  uptime: number | null;
  explain?: Json;
}

export interface ApplicationMetrics extends Json {
  timestamp: string;
  total_requests: number | null;
  successful_requests: number | null;
  failed_requests: number | null;
  avg_response_time: number | null;
  p95_response_time: number | null;
  p99_response_time: number | null;
  requests_per_second: number | null;
  active_sessions: number | null;
  queue_sizes: Record<string, number | null>;
  cache_hit_rates: Record<string, number | null>;
  explain?: Json;
}

export interface NewCustomMetric {
  name: string;
  type: "counter" | "gauge" | "histogram";
  value: number;
  labels?: Record<string, string>;
}

export interface CustomMetric extends Json {
  name: string;
  type: string;
  series_count: number;
  created_at: string;
  updated_at: string | null;
}

/** A histogram has no `value`, but `count`, `sum` and `buckets`. */
export interface Series extends Json {
  labels: Record<string, string>;
  value?: number;
  timestamp: string;
  count?: number;
  sum?: number;
  buckets?: Record<string, number>;
}

export interface CustomMetricSeries extends Json {
  name: string;
  type: string;
  series: Series[];
}

export interface SecurityOverview extends Json {
  security_score: number | null;
  threat_level: string;
  active_threats: number;
  blocked_ips: number;
  failed_auth_attempts: number;
  rate_limit_violations: number;
  last_security_scan: string | null;
  security_events: { last_24h: number; last_7d: number; last_30d: number };
  window: Record<string, number>;
  explain?: Json;
}

/** One check behind the score. */
export interface PostureCheck extends Json {
  id: string;
  title: string;
  status: "pass" | "fail" | "unknown";
  weight: number;
  detail: string;
  advice: string;
  checked_at: string | null;
}

export interface BlockedIp extends Json {
  ip_address: string;
  reason: string;
  source: string;
  blocked_at: string;
  expires_at: string | null;
  permanent: boolean;
  hits: number;
  last_seen: string | null;
}

export interface NewBlock {
  ip_address: string;
  reason?: string;
  duration?: number;
  permanent?: boolean;
  force?: boolean;
}

export interface AllowedIp extends Json {
  ip_address: string;
  reason: string;
  added_at: string;
}

export interface AuditLog extends Json {
  id: string;
  timestamp: string;
  event_type: string;
  severity: string;
  outcome: string;
  source_ip: string | null;
  user_id: string | null;
  action: string;
  description: string;
  metadata: Json;
  sealed: boolean;
  seq: number | null;
  request_id: string;
}

export interface RateLimit {
  max_requests: number;
  window_seconds: number;
}

export interface RateLimits extends Json {
  global: RateLimit;
  per_ip: RateLimit;
  per_user: RateLimit;
  usage?: Json | null;
}

export interface PerformanceStats extends Json {
  connection_pool: Json;
  cache_performance: Json;
  request_performance: Json;
  pools: Json;
  explain?: Json;
}

export interface Recommendation extends Json {
  category: string;
  priority: string;
  title: string;
  description: string;
  impact: string;
  action: string;
  evidence?: Json;
  optimization?: NewOptimization;
}

export interface NewOptimization {
  type: string;
  value: number;
}

export interface Optimization extends Json {
  id: string;
  type: string;
  previous: number;
  value: number;
  applied_at: string;
  applied_by: string | null;
  reverted_at: string | null;
  reverted_by: string | null;
}

export interface HealthCheck extends Json {
  status: string;
  response_time: number | null;
  details: Json;
}

export interface Health extends Json {
  status: string;
  timestamp: string;
  uptime?: number;
  version?: string;
  checks?: Record<string, HealthCheck>;
}

export interface Readiness extends Json {
  ready: boolean;
  timestamp: string;
  services: Record<string, boolean>;
  details?: Record<string, string>;
}

type Rows<Row> = AsyncGenerator<Row, void, void>;

interface Lister<Name extends string, Row, Query = PageQuery> {
  (query?: Query, options?: CallOptions): Promise<Page<Name, Row>>;
}

interface Walker<Row, Query = PageQuery> {
  (query?: Query, options?: CallOptions): Rows<Row>;
}

export interface SearchQuery extends PageQuery {
  search?: string;
}

export interface UserQuery extends SearchQuery {
  deleted?: boolean;
}

export interface QueueQuery extends PageQuery {
  lane?: string;
  state?: string;
  search?: string;
  sender?: string;
  recipient?: string;
  destination?: string;
}

export interface MessageQuery extends PageQuery {
  sender?: string;
  recipient?: string;
  message_id?: string;
  since?: Time;
  until?: Time;
  outcome?: string;
  direction?: string;
  search?: string;
}

export interface AuditQuery extends PageQuery {
  start_date?: Time;
  end_date?: Time;
  event_type?: string;
  severity?: string;
  outcome?: string;
  user_id?: string;
  source_ip?: string;
  action?: string;
}

export class A3MailerClient {
  constructor(settings: Settings);
  readonly baseUrl: string;
  readonly keys: {
    create(key: { name: string; permissions: string[]; expires_at?: Time | null; allowed_networks?: string[] | null; domains?: string[] | null }, options?: CallOptions): Promise<NewApiKey>;
    list: Lister<"keys", ApiKey>;
    iterate: Walker<ApiKey>;
    get(id: string, options?: CallOptions): Promise<ApiKey>;
    delete(id: string, options?: CallOptions): Promise<null>;
  };
  readonly server: {
    getInfo(options?: CallOptions): Promise<ServerInfo>;
    restart(options?: CallOptions): Promise<{ status: string; request_id: string } & Json>;
    reload(query?: { dry_run?: boolean }, options?: CallOptions): Promise<{ status: string; changes: { name: string; before: any; after: any }[]; warnings: string[] } & Json>;
    getSchema(options?: CallOptions): Promise<Json>;
  };
  readonly users: {
    create(user: NewUser, options?: CallOptions): Promise<User>;
    list: Lister<"users", User, UserQuery>;
    iterate: Walker<User, UserQuery>;
    get(id: string, options?: CallOptions): Promise<User>;
    update(id: string, changes: Partial<NewUser>, options?: CallOptions): Promise<User>;
    delete(id: string, options?: CallOptions): Promise<null>;
    restore(id: string, options?: CallOptions): Promise<User>;
    bulkCreate(users: NewUser[], query?: { dry_run?: boolean }, options?: CallOptions): Promise<Imported>;
    importCsv(csv: string, query?: { dry_run?: boolean }, options?: CallOptions): Promise<Imported>;
  };
  readonly domains: {
    create(domain: NewDomain, options?: CallOptions): Promise<Domain>;
    list: Lister<"domains", Domain, UserQuery>;
    iterate: Walker<Domain, UserQuery>;
    get(id: string, options?: CallOptions): Promise<Domain>;
    update(id: string, changes: Partial<NewDomain>, options?: CallOptions): Promise<Domain>;
    delete(id: string, options?: CallOptions): Promise<null>;
    restore(id: string, options?: CallOptions): Promise<Domain>;
  };
  readonly aliases: {
    create(alias: { address: string; targets: string[]; enabled?: boolean }, options?: CallOptions): Promise<Alias>;
    list: Lister<"aliases", Alias, SearchQuery>;
    iterate: Walker<Alias, SearchQuery>;
    get(id: string, options?: CallOptions): Promise<Alias>;
    update(id: string, changes: { address?: string; targets?: string[]; enabled?: boolean }, options?: CallOptions): Promise<Alias>;
    delete(id: string, options?: CallOptions): Promise<null>;
  };
  readonly groups: {
    create(group: { name: string }, options?: CallOptions): Promise<UserGroup>;
    list: Lister<"groups", UserGroup>;
    iterate: Walker<UserGroup>;
    get(id: string, options?: CallOptions): Promise<UserGroup>;
    update(id: string, changes: { name: string }, options?: CallOptions): Promise<UserGroup>;
    delete(id: string, options?: CallOptions): Promise<null>;
  };
  readonly queue: {
    getStatus(options?: CallOptions): Promise<QueueStatus>;
    purge(name: string, query?: { dry_run?: boolean }, options?: CallOptions): Promise<Purged>;
    retry(which?: { queue?: string; domain?: string; message_ids?: string[]; dry_run?: boolean }, options?: CallOptions): Promise<{ retried: number; skipped: number } & Json>;
    listPurges: Lister<"purges", Purge>;
    iteratePurges: Walker<Purge>;
    undoPurge(id: string, options?: CallOptions): Promise<{ purge_id: string; restored: number } & Json>;
    listMessages: Lister<"messages", QueuedMessage, QueueQuery>;
    iterateMessages: Walker<QueuedMessage, QueueQuery>;
    getMessage(id: string, options?: CallOptions): Promise<QueuedMessageDetails>;
    deleteMessage(id: string, options?: CallOptions): Promise<Purged>;
    retryMessage(id: string, options?: CallOptions): Promise<QueuedMessageDetails>;
    holdMessage(id: string, options?: CallOptions): Promise<QueuedMessageDetails>;
    releaseMessage(id: string, options?: CallOptions): Promise<QueuedMessageDetails>;
  };
  readonly messages: {
    send(message: NewMessage, options?: CallOptions): Promise<Sent>;
    search(query?: MessageQuery, options?: CallOptions): Promise<Page<"messages", Message> & { searched_from: string | null }>;
    iterate: Walker<Message, MessageQuery>;
    get(id: string, options?: CallOptions): Promise<MessageDetails>;
    listEvents(id: string, query?: PageQuery, options?: CallOptions): Promise<Page<"events", MessageEvent>>;
    iterateEvents(id: string, query?: PageQuery, options?: CallOptions): Rows<MessageEvent>;
  };
  readonly webhooks: {
    create(webhook: WebhookFields & { url: string; events: string[] }, options?: CallOptions): Promise<NewWebhook>;
    list: Lister<"webhooks", Webhook>;
    iterate: Walker<Webhook>;
    get(id: string, options?: CallOptions): Promise<Webhook>;
    update(id: string, changes: WebhookFields, options?: CallOptions): Promise<Webhook>;
    delete(id: string, options?: CallOptions): Promise<null>;
    rotateSecret(id: string, options?: CallOptions): Promise<NewWebhook>;
    test(id: string, options?: CallOptions): Promise<WebhookDelivery>;
    replay(id: string, span: { since: string; until?: string | null }, options?: CallOptions): Promise<{ replaying: boolean } & Json>;
    listDeliveries(id: string, query?: PageQuery & { state?: string }, options?: CallOptions): Promise<Page<"deliveries", WebhookDelivery>>;
    iterateDeliveries(id: string, query?: PageQuery & { state?: string }, options?: CallOptions): AsyncIterable<WebhookDelivery>;
  };
  readonly metrics: {
    getSystemMetrics(query?: { explain?: boolean }, options?: CallOptions): Promise<SystemMetrics>;
    getApplicationMetrics(query?: { explain?: boolean }, options?: CallOptions): Promise<ApplicationMetrics>;
    getPrometheusMetrics(options?: CallOptions): Promise<string>;
    setCustomMetric(metric: NewCustomMetric, options?: CallOptions): Promise<Series & { name: string; type: string }>;
    listCustomMetrics: Lister<"metrics", CustomMetric>;
    iterateCustomMetrics: Walker<CustomMetric>;
    getCustomMetric(name: string, options?: CallOptions): Promise<CustomMetricSeries>;
    deleteCustomMetric(name: string, options?: CallOptions): Promise<null>;
  };
  readonly security: {
    getOverview(query?: { explain?: boolean }, options?: CallOptions): Promise<SecurityOverview>;
    listChecks(query?: PageQuery, options?: CallOptions): Promise<Page<"checks", PostureCheck> & { security_score: number | null }>;
    iterateChecks: Walker<PostureCheck>;
    listBlockedIps: Lister<"blocked_ips", BlockedIp, SearchQuery>;
    iterateBlockedIps: Walker<BlockedIp, SearchQuery>;
    getBlockedIp(address: string, options?: CallOptions): Promise<BlockedIp>;
    blockIp(block: NewBlock, options?: CallOptions): Promise<BlockedIp>;
    unblockIp(address: string, options?: CallOptions): Promise<null>;
    listAllowedIps: Lister<"allowed_ips", AllowedIp, SearchQuery>;
    iterateAllowedIps: Walker<AllowedIp, SearchQuery>;
    getAllowedIp(address: string, options?: CallOptions): Promise<AllowedIp>;
    allowIp(entry: { ip_address: string; reason?: string }, options?: CallOptions): Promise<AllowedIp>;
    disallowIp(address: string, options?: CallOptions): Promise<null>;
    listAuditLogs: Lister<"logs", AuditLog, AuditQuery>;
    iterateAuditLogs: Walker<AuditLog, AuditQuery>;
    getRateLimits(options?: CallOptions): Promise<RateLimits>;
    setRateLimits(limits: { global?: RateLimit; per_ip?: RateLimit; per_user?: RateLimit }, options?: CallOptions): Promise<RateLimits>;
  };
  readonly performance: {
    getStats(query?: { explain?: boolean }, options?: CallOptions): Promise<PerformanceStats>;
    getRecommendations(options?: CallOptions): Promise<{ recommendations: Recommendation[] } & Json>;
    optimize(optimizations: NewOptimization[], query?: { dry_run?: boolean }, options?: CallOptions): Promise<{ applied: Json[]; rejected: Json[] } & Json>;
    listOptimizations: Lister<"optimizations", Optimization>;
    iterateOptimizations: Walker<Optimization>;
    revertOptimization(id: string, options?: CallOptions): Promise<Optimization>;
  };
  readonly health: {
    getStatus(options?: CallOptions): Promise<Health>;
    getDetailed(options?: CallOptions): Promise<Health>;
    check(component: string, options?: CallOptions): Promise<HealthCheck & { component: string; timestamp: string }>;
    getReadiness(options?: CallOptions): Promise<Readiness>;
  };
}

/** The API reference's name of the client. */
export { A3MailerClient as StalwartClient };

export class A3MailerError extends Error {}
export class ConnectionFailedError extends A3MailerError {}
export class TimedOutError extends ConnectionFailedError {}

/** The server's refusal. `retryAfter` is in seconds. */
export class APIError extends A3MailerError {
  readonly status: number;
  readonly code: string;
  readonly details: string;
  readonly fields: Record<string, string[]>;
  readonly requestId: string;
  readonly retryAfter: number | null;
}
export class InvalidRequestError extends APIError {}
export class UnauthorizedError extends APIError {}
export class ForbiddenError extends APIError {}
export class NotFoundError extends APIError {}
export class ConflictError extends APIError {}
export class PreconditionFailedError extends APIError {}
export class RateLimitedError extends APIError {}
export class InternalError extends APIError {}
export class ServiceUnavailableError extends APIError {}
