// Owns the table of routes: what can be asked, with which parameters, what is answered, and whom it is asked of. Data
// for the server and for the OpenAPI document alike; sockets and headers of every answer are the server's affair.

import { createHash } from 'node:crypto';
import type { AdminPort, JobDetailView } from '#runtime/http/contract.ts';
import { jsonText } from '#runtime/http/json-text.ts';
import { type Parameter, type Query, show } from '#runtime/http/parameters.ts';
import type { SchemaName } from '#runtime/http/view-schemas.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

export interface Asked {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Query;
}

export interface Answer {
  /** @default 200 */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text as it is, anything else as JSON. */
  readonly body: unknown;
}

export interface Route {
  readonly method: 'GET';
  /** With parameters in braces. */
  readonly path: string;
  readonly id: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  /** By status; `text` is the Prometheus text format. */
  readonly answers: Readonly<Record<number, { readonly schema: SchemaName | 'text'; readonly description: string }>>;
  /** Headers of its answer with 200, with what they say. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Beside those that every route has. */
  readonly errors: readonly ErrorCode[];
  /** May be asked without the token, whatever the Host. */
  readonly open?: true;
  /** Many of these at once would hold much memory. */
  readonly heavy?: true;
  readonly ask: (port: AdminPort, asked: Asked) => Promise<Answer>;
}

const ID = /^[a-z0-9-]{1,64}$/;
const LISTED_MAX = 20;

const JOB: Parameter = {
  name: 'job',
  in: 'path',
  description: 'id of the job',
  schema: { type: 'string', pattern: ID.source },
};
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
    headers: { etag: 'of what the job is told to be (not of what it does): for If-Match of changes' },
    ask: async (port, { path }) => {
      const job = await known(port, path['job'], (name) => port.job(name));
      return { body: job, headers: { etag: jobTag(job) } };
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

/** What `ask` answers for a job that there is. Error: job-unknown. */
async function known<T>(port: AdminPort, name: string, ask: (name: string) => Promise<T | null>): Promise<T> {
  const found = ID.test(name) ? await ask(name) : null;
  if (found !== null) return found;
  const names = (await port.jobs()).map((job) => job.name);
  const has = names.length === 0 ? 'the process has no job yet' : `choose from: ${listed(names)}`;
  throw new StreamError('job-unknown', `there is no job ${show(name)}`, `${meant(name, names)}${has}`);
}

function meant(name: string, names: readonly string[]): string {
  const near = nearestName(name.slice(0, 64), names);
  return near === null ? '' : `did you mean '${near}'? `;
}

function listed(names: readonly string[]): string {
  const rest = names.length - LISTED_MAX;
  return `${names.slice(0, LISTED_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Changes with what somebody may change, and not with what the job does. */
function jobTag({ module, name, parallelism, settings, stages, version }: JobDetailView): string {
  const told = jsonText([name, module, version, parallelism, settings, stages]);
  return `"${createHash('sha256').update(told).digest('base64url').slice(0, 22)}"`;
}
