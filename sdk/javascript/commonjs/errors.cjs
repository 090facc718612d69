"use strict";

/** What can go wrong with a call. Everything is an A3MailerError; what the server says is an APIError. */

class A3MailerError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The server could not be reached, or did not answer to the end. */
class ConnectionFailedError extends A3MailerError {}

/** The server took longer than `timeout` milliseconds. */
class TimedOutError extends ConnectionFailedError {}

/**
 * The server's refusal. `code` is a word of the API reference and never changes, `message` and `details` follow the
 * language asked for, `fields` has all problems by field, `requestId` is what the server's log calls the call.
 * `retryAfter` is in seconds, null when the server did not say.
 */
class APIError extends A3MailerError {
  constructor(status, error, retryAfter = null) {
    const said = (value) => (typeof value === "string" ? value : "");
    super([`${status} ${said(error.code)}`.trim(), said(error.message), said(error.details)].filter(Boolean).join(": "));
    this.status = status;
    this.code = said(error.code);
    this.details = said(error.details);
    this.fields = error.fields && typeof error.fields === "object" ? error.fields : {};
    this.requestId = said(error.request_id);
    this.retryAfter = retryAfter;
  }
}

class InvalidRequestError extends APIError {}
class UnauthorizedError extends APIError {}
class ForbiddenError extends APIError {}
class NotFoundError extends APIError {}
class ConflictError extends APIError {}
class PreconditionFailedError extends APIError {}
class RateLimitedError extends APIError {}
class InternalError extends APIError {}
class ServiceUnavailableError extends APIError {}

const KINDS = {
  400: InvalidRequestError,
  401: UnauthorizedError,
  403: ForbiddenError,
  404: NotFoundError,
  409: ConflictError,
  412: PreconditionFailedError,
  429: RateLimitedError,
  500: InternalError,
  502: ServiceUnavailableError,
  503: ServiceUnavailableError,
  504: ServiceUnavailableError,
};

/** Return the error that a status stands for. */
function errorOf(status, error, retryAfter) {
  return new (KINDS[status] ?? APIError)(status, error, retryAfter);
}

module.exports = {
  A3MailerError,
  APIError,
  ConflictError,
  ConnectionFailedError,
  ForbiddenError,
  InternalError,
  InvalidRequestError,
  NotFoundError,
  PreconditionFailedError,
  RateLimitedError,
  ServiceUnavailableError,
  TimedOutError,
  UnauthorizedError,
  errorOf,
};
