// Owns the commands that change a job: what they ask, waiting for its end, and what they print. The change is made by the
// process, whoever waits: who interrupts the command does not undo it.

import { randomUUID } from 'node:crypto';
import type { ApiFlags, ChangeAsked } from '#jobs/command-line.ts';
import { type ApiAccess, type ApiChange, askApi } from '#jobs/commands/api-client.ts';
import { humanDuration, printable, printableLines } from '#jobs/commands/human-text.ts';
import { progressText } from '#jobs/commands/progress-text.ts';
import type { JobDetailView, JobPatchView, RequestView } from '#runtime/http/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export interface ChangeEdges {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Shows a line in place of the one before; empty: takes it away. Null: nobody looks. */
  readonly showProgress: ((line: string) => void) | null;
}

const LOOK_MS = 200;
/** A process that is started again goes on with the change. */
const AWAY_MAX_MS = 60_000;
const SENDS_MAX = 3;

const STATES = { start: 'RUNNING', resume: 'RUNNING', stop: 'STOPPED', pause: 'PAUSED' } as const;

/** What the command prints. Errors: those of the API and of the change; api-unreachable, api-foreign, config-invalid. */
export async function change(command: ChangeAsked & ApiFlags, edges: ChangeEdges): Promise<string> {
  const access: ApiAccess = { url: command.url, environment: edges.environment };
  const job = `/jobs/${encodeURIComponent(command.job)}`;
  const { revision } = await askApi<JobDetailView>(access, job);
  const headers = {
    'idempotency-key': command.requestId ?? randomUUID(),
    ...(Number.isInteger(revision) && { 'if-match': `"${revision}"` }),
  };
  const { more = '', ...words } = wordsOf(command);
  const begun = await send<RequestView>(access, `${job}${more}`, { ...words, headers }, edges);
  const request = await untilEnd(begun, access, edges);
  const text = outcomeOf(request);
  return command.json ? `${JSON.stringify(request, null, 2)}\n` : text;
}

/** What became of it. Error: why it did not succeed. */
export function outcomeOf(request: RequestView): string {
  if (request.state === 'DONE') return textOf(request);
  const { code, message, remedy } = request.failure ?? { code: '', message: request.message ?? '', remedy: '' };
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'request-interrupted';
  const undone = request.state === 'UNDONE' ? '; all is as it was before' : '';
  throw new StreamError(
    known,
    `${printableLines(message)}${undone}`,
    printableLines(remedy) || 'look at the job: millrace job',
  );
}

/** `more`: of the path, behind that of the job. */
function wordsOf({
  command,
  drain,
  parallelism,
  purge,
  savepoint,
}: ChangeAsked): Pick<ApiChange, 'method' | 'body'> & { readonly more?: string } {
  if (command === 'cancel') return { method: 'DELETE', body: null, ...(purge && { more: '?purge=true' }) };
  if (command === 'savepoint') return { method: 'POST', body: null, more: '/savepoints' };
  if (command === 'savepoint delete') {
    return { method: 'DELETE', body: null, more: `/savepoints/${encodeURIComponent(savepoint ?? '')}` };
  }
  const body: JobPatchView =
    command === 'rescale' ? { parallelism: parallelism ?? 1 } : { state: STATES[command], ...(drain && { drain }) };
  return { method: 'PATCH', body };
}

/** With an id of its own it may be sent again when nobody knows whether it arrived. */
export async function send<T>(access: ApiAccess, path: string, words: ApiChange, { clock }: ChangeEdges): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await askApi<T>(access, path, words);
    } catch (error) {
      const again = error instanceof StreamError && error.code === 'api-unreachable' && tries < SENDS_MAX;
      if (!again) throw error;
      await clock.sleep(LOOK_MS * tries);
    }
  }
}

export async function untilEnd(begun: RequestView, access: ApiAccess, edges: ChangeEdges): Promise<RequestView> {
  const { clock, showProgress } = edges;
  const startMs = clock.monotonicMs();
  let heardMs = startMs;
  let request = begun;
  try {
    while (request.state === 'RUNNING') {
      showProgress?.(progressText(request, clock.monotonicMs() - startMs));
      await clock.sleep(LOOK_MS);
      try {
        request = await askApi<RequestView>(access, `/requests/${encodeURIComponent(begun.requestId)}`);
        heardMs = clock.monotonicMs();
      } catch (error) {
        const away = error instanceof StreamError && error.retryable && clock.monotonicMs() - heardMs < AWAY_MAX_MS;
        if (!away) throw error;
      }
    }
  } finally {
    showProgress?.('');
  }
  return request;
}

function textOf({ acceptedMs, endedMs, job, message, operation }: RequestView): string {
  const took = endedMs === null ? '' : ` (${humanDuration(endedMs - acceptedMs)})`;
  return `${printable(operation)} of ${printable(job)}: ${printable(message ?? 'done')}${took}\n`;
}
