/** When a call is tried again, and after how long. Decides only; waits nowhere and reads no clock. */

import { ConflictError, ConnectionFailedError, RateLimitedError, ServiceUnavailableError } from "./errors.mjs";

// The one form of a date that senders may make (RFC 9110 section 5.6.7).
const DATE = /^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$/;
const PASSING = [ConnectionFailedError, RateLimitedError, ServiceUnavailableError];

/**
 * Return the milliseconds to wait after so many tries, null to give up. When the server asks for a longer pause than
 * `longestPause`, the call is given up: to come back earlier than asked would only be refused again.
 */
function pauseAfter(tries, error, { maxRetries, firstPause, longestPause }) {
  // A conflict that passes: the first try of a POST is still running, and its answer will be ours.
  const isRunning = error instanceof ConflictError && error.retryAfter !== null;
  if (tries > maxRetries || !(isRunning || PASSING.some((kind) => error instanceof kind))) return null;
  if (typeof error.retryAfter === "number") {
    return error.retryAfter * 1000 <= longestPause ? error.retryAfter * 1000 : null;
  }
  // Half of it by chance, so that many clients do not come back together.
  return Math.min(firstPause * 2 ** (tries - 1), longestPause) * (0.5 + Math.random() / 2);
}

/** Read a Retry-After header, seconds or a date (RFC 9110 section 10.2.3); what is neither says nothing. */
function retryAfter(text, now) {
  const trimmed = (text ?? "").trim();
  if (/^[0-9]+$/.test(trimmed)) return Number(trimmed);
  const when = DATE.test(trimmed) ? Date.parse(trimmed) : NaN;
  return Number.isNaN(when) ? null : Math.max(0, (when - now) / 1000);
}

export { pauseAfter, retryAfter };
