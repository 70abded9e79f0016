// Owns the table of routes for savepoints, deploys and versions of jobs.

import { ANSWERS, accepted, CHANGE_ERRORS, TERMS, termsOf } from '#runtime/http/change-answers.ts';
import type { DeployAskedView, DeployedView, RollbackAskedView } from '#runtime/http/deploy-contract.ts';
import type { Parameter } from '#runtime/http/parameters.ts';
import { show } from '#runtime/http/parameters.ts';
import { type Answer, type Asked, ID, JOB, known, type Route } from '#runtime/http/route.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';

const SAVEPOINT: Parameter = {
  name: 'savepoint',
  in: 'path',
  description: 'id of the savepoint',
  schema: { type: 'string', pattern: ID.source },
};

/** A module with what it imports is longer than anything else that is sent. */
const BUNDLE_BYTES_MAX = 12 * 1024 * 1024;

const DEPLOYED: Route['answers'] = {
  200: { schema: 'Deployed', description: 'what it would do, or a request that has ended' },
  202: { schema: 'Deployed', description: 'it is written down, and under way' },
};
const DEPLOY_ERRORS: readonly ErrorCode[] = [
  ...CHANGE_ERRORS.filter((code) => code !== 'job-unknown'),
  'job-invalid',
  'version-mismatch',
  'savepoint-unknown',
  'topic-unknown',
];

/** The module is loaded, and the state of all tasks looked at. */
const LOADING_MS = 25_000;

export const DEPLOY_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: '/jobs',
    id: 'deployJob',
    summary: 'Deploys a version of a job, or a new job',
    parameters: TERMS,
    body: 'Deploy',
    bodyBytesMax: BUNDLE_BYTES_MAX,
    answers: DEPLOYED,
    errors: DEPLOY_ERRORS,
    heavy: true,
    answerMs: LOADING_MS,
    ask: async (port, asked) =>
      deployed(await port.deployJob(asked.body as unknown as DeployAskedView, termsOf(asked))),
  },
  {
    method: 'GET',
    path: '/jobs/{job}/versions',
    id: 'versions',
    summary: 'Versions of a job, the newest first',
    parameters: [JOB],
    answers: { 200: { schema: 'Versions', description: 'the versions' } },
    errors: ['job-unknown', 'not-ready'],
    ask: async (port, { path }) => ({
      body: { versions: await known(port, path['job'], (job) => port.versions(job)) },
    }),
  },
  {
    method: 'POST',
    path: '/jobs/{job}/rollback',
    id: 'rollbackJob',
    summary: 'Deploys a version that a job had before',
    parameters: [JOB, ...TERMS],
    body: 'Rollback',
    answers: DEPLOYED,
    errors: [...DEPLOY_ERRORS, 'job-unknown', 'version-unknown'],
    heavy: true,
    answerMs: LOADING_MS,
    ask: async (port, asked) => {
      const body = asked.body as unknown as RollbackAskedView;
      return deployed(await known(port, asked.path['job'], (job) => port.rollbackJob(job, body, termsOf(asked))));
    },
  },
  {
    method: 'POST',
    path: '/jobs/{job}/savepoints',
    id: 'savepointJob',
    summary: 'A savepoint of a job: the state of all tasks at one cut, kept until it is deleted',
    parameters: [JOB, ...TERMS],
    answers: ANSWERS,
    errors: CHANGE_ERRORS,
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
    errors: [...CHANGE_ERRORS.filter((code) => code !== 'media-type-unknown'), 'savepoint-unknown'],
    ask: async (port, asked) => {
      const id = savepointOf(asked.path);
      return accepted(await known(port, asked.path['job'], (job) => port.deleteSavepoint(job, id, termsOf(asked))));
    },
  },
];

function deployed(answer: DeployedView): Answer {
  const { request } = answer;
  if (request === null) return { status: 200, body: answer };
  return { ...accepted(request), body: answer };
}

/** Error: savepoint-unknown when there is none that is called so. */
function savepointOf(path: Asked['path']): string {
  const id = path['savepoint'];
  if (ID.test(id)) return id;
  const message = `there is no savepoint ${show(id)}`;
  throw new StreamError('savepoint-unknown', message, 'name one of those that are there: millrace savepoints JOB');
}
