// Owns the commands that ask a process: jobs, job, state, savepoints and versions. What they print is made elsewhere; what they ask goes
// through the API client.

import type { ApiFlags, StateAsked } from '#jobs/command-line.ts';
import { type ApiAccess, askApi } from '#jobs/commands/api-client.ts';
import { versionsText } from '#jobs/commands/deploy-text.ts';
import { jobsText, jobText } from '#jobs/commands/jobs-text.ts';
import type { Paint } from '#jobs/commands/paint.ts';
import { savepointsText } from '#jobs/commands/savepoints-text.ts';
import { operatorsText, stateText } from '#jobs/commands/state-text.ts';
import type { JobDetailView, JobView, StateOperatorsView, StateView } from '#runtime/http/contract.ts';
import type { JobVersionView, SavepointView } from '#runtime/http/deploy-contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface AskEdges {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly nowMs: number;
  readonly paint: Paint;
}

export type AskCommand =
  | ({ readonly kind: 'jobs' } & ApiFlags)
  | ({ readonly kind: 'job' | 'savepoints' | 'versions'; readonly job: string } & ApiFlags)
  | ({ readonly kind: 'state' } & StateAsked & ApiFlags);

/** What the command prints. Errors: those of the API; api-unreachable, api-foreign, config-invalid. */
export async function ask(command: AskCommand, edges: AskEdges): Promise<string> {
  const access: ApiAccess = { url: command.url, environment: edges.environment };
  switch (command.kind) {
    case 'jobs': {
      const answer = await asked<{ readonly jobs: readonly JobView[] }>(access, '/jobs', 'jobs');
      return command.json ? jsonText(answer) : shown('/jobs', () => jobsText(answer.jobs, edges));
    }
    case 'job': {
      const path = `/jobs/${encodeURIComponent(command.job)}`;
      const answer = await asked<JobDetailView>(access, path, 'taskList');
      return command.json ? jsonText(answer) : shown(path, () => jobText(answer, edges));
    }
    case 'savepoints': {
      const path = `/jobs/${encodeURIComponent(command.job)}/savepoints`;
      const answer = await asked<{ readonly savepoints: readonly SavepointView[] }>(access, path, 'savepoints');
      return command.json ? jsonText(answer) : shown(path, () => savepointsText(answer.savepoints, edges));
    }
    case 'versions': {
      const path = `/jobs/${encodeURIComponent(command.job)}/versions`;
      const answer = await asked<{ readonly versions: readonly JobVersionView[] }>(access, path, 'versions');
      return command.json ? jsonText(answer) : shown(path, () => versionsText(answer.versions, edges));
    }
    case 'state':
      return askState(command, access, edges);
  }
}

async function askState(command: StateAsked & ApiFlags, access: ApiAccess, edges: AskEdges): Promise<string> {
  const { json, job } = command;
  const path = `/jobs/${encodeURIComponent(job)}/state`;
  const { operators } = await asked<StateOperatorsView>(access, path, 'operators');
  const operator = command.operator ?? operators[0];
  if (operator === undefined) return json ? jsonText({ job, operators }) : operatorsText(job, operators);
  const query = new URLSearchParams();
  if (command.key !== null) query.set('key', command.key);
  else {
    query.set('limit', String(command.limit));
    if (command.prefix) query.set('prefix', command.prefix);
    if (command.after !== null) query.set('after', command.after);
  }
  const state = await asked<StateView>(access, `${path}/${encodeURIComponent(operator)}?${query}`, 'keys');
  if (json) return jsonText(command.operator === null ? { operators, ...state } : state);
  return shown(path, () => stateText(state, { ...edges, operators, more: nextPage(command, state) }));
}

/** The command line of the next page. */
function nextPage({ limit, prefix, url }: StateAsked & ApiFlags, { job, next, operator }: StateView): string | null {
  if (next === null) return null;
  const words = ['millrace', 'state', job, '--operator', operator, '--limit', String(limit)];
  if (prefix) words.push('--prefix', prefix);
  words.push('--after', next);
  if (url !== null) words.push('--url', url);
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w.:/@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** An answer that lacks what it is for is none of Millrace. */
async function asked<T extends object>(access: ApiAccess, path: string, field: keyof T & string): Promise<T> {
  const answer = await askApi<T>(access, path);
  if (Array.isArray(answer[field])) return answer;
  throw strange(path, `has no ${field}`);
}

/** An answer that cannot be shown lacks something deeper down. */
function shown(path: string, text: () => string): string {
  try {
    return text();
  } catch (cause) {
    throw strange(path, 'cannot be shown', cause);
  }
}

function strange(path: string, what: string, cause?: unknown): StreamError {
  const message = `what answers ${path} ${what}, and so is no admin API of Millrace, or of another version`;
  return new StreamError('api-foreign', message, 'name the address of Millrace with --url or MILLRACE_URL', { cause });
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
