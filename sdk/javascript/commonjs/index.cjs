"use strict";

/** Client of A3Mailer's management API. */

const { A3MailerClient, StalwartClient } = require("./client.cjs");
const {
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
} = require("./errors.cjs");

module.exports = {
  A3MailerClient,
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
  StalwartClient,
  TimedOutError,
  UnauthorizedError,
};
