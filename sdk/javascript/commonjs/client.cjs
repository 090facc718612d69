"use strict";

/**
 * All operations of the API, by group. Parameters and members are named as in the API reference.
 *
 * The last argument of every method is `options`: `timeout`, `maxRetries`, `firstPause`, `longestPause`, `language`,
 * `requestId`, `idempotencyKey`, `ifMatch`, `signal`, which hold for this call.
 */

const { Transport, path } = require("./transport.cjs");

/** The status by which an unhealthy server says what its answer says, too. */
const ALSO_UNHEALTHY = { also: 503 };

/** Operations that belong together, such as `client.users`. */
class Group {
  #transport;

  constructor(transport) {
    this.#transport = transport;
  }

  request(method, path, call, options) {
    return this.#transport.send(method, path, call, options);
  }
}

/** All rows of a list, page by page. */
async function* walk(list, collection, parameters = {}, options) {
  for (let page = parameters.page ?? 1; ; page += 1) {
    const found = await list({ ...parameters, page }, options);
    yield* found[collection];
    if (found[collection].length === 0 || found.page * found.limit >= found.total) return;
  }
}

class Keys extends Group {
  create = (key, options) => this.request("POST", path`auth/keys`, { body: key }, options);
  list = (query, options) => this.request("GET", path`auth/keys`, { query }, options);
  iterate = (query, options) => walk(this.list, "keys", query, options);
  get = (id, options) => this.request("GET", path`auth/keys/${id}`, {}, options);
  delete = (id, options) => this.request("DELETE", path`auth/keys/${id}`, {}, options);
}

class Server extends Group {
  getInfo = (options) => this.request("GET", path`server/info`, {}, options);
  restart = (options) => this.request("POST", path`server/restart`, {}, options);
  reload = (query, options) => this.request("POST", path`server/reload`, { query }, options);
  getSchema = (options) => this.request("GET", path`schema`, { accept: "application/vnd.oai.openapi+json" }, options);
}

class Users extends Group {
  create = (user, options) => this.request("POST", path`users`, { body: user }, options);
  list = (query, options) => this.request("GET", path`users`, { query }, options);
  iterate = (query, options) => walk(this.list, "users", query, options);
  get = (id, options) => this.request("GET", path`users/${id}`, {}, options);
  update = (id, changes, options) => this.request("PUT", path`users/${id}`, { body: changes }, options);
  delete = (id, options) => this.request("DELETE", path`users/${id}`, {}, options);
  restore = (id, options) => this.request("POST", path`users/${id}/restore`, {}, options);
  bulkCreate = (users, query, options) => this.request("POST", path`users/bulk`, { query, body: { users } }, options);
  importCsv = (csv, query, options) => this.request("POST", path`users/import`, { query, csv }, options);
}

class Domains extends Group {
  create = (domain, options) => this.request("POST", path`domains`, { body: domain }, options);
  list = (query, options) => this.request("GET", path`domains`, { query }, options);
  iterate = (query, options) => walk(this.list, "domains", query, options);
  get = (id, options) => this.request("GET", path`domains/${id}`, {}, options);
  update = (id, changes, options) => this.request("PUT", path`domains/${id}`, { body: changes }, options);
  delete = (id, options) => this.request("DELETE", path`domains/${id}`, {}, options);
  restore = (id, options) => this.request("POST", path`domains/${id}/restore`, {}, options);
}

class Aliases extends Group {
  create = (alias, options) => this.request("POST", path`aliases`, { body: alias }, options);
  list = (query, options) => this.request("GET", path`aliases`, { query }, options);
  iterate = (query, options) => walk(this.list, "aliases", query, options);
  get = (id, options) => this.request("GET", path`aliases/${id}`, {}, options);
  update = (id, changes, options) => this.request("PUT", path`aliases/${id}`, { body: changes }, options);
  delete = (id, options) => this.request("DELETE", path`aliases/${id}`, {}, options);
}

