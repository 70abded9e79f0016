// Owns the table of routes that change something, and of looking at the changes: who may make one stands in
// request-guard.ts. Every change answers at once with its request, which is asked for its end.

import { ANSWERS, accepted, CHANGE_ERRORS, REQUEST_ID, TERMS, termsOf } from '#runtime/http/change-answers.ts';
import type { JobPatchView } from '#runtime/http/contract.ts';
import { DEPLOY_ROUTES } from '#runtime/http/deploy-routes.ts';
import type { Parameter } from '#runtime/http/parameters.ts';
import { show } from '#runtime/http/parameters.ts';
import { JOB, known, type Route } from '#runtime/http/route.ts';
import { StreamError } from '#runtime/std/errors.ts';

const REQUEST: Parameter = {
  name: 'request',
  in: 'path',
  description: 'id of the request',
  schema: { type: 'string', pattern: REQUEST_ID.source },
};
const PURGE: Parameter = {
  name: 'purge',
  in: 'query',
  description: 'deletes its internal topics and checkpoints, too: started again it begins anew',
  schema: { type: 'boolean', default: false },
};

export const CHANGE_ROUTES: readonly Route[] = [
  {
    method: 'PATCH',
    path: '/jobs/{job}',
    id: 'patchJob',
    summary: 'Starts, stops, pauses, cancels a job, or changes its parallelism and intervals',
    parameters: [JOB, ...TERMS],
    body: 'JobPatch',
    answers: ANSWERS,
    errors: CHANGE_ERRORS,
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
    errors: CHANGE_ERRORS.filter((code) => code !== 'media-type-unknown'),
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
    errors: CHANGE_ERRORS,
    ask: async (port, asked) =>
      accepted(await known(port, asked.path['job'], (job) => port.checkpointJob(job, termsOf(asked)))),
  },
  ...DEPLOY_ROUTES,
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
