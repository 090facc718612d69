/** Client of A3Mailer's management API. */

import { A3MailerClient, StalwartClient } from "./client.mjs";
import {
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
} from "./errors.mjs";

export {
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