class Groups extends Group {
  create = (group, options) => this.request("POST", path`groups`, { body: group }, options);
  list = (query, options) => this.request("GET", path`groups`, { query }, options);
  iterate = (query, options) => walk(this.list, "groups", query, options);
  get = (id, options) => this.request("GET", path`groups/${id}`, {}, options);
  update = (id, changes, options) => this.request("PUT", path`groups/${id}`, { body: changes }, options);
  delete = (id, options) => this.request("DELETE", path`groups/${id}`, {}, options);
}

class Queue extends Group {
  getStatus = (options) => this.request("GET", path`queue/status`, {}, options);
  purge = (name, query, options) => this.request("DELETE", path`queue/${name}`, { query }, options);
  retry = ({ dry_run, ...which } = {}, options) =>
    this.request("POST", path`queue/retry`, { query: { dry_run }, body: which }, options);
  listPurges = (query, options) => this.request("GET", path`queue/purges`, { query }, options);
  iteratePurges = (query, options) => walk(this.listPurges, "purges", query, options);
  undoPurge = (id, options) => this.request("POST", path`queue/purges/${id}/undo`, {}, options);
  listMessages = (query, options) => this.request("GET", path`queue/messages`, { query }, options);
  iterateMessages = (query, options) => walk(this.listMessages, "messages", query, options);
  getMessage = (id, options) => this.request("GET", path`queue/messages/${id}`, {}, options);
  deleteMessage = (id, options) => this.request("DELETE", path`queue/messages/${id}`, {}, options);
  retryMessage = (id, options) => this.request("POST", path`queue/messages/${id}/retry`, {}, options);
  holdMessage = (id, options) => this.request("POST", path`queue/messages/${id}/hold`, {}, options);
  releaseMessage = (id, options) => this.request("POST", path`queue/messages/${id}/release`, {}, options);
}

class Messages extends Group {
  send = (message, options) => this.request("POST", path`messages/send`, { body: message }, options);
  search = (query, options) => this.request("GET", path`messages`, { query }, options);
  iterate = (query, options) => walk(this.search, "messages", query, options);
  get = (id, options) => this.request("GET", path`messages/${id}`, {}, options);
  listEvents = (id, query, options) => this.request("GET", path`messages/${id}/events`, { query }, options);
  iterateEvents = (id, query, options) => walk((...page) => this.listEvents(id, ...page), "events", query, options);
}

class Webhooks extends Group {
  create = (webhook, options) => this.request("POST", path`webhooks`, { body: webhook }, options);
  list = (query, options) => this.request("GET", path`webhooks`, { query }, options);
  iterate = (query, options) => walk(this.list, "webhooks", query, options);
  get = (id, options) => this.request("GET", path`webhooks/${id}`, {}, options);
  update = (id, changes, options) => this.request("PUT", path`webhooks/${id}`, { body: changes }, options);
  delete = (id, options) => this.request("DELETE", path`webhooks/${id}`, {}, options);
  rotateSecret = (id, options) => this.request("POST", path`webhooks/${id}/rotate-secret`, {}, options);
  test = (id, options) => this.request("POST", path`webhooks/${id}/test`, {}, options);
  replay = (id, span, options) => this.request("POST", path`webhooks/${id}/replay`, { body: span }, options);
  listDeliveries = (id, query, options) => this.request("GET", path`webhooks/${id}/deliveries`, { query }, options);
  iterateDeliveries = (id, query, options) =>
    walk((...page) => this.listDeliveries(id, ...page), "deliveries", query, options);
}

class Metrics extends Group {
  getSystemMetrics = (query, options) => this.request("GET", path`metrics/system`, { query }, options);
  getApplicationMetrics = (query, options) => this.request("GET", path`metrics/application`, { query }, options);
  getPrometheusMetrics = (options) => this.request("GET", "/metrics", { text: true, accept: "text/plain, */*;q=0.5" }, options);
  setCustomMetric = (metric, options) => this.request("POST", path`metrics/custom`, { body: metric }, options);
  listCustomMetrics = (query, options) => this.request("GET", path`metrics/custom`, { query }, options);
  iterateCustomMetrics = (query, options) => walk(this.listCustomMetrics, "metrics", query, options);
  getCustomMetric = (name, options) => this.request("GET", path`metrics/custom/${name}`, {}, options);
  deleteCustomMetric = (name, options) => this.request("DELETE", path`metrics/custom/${name}`, {}, options);
}

