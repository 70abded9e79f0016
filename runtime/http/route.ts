// Owns what a route is, as data for the server and for the OpenAPI document alike, and what all routes of jobs have in
// common.

import type { AdminPort } from '#runtime/http/contract.ts';
import { type Parameter, type Query, show } from '#runtime/http/parameters.ts';
import type { SchemaName } from '#runtime/http/view-schemas.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

export interface Asked {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Query;
  /** Those among the parameters, in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** As the schema has it; null: the route takes none. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export interface Answer {
  /** @default 200 */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text as it is, anything else as JSON. */
  readonly body: unknown;
}

export interface Route {
  readonly method: 'GET' | 'PATCH' | 'POST' | 'DELETE';
  /** With parameters in braces. */
  readonly path: string;
  readonly id: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  /** Of what it takes as its body; without: none. */
  readonly body?: SchemaName;
  /** @default that of all routes */
  readonly bodyBytesMax?: number;
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
  /** What the process does for the answer may take longer than others; below the time to deliver it. */
  readonly answerMs?: number;
  readonly ask: (port: AdminPort, asked: Asked) => Promise<Answer>;
}

export const ID = /^[a-z0-9-]{1,64}$/;
const LISTED_MAX = 20;

export const JOB: Parameter = {
  name: 'job',
  in: 'path',
  description: 'id of the job',
  schema: { type: 'string', pattern: ID.source },
};

/** What `ask` answers for a job that there is. Error: job-unknown. */
export async function known<T>(port: AdminPort, name: string, ask: (name: string) => Promise<T | null>): Promise<T> {
  const found = ID.test(name) ? await ask(name) : null;
  if (found !== null) return found;
  const names = (await port.jobs()).map((job) => job.name);
  const has = names.length === 0 ? 'the process has no job yet' : `choose from: ${listed(names)}`;
  throw new StreamError('job-unknown', `there is no job ${show(name)}`, `${meant(name, names)}${has}`);
}

export function meant(name: string, names: readonly string[]): string {
  const near = nearestName(name.slice(0, 64), names);
  return near === null ? '' : `did you mean '${near}'? `;
}

export function listed(names: readonly string[]): string {
  const rest = names.length - LISTED_MAX;
  return `${names.slice(0, LISTED_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
