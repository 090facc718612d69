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

export type Page<Name extends string, Row> = { [name in Name]: Row[] } & { total: number; page: number; limit: number };

export interface ApiKey extends Json {
  key_id: string;
  name: string;
  permissions: string[];
  created_at: string;
  expires_at: string | null;
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
}

export interface User extends Json {
  id: string;
  username: string;
  email: string;
  quota: number;
  used_quota: number;
  enabled: boolean;
  groups: string[];
  created_at: string;
  last_login: string | null;
  readonly etag?: string;
}

export interface NewUser {
  username: string;
  email: string;
  password: string;
  quota?: number;
  enabled?: boolean;
  groups?: string[];
}

export interface Domain extends Json {
  id: string;
  domain: string;
  enabled: boolean;
  max_users: number;
  max_quota: number;
  user_count: number;
  used_quota: number;
  created_at: string;
  readonly etag?: string;
}

export interface NewDomain {
  domain: string;
  enabled?: boolean;
  max_users?: number | null;
  max_quota?: number | null;
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
  load_average: { "1m": number; "5m": number; "15m": number };
  active_connections: number | null;
  uptime: number | null;
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
  queue_sizes: Record<string, number>;
  cache_hit_rates: Record<string, number | null>;
}

export interface NewCustomMetric {
  name: string;
  type: "counter" | "gauge" | "histogram" | "summary";
  value: number;
  labels?: Record<string, string>;
}

export interface CustomMetric extends Json {
  name: string;
  type: string;
}

export interface CustomMetricSeries extends CustomMetric {
  series: { labels: Record<string, string>; value: any; timestamp: string }[];
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
}

export interface RateLimit {
  max_requests: number;
  window_seconds: number;
}

export interface RateLimits extends Json {
  global: RateLimit;
  per_ip: RateLimit;
  per_user: RateLimit;
}

export interface PerformanceStats extends Json {
  connection_pool: Json;
  cache_performance: Json;
  request_performance: Json;
}

export interface Recommendation extends Json {
  category: string;
  priority: string;
  title: string;
  description: string;
  impact: string;
  action: string;
}

export interface NewOptimization {
  type: string;
  value: number;
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
}

type Rows<Row> = AsyncGenerator<Row, void, void>;

interface Lister<Name extends string, Row, Query = PageQuery> {
  (query?: Query, options?: CallOptions): Promise<Page<Name, Row>>;
}

interface Walker<Row, Query = PageQuery> {
  (query?: Query, options?: CallOptions): Rows<Row>;
}

export interface UserQuery extends PageQuery {
  search?: string;
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
}

export class A3MailerClient {
  constructor(settings: Settings);
  readonly baseUrl: string;
  readonly keys: {
    create(key: { name: string; permissions: string[]; expires_at?: Time | null; domains?: string[] | null }, options?: CallOptions): Promise<NewApiKey>;
    list: Lister<"keys", ApiKey>;
    iterate: Walker<ApiKey>;
    get(id: string, options?: CallOptions): Promise<ApiKey>;
    delete(id: string, options?: CallOptions): Promise<null>;
  };
  readonly server: {
    getInfo(options?: CallOptions): Promise<ServerInfo>;
    restart(options?: CallOptions): Promise<{ status: string; request_id: string } & Json>;
    reload(query?: { dry_run?: boolean }, options?: CallOptions): Promise<{ status: string; changes: any[]; warnings: any[] } & Json>;
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
    bulkCreate(users: NewUser[], options?: CallOptions): Promise<Json>;
    importCsv(csv: string, options?: CallOptions): Promise<Json>;
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
    list: Lister<"aliases", Alias, PageQuery & { search?: string }>;
    iterate: Walker<Alias, PageQuery & { search?: string }>;
    get(id: string, options?: CallOptions): Promise<Alias>;
    update(id: string, changes: { targets?: string[]; enabled?: boolean }, options?: CallOptions): Promise<Alias>;
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
    listPurges: Lister<"purges", Json>;
    iteratePurges: Walker<Json>;
    undoPurge(id: string, options?: CallOptions): Promise<Json>;
    listMessages: Lister<"messages", Json, QueueQuery>;
    iterateMessages: Walker<Json, QueueQuery>;
    getMessage(id: string, options?: CallOptions): Promise<Json>;
    deleteMessage(id: string, options?: CallOptions): Promise<null>;
    retryMessage(id: string, options?: CallOptions): Promise<Json>;
    holdMessage(id: string, options?: CallOptions): Promise<Json>;
    releaseMessage(id: string, options?: CallOptions): Promise<Json>;
  };
  readonly messages: {
    search: Lister<"messages", Json, MessageQuery>;
    iterate: Walker<Json, MessageQuery>;
    get(id: string, options?: CallOptions): Promise<Json>;
    getEvents(id: string, options?: CallOptions): Promise<Json>;
  };
  readonly metrics: {
    getSystemMetrics(query?: { explain?: boolean }, options?: CallOptions): Promise<SystemMetrics>;
    getApplicationMetrics(query?: { explain?: boolean }, options?: CallOptions): Promise<ApplicationMetrics>;
    getPrometheusMetrics(options?: CallOptions): Promise<string>;
    setCustomMetric(metric: NewCustomMetric, options?: CallOptions): Promise<CustomMetric>;
    listCustomMetrics: Lister<"metrics", CustomMetric>;
    iterateCustomMetrics: Walker<CustomMetric>;
    getCustomMetric(name: string, options?: CallOptions): Promise<CustomMetricSeries>;
    deleteCustomMetric(name: string, options?: CallOptions): Promise<null>;
  };
  readonly security: {
    getOverview(options?: CallOptions): Promise<SecurityOverview>;
    getChecks(options?: CallOptions): Promise<Json>;
    listBlockedIps: Lister<"blocked_ips", BlockedIp>;
    iterateBlockedIps: Walker<BlockedIp>;
    blockIp(block: NewBlock, options?: CallOptions): Promise<BlockedIp>;
    unblockIp(address: string, options?: CallOptions): Promise<null>;
    listAllowedIps: Lister<"allowed_ips", AllowedIp>;
    iterateAllowedIps: Walker<AllowedIp>;
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
    listOptimizations: Lister<"optimizations", Json>;
    iterateOptimizations: Walker<Json>;
    revertOptimization(id: string, options?: CallOptions): Promise<Json>;
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