class Security extends Group {
  getOverview = (query, options) => this.request("GET", path`security/overview`, { query }, options);
  listChecks = (query, options) => this.request("GET", path`security/checks`, { query }, options);
  iterateChecks = (query, options) => walk(this.listChecks, "checks", query, options);
  listBlockedIps = (query, options) => this.request("GET", path`security/blocked-ips`, { query }, options);
  iterateBlockedIps = (query, options) => walk(this.listBlockedIps, "blocked_ips", query, options);
  getBlockedIp = (address, options) => this.request("GET", path`security/blocked-ips/${address}`, {}, options);
  blockIp = (block, options) => this.request("POST", path`security/block-ip`, { body: block }, options);
  unblockIp = (address, options) => this.request("DELETE", path`security/blocked-ips/${address}`, {}, options);
  listAllowedIps = (query, options) => this.request("GET", path`security/allowed-ips`, { query }, options);
  iterateAllowedIps = (query, options) => walk(this.listAllowedIps, "allowed_ips", query, options);
  getAllowedIp = (address, options) => this.request("GET", path`security/allowed-ips/${address}`, {}, options);
  allowIp = (entry, options) => this.request("POST", path`security/allowed-ips`, { body: entry }, options);
  disallowIp = (address, options) => this.request("DELETE", path`security/allowed-ips/${address}`, {}, options);
  listAuditLogs = (query, options) => this.request("GET", path`security/audit-logs`, { query }, options);
  iterateAuditLogs = (query, options) => walk(this.listAuditLogs, "logs", query, options);
  getRateLimits = (options) => this.request("GET", path`security/rate-limits`, {}, options);
  setRateLimits = (limits, options) => this.request("PUT", path`security/rate-limits`, { body: limits }, options);
}

class Performance extends Group {
  getStats = (query, options) => this.request("GET", path`performance/stats`, { query }, options);
  getRecommendations = (options) => this.request("GET", path`performance/recommendations`, {}, options);
  optimize = (optimizations, query, options) =>
    this.request("POST", path`performance/optimize`, { query, body: { optimizations } }, options);
  listOptimizations = (query, options) => this.request("GET", path`performance/optimizations`, { query }, options);
  iterateOptimizations = (query, options) => walk(this.listOptimizations, "optimizations", query, options);
  revertOptimization = (id, options) => this.request("POST", path`performance/optimizations/${id}/revert`, {}, options);
}

class Health extends Group {
  getStatus = (options) => this.request("GET", "/health", ALSO_UNHEALTHY, options);
  getDetailed = (options) => this.request("GET", path`health/detailed`, ALSO_UNHEALTHY, options);
  check = (component, options) => this.request("POST", path`health/check/${component}`, {}, options);
  getReadiness = (options) => this.request("GET", "/ready", ALSO_UNHEALTHY, options);
}

/**
 * const client = new A3MailerClient({ baseUrl: "https://mail.example.com", apiKey: "sk_live_…" });
 * const user = await client.users.create({ username: "jane", email: "jane@example.com", password: "…" });
 */
class A3MailerClient {
  constructor(settings) {
    const transport = new Transport(settings);
    this.baseUrl = transport.baseUrl;
    this.keys = new Keys(transport);
    this.server = new Server(transport);
    this.users = new Users(transport);
    this.domains = new Domains(transport);
    this.aliases = new Aliases(transport);
    this.groups = new Groups(transport);
    this.queue = new Queue(transport);
    this.messages = new Messages(transport);
    this.webhooks = new Webhooks(transport);
    this.metrics = new Metrics(transport);
    this.security = new Security(transport);
    this.performance = new Performance(transport);
    this.health = new Health(transport);
  }
}

module.exports = { A3MailerClient, StalwartClient: A3MailerClient };
