// Owns the table of routes: what can be asked, with which parameters, what is answered, and whom it is asked of. Data
// for the server and for the OpenAPI document alike; sockets and headers of every answer are the server's affair.

import { CHANGE_ROUTES } from '#runtime/http/change-routes.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import { type Parameter, show } from '#runtime/http/parameters.ts';
import { type Answer, type Asked, ID, JOB, known, listed, meant, type Route } from '#runtime/http/route.ts';
import type { SchemaName } from '#runtime/http/view-schemas.ts';
import { StreamError } from '#runtime/std/errors.ts';

const OPERATOR: Parameter = {
  name: 'operator',
  in: 'path',
  description: 'id of the operator',
  schema: { type: 'string', pattern: ID.source },
};
const PAGE: readonly Parameter[] = [
  { name: 'key', in: 'query', description: 'only this key', schema: { type: 'string' } },
  { name: 'prefix', in: 'query', description: 'only keys that begin so', schema: { type: 'string' } },
  {
    name: 'limit',
    in: 'query',
    description: 'keys of the page at most',
    schema: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 },
  },
  { name: 'after', in: 'query', description: '`next` of the page before', schema: { type: 'string' } },
];

export const ROUTES: readonly Route[] = [
  simple('/overview', 'overview', 'The process in a few figures', 'Overview', (port) => port.overview()),
  simple('/config', 'config', 'The configuration as it is used', 'Configuration', (port) => port.configuration()),
  simple('/jobs', 'jobs', 'Every job: state, lag, watermark, last checkpoint', 'Jobs', async (port) => ({
    jobs: await port.jobs(),
  })),
  {
    ...ofJob('', 'job', 'One job with its tasks', 'JobDetail', (port, name) => port.job(name)),
    headers: { etag: 'revision of what the job is told to be (not of what it does): for If-Match of changes' },
    ask: async (port, { path }) => {
      const job = await known(port, path['job'], (name) => port.job(name));
      return { body: job, headers: { etag: `"${job.revision}"` } };
    },
  },
  ofJob('/plan', 'plan', 'Stages, operators, exchanges and state of a job', 'Plan', (port, name) => port.plan(name)),
  ofJob('/checkpoints', 'checkpoints', 'Checkpoints of a job: counts and history', 'Checkpoints', (port, name) =>
    port.checkpoints(name),
  ),
  ofJob('/exceptions', 'exceptions', 'What failed in a job, where and how often', 'Exceptions', (port, name) =>
    port.exceptions(name),
  ),
  ofJob('/state', 'stateOperators', 'Operators of a job whose state can be read', 'StateOperators', readableOperators),
  {
    method: 'GET',
    path: '/jobs/{job}/state/{operator}',
    id: 'state',
    summary: 'Keyed state of an operator, each task read at one entry',
    parameters: [JOB, OPERATOR, ...PAGE],
    answers: { 200: { schema: 'State', description: 'a page of keys' } },
    errors: ['job-unknown', 'operator-unknown', 'state-unreadable'],
    heavy: true,
    ask: askState,
  },
  {
    method: 'GET',
    path: '/metrics',
    id: 'metrics',
    summary: 'Figures for Prometheus',
    parameters: [],
    answers: { 200: { schema: 'text', description: 'Prometheus text format 0.0.4' } },
    errors: [],
    ask: async (port) => ({
      body: await port.metrics(),
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
    }),
  },
  {
    ...simple('/healthz', 'healthz', 'Whether the process lives', 'Health', async () => ({ live: true })),
    open: true,
  },
  {
    ...simple('/readyz', 'readyz', 'Whether every job does its work', 'Readiness', (port) => port.readiness()),
    answers: {
      200: { schema: 'Readiness', description: 'every job does its work' },
      503: { schema: 'NotReady', description: 'some job does not, and why' },
    },
    ask: askReadiness,
  },
  ...CHANGE_ROUTES,
];

function simple(
  path: string,
  id: string,
  summary: string,
  schema: SchemaName,
  ask: (port: AdminPort) => Promise<unknown>,
): Route {
  return {
    method: 'GET',
    path,
    id,
    summary,
    parameters: [],
    answers: { 200: { schema, description: summary } },
    errors: [],
    ask: async (port) => ({ body: await ask(port) }),
  };
}

function ofJob<T>(
  path: string,
  id: string,
  summary: string,
  schema: SchemaName,
  ask: (port: AdminPort, job: string) => Promise<T | null>,
): Route {
  return {
    ...simple(`/jobs/{job}${path}`, id, summary, schema, () => Promise.resolve(null)),
    parameters: [JOB],
    errors: ['job-unknown'],
    ask: async (port, { path }) => ({ body: await known(port, path['job'], (job) => ask(port, job)) }),
  };
}

async function readableOperators(port: AdminPort, job: string) {
  const operators = await port.stateOperators(job);
  return operators === null ? null : { job, operators };
}

async function askState(port: AdminPort, { path, query }: Asked): Promise<Answer> {
  const { job, operator } = path;
  const { after, key, limit, prefix } = query as { after?: string; key?: string; limit?: number; prefix?: string };
  if (key !== undefined && (prefix || after)) {
    const message = `the query has 1 fault: key names one key, ${prefix ? 'prefix' : 'after'} speaks of several`;
    throw new StreamError('request-invalid', message, 'give either key, or prefix, limit and after');
  }
  const asked = { key, prefix: prefix || undefined, limit, after: after || undefined };
  const state = ID.test(job) && ID.test(operator) ? await port.state(job, operator, asked) : null;
  if (state !== null) return { body: state };
  const operators = await known(port, job, (name) => port.stateOperators(name));
  const has = operators.length === 0 ? 'none has state that can be read' : `choose from: ${listed(operators)}`;
  const message = `job '${job}' has no operator ${show(operator)} whose state can be read`;
  throw new StreamError('operator-unknown', message, `${meant(operator, operators)}${has}`);
}

async function askReadiness(port: AdminPort): Promise<Answer> {
  const readiness = await port.readiness();
  if (readiness.ready) return { body: readiness };
  const [first, ...others] = readiness.jobs;
  const more = others.length === 0 ? '' : `, and ${others.length} more`;
  const message =
    first === undefined ? 'the process is not ready' : `job ${first.job} is ${first.state}: ${first.reason}`;
  const error = { code: 'not-ready', message: `${message}${more}`, remedy: first?.remedy ?? 'ask again in a while' };
  return { status: 503, headers: { 'retry-after': '1' }, body: { error, ...readiness } };
}
