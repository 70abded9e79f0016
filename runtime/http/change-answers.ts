// Owns what all routes of changes have in common: under which terms a change is made, and how it is answered.

import type { ChangeTerms, RequestView } from '#runtime/http/contract.ts';
import type { Parameter } from '#runtime/http/parameters.ts';
import { show } from '#runtime/http/parameters.ts';
import type { Answer, Asked, Route } from '#runtime/http/route.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export const REQUEST_ID = /^[a-z0-9-]{1,64}$/;
/** Entity tags of jobs: their revision. */
const TAG = /^"(\d{1,15})"$/;

export const TERMS: readonly Parameter[] = [
  {
    name: 'idempotency-key',
    in: 'header',
    description: 'id of the request, chosen by who asks: sent again, the same change is meant',
    schema: { type: 'string', pattern: REQUEST_ID.source },
  },
  {
    name: 'if-match',
    in: 'header',
    description: 'ETag of the job that was looked at; the change is refused when the job was changed since',
    schema: { type: 'string' },
  },
];
export const ANSWERS: Route['answers'] = {
  200: { schema: 'Request', description: 'there is nothing to do, or the request has ended before' },
  202: { schema: 'Request', description: 'it is written down, and under way' },
};
export const CHANGE_ERRORS: readonly ErrorCode[] = [
  'media-type-unknown',
  'job-unknown',
  'job-busy',
  'job-changed',
  'job-state-wrong',
  'request-reused',
  'not-ready',
];

export function accepted(request: RequestView): Answer {
  const location = `/requests/${request.requestId}`;
  return { status: request.state === 'RUNNING' ? 202 : 200, headers: { location }, body: request };
}

export function termsOf({ headers }: Asked): ChangeTerms {
  return { requestId: requestIdOf(headers['idempotency-key']), revisions: revisionsOf(headers['if-match']) };
}

function requestIdOf(given: string | undefined): string | null {
  if (given === undefined || REQUEST_ID.test(given)) return given ?? null;
  const message = `the header idempotency-key ${show(given)} is no request id`;
  throw new StreamError('request-invalid', message, 'use a to z, 0 to 9 and -, 64 characters at most');
}

// A tag that is none of ours matches nothing.
function revisionsOf(given: string | undefined): readonly number[] | null {
  if (given === undefined || given.trim() === '*') return null;
  return given.split(',').flatMap((tag) => {
    const revision = TAG.exec(tag.trim())?.[1];
    return revision === undefined ? [] : [Number(revision)];
  });
}
