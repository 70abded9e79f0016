// Owns how an error is answered: its status and what is said of it. A fault of the world is told with its code and
// remedy; a bug is told as one, without its stack, which belongs into the log.

import type { FaultView } from '#runtime/http/contract.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly error: FaultView };
}

const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  'request-invalid': 400,
  // Of a query that only the task could judge.
  'config-invalid': 400,
  'job-invalid': 400,
  'request-unauthorized': 401,
  'request-misdirected': 403,
  'path-unknown': 404,
  'job-unknown': 404,
  'operator-unknown': 404,
  'request-unknown': 404,
  'savepoint-unknown': 404,
  'version-unknown': 404,
  // Of a deploy that is refused before anything stops.
  'version-mismatch': 409,
  'topic-unknown': 409,
  'method-unknown': 405,
  'request-timeout': 408,
  'job-busy': 409,
  'job-state-wrong': 409,
  'request-reused': 409,
  'job-changed': 412,
  'request-too-large': 413,
  'media-type-unknown': 415,
};

/** Faults of the world that pass by themselves are 503, others 500. */
export function statusOf(code: ErrorCode): number {
  return STATUSES[code] ?? (ERROR_CODES[code].retryable ? 503 : 500);
}

/** Errors that every route can have. */
export const COMMON_ERRORS: readonly ErrorCode[] = [
  'request-invalid',
  'request-unauthorized',
  'request-misdirected',
  'request-timeout',
  'request-too-large',
  'request-overload',
  'answer-timeout',
  'internal-error',
];

export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof StreamError)) return refusalOf(internalError());
  const { code, message, remedy } = error;
  const status = statusOf(code);
  const headers: Record<string, string> = {};
  if (status === 503) headers['retry-after'] = '1';
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  return { status, headers, body: { error: { code, message, remedy } } };
}

function internalError(): StreamError {
  const remedy = 'look into the log of the process, and report what it says there';
  return new StreamError('internal-error', 'the request met a bug of Millrace', remedy);
}
