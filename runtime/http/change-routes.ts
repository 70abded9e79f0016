// Owns the table of routes that change something, and of looking at the changes: who may make one stands in
// request-guard.ts. Every change answers at once with its request, which is asked for its end.

import type { ChangeTerms, JobPatchView, RequestView } from '#runtime/http/contract.ts';
import type { Parameter } from '#runtime/http/parameters.ts';
import { show } from '#runtime/http/parameters.ts';
import { type Answer, type Asked, ID, JOB, known, type Route } from '#runtime/http/route.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';

const REQUEST_ID = /^[a-z0-9-]{1,64}$/;
/** Entity tags of jobs: their revision. */
const TAG = /^"(\d{1,15})"$/;

const TERMS: readonly Parameter[] = [
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
const REQUEST: Parameter = {
  name: 'request',
  in: 'path',
  description: 'id of the request',
  schema: { type: 'string', pattern: REQUEST_ID.source },
};
const SAVEPOINT: Parameter = {
  name: 'savepoint',
  in: 'path',
  description: 'id of the savepoint',
  schema: { type: 'string', pattern: ID.source },
};
const PURGE: Parameter = {
  name: 'purge',
  in: 'query',
  description: 'deletes its internal topics and checkpoints, too: started again it begins anew',
  schema: { type: 'boolean', default: false },
};

const ANSWERS: Route['answers'] = {
  200: { schema: 'Request', description: 'there is nothing to do, or the request has ended before' },
  202: { schema: 'Request', description: 'it is written down, and under way' },
};
const ERRORS: readonly ErrorCode[] = [
  'media-type-unknown',
  'job-unknown',
  'job-busy',
  'job-changed',
  'job-state-wrong',
  'request-reused',
  'not-ready',
];

export const CHANGE_ROUTES: readonly Route[] = [
  {
    method: 'PATCH',
    path: '/jobs/{job}',
    id: 'patchJob',
    summary: 'Starts, stops, pauses, cancels a job, or changes its parallelism and intervals',
    parameters: [JOB, ...TERMS],
    body: 'JobPatch',
    answers: ANSWERS,
    errors: ERRORS,
    ask: async (port, asked) => {
      const patch = asked.body as JobPatchView;
      return accepted(await known(port, asked.path['job'], (job) => port.patchJob(job, patch, termsOf(asked))));
    },
  },
  {
    method: 'DELETE',
    path: '/jobs/{job}',
    id: 'cancelJob',
    summary: 'Cancels a job: it ends at once, without a checkpoint',
    parameters: [JOB, PURGE, ...TERMS],
    answers: ANSWERS,
    errors: ERRORS.filter((code) => code !== 'media-type-unknown'),
    ask: async (port, asked) => {
      const purge = asked.query['purge'] === true;
      return accepted(await known(port, asked.path['job'], (job) => port.cancelJob(job, purge, termsOf(asked))));
    },
  },
  {
    method: 'POST',
    path: '/jobs/{job}/checkpoints',
    id: 'checkpointJob',
    summary: 'A checkpoint of every task of a job, now',
    parameters: [JOB, ...TERMS],
    answers: ANSWERS,
    errors: ERRORS,
    ask: async (port, asked) =>
      accepted(await known(port, asked.path['job'], (job) => port.checkpointJob(job, termsOf(asked)))),
  },
  {
    method: 'POST',
    path: '/jobs/{job}/savepoints',
    id: 'savepointJob',
    summary: 'A savepoint of a job: the state of all tasks at one cut, kept until it is deleted',
    parameters: [JOB, ...TERMS],
    answers: ANSWERS,
    errors: ERRORS,
    ask: async (port, asked) =>
      accepted(await known(port, asked.path['job'], (job) => port.savepointJob(job, termsOf(asked)))),
  },
  {
    method: 'GET',
    path: '/jobs/{job}/savepoints',
    id: 'savepoints',
    summary: 'Savepoints of a job, the newest first',
    parameters: [JOB],
    answers: { 200: { schema: 'Savepoints', description: 'the savepoints' } },
    errors: ['job-unknown'],
    ask: async (port, { path }) => ({
      body: { savepoints: await known(port, path['job'], (job) => port.savepoints(job)) },
    }),
  },
  {
    method: 'GET',
    path: '/jobs/{job}/savepoints/{savepoint}',
    id: 'savepoint',
    summary: 'A savepoint with its tasks',
    parameters: [JOB, SAVEPOINT],
    answers: { 200: { schema: 'SavepointDetail', description: 'the savepoint' } },
    errors: ['job-unknown', 'savepoint-unknown'],
    ask: async (port, { path }) => ({
      body: await known(port, path['job'], (job) => port.savepoint(job, savepointOf(path))),
    }),
  },
  {
    method: 'DELETE',
    path: '/jobs/{job}/savepoints/{savepoint}',
    id: 'deleteSavepoint',
    summary: 'Deletes a savepoint',
    parameters: [JOB, SAVEPOINT, ...TERMS],
    answers: ANSWERS,
    errors: [...ERRORS.filter((code) => code !== 'media-type-unknown'), 'savepoint-unknown'],
    ask: async (port, asked) => {
      const id = savepointOf(asked.path);
      return accepted(await known(port, asked.path['job'], (job) => port.deleteSavepoint(job, id, termsOf(asked))));
    },
  },
  {
    method: 'GET',
    path: '/requests/{request}',
    id: 'request',
    summary: 'A change of a job: how far it is, or how it ended',
    parameters: [REQUEST],
    answers: { 200: { schema: 'Request', description: 'the request' } },
    errors: ['request-unknown'],
    ask: async (port, { path }) => {
      const id = path['request'];
      const request = REQUEST_ID.test(id) ? await port.request(id) : null;
      if (request !== null) return { body: request };
      const message = `there is no request ${show(id)}`;
      throw new StreamError('request-unknown', message, 'give the requestId that a change was answered with');
    },
  },
];

/** Error: savepoint-unknown when there is none that is called so. */
function savepointOf(path: Asked['path']): string {
  const id = path['savepoint'];
  if (ID.test(id)) return id;
  const message = `there is no savepoint ${show(id)}`;
  throw new StreamError('savepoint-unknown', message, 'name one of those that are there: millrace savepoints JOB');
}

function accepted(request: RequestView): Answer {
  const location = `/requests/${request.requestId}`;
  return { status: request.state === 'RUNNING' ? 202 : 200, headers: { location }, body: request };
}

function termsOf({ headers }: Asked): ChangeTerms {
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
