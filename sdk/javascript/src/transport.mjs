/** One call over HTTP, by the fetch of Node or the browser. */

import { A3MailerError, ConnectionFailedError, TimedOutError, errorOf } from "./errors.mjs";
import { pauseAfter, retryAfter } from "./retries.mjs";

const USER_AGENT = "a3mailer-sdk-javascript/0.1.0";

/** How calls are made. Times are in milliseconds; `timeout` is for each try. */
const DEFAULTS = { timeout: 30_000, maxRetries: 3, firstPause: 500, longestPause: 60_000 };

/** A path below /api/v1. A name stays within its segment: it may contain a slash, but cannot be ".." or nothing. */
function path(parts, ...names) {
  const segments = names.map((name) => {
    if (typeof name !== "string" || ["", ".", ".."].includes(name)) {
      throw new TypeError(`${JSON.stringify(name)} cannot stand in the path ${parts.join("…")}`);
    }
    return encodeURIComponent(name);
  });
  return `/api/v1/${String.raw({ raw: parts }, ...segments)}`;
}

class Transport {
  constructor({ baseUrl, apiKey, allowHttp = false, ...options }) {
    this.baseUrl = checked(baseUrl, allowHttp);
    this.options = { ...DEFAULTS, ...options };
    // Not a plain property: whoever prints a client does not print its key.
    Object.defineProperty(this, "apiKey", { value: apiKey ?? "", enumerable: false });
  }

  /**
   * Carry out a call. `call` has `query`, `body` (JSON), `csv`, `text` (the answer is text), `accept`, and `also`: an
   * error status that is an answer as well.
   */
  async send(method, path, call = {}, options = {}) {
    const settings = { ...this.options, ...options };
    const headers = new Headers(this.#headers(method, call, settings));
    const body = call.csv ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
    const url = this.baseUrl + path + search(call.query);
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt(url, { method, headers, body }, call, settings);
      } catch (error) {
        const pause = error instanceof A3MailerError ? pauseAfter(tries, error, settings) : null;
        if (pause === null) throw error;
        await sleep(pause, settings.signal);
      }
    }
  }

  #headers(method, call, { language, requestId, idempotencyKey, ifMatch, userAgent }) {
    const headers = { Accept: call.accept ?? "application/json" };
    if (this.apiKey) headers.Authorization = `Bearer ${this.apiKey}`;
    if (call.csv !== undefined) headers["Content-Type"] = "text/csv; charset=utf-8";
    else if (call.body !== undefined) headers["Content-Type"] = "application/json";
    // All tries have one key, so that the server does once what it hears twice.
    if (method === "POST") headers["Idempotency-Key"] = idempotencyKey ?? randomKey();
    if (language) headers["Accept-Language"] = language;
    if (requestId) headers["X-Request-ID"] = requestId;
    if (ifMatch) headers["If-Match"] = ifMatch;
    // Browsers send their own.
    if (typeof window === "undefined") headers["User-Agent"] = userAgent ?? USER_AGENT;
    return headers;
  }
}

async function attempt(url, request, call, { timeout, signal, fetch = globalThis.fetch }) {
  const clock = new AbortController();
  const stop = () => clock.abort();
  const timer = setTimeout(stop, timeout);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    // A redirect would take the key to an address that nobody chose.
    const response = await fetch(url, { ...request, redirect: "manual", signal: clock.signal });
    return answer(response, await response.text(), call);
  } catch (error) {
    if (error instanceof A3MailerError) throw error;
    signal?.throwIfAborted();
    const kind = clock.signal.aborted ? TimedOutError : ConnectionFailedError;
    throw new kind(clock.signal.aborted ? `no answer within ${timeout} ms` : String(error.cause ?? error), { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

function answer(response, text, call) {
  const body = parsed(text);
  const isObject = body !== null && typeof body === "object" && !Array.isArray(body);
  if (!response.ok) {
    const error = isObject && body.error && typeof body.error === "object" ? body.error : null;
    if (!error && isObject && call.also === response.status) return body;
    // Not in the server's words: something between has answered.
    const words = error ?? { request_id: response.headers.get("x-request-id") };
    throw errorOf(response.status, words, retryAfter(response.headers.get("retry-after"), Date.now()));
  }
  if (call.text) return text;
  if (text === "") return null;
  if (body === undefined) throw new ConnectionFailedError("The answer is not JSON: is there a mail server at this address?");
  const etag = response.headers.get("etag");
  // Not among the members, which stay what the server sent.
  return etag && isObject ? Object.defineProperty(body, "etag", { value: etag, enumerable: false }) : body;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Return an address that a key may be sent to. */
function checked(baseUrl, allowHttp) {
  const url = new URL(baseUrl);
  if (!["http:", "https:"].includes(url.protocol)) throw new TypeError(`${baseUrl} is no address such as https://mail.example.com`);
  const isLoopback = /^(localhost|127(\.[0-9]+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === "http:" && !isLoopback && !allowHttp) {
    throw new TypeError(`${baseUrl} would send the key in clear text; use https, or allowHttp: true`);
  }
  return baseUrl.replace(/\/+$/, "");
}

function search(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, plain(value)])).toString();
  return text && `?${text}`;
}

function plain(value) {
  if (typeof value === "boolean") return value ? "1" : "0";
  return value instanceof Date ? value.toISOString().replace(/\.[0-9]+Z$/, "Z") : String(value);
}

/** Need not be secret, only never the same twice; crypto is not everywhere (Node 18, pages without HTTPS). */
function randomKey() {
  if (globalThis.crypto?.randomUUID) return globalThis.crypto.randomUUID();
  return Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16)).join("");
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

export { Transport, path };
