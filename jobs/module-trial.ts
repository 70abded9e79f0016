// Owns trying a module that somebody sent before this process runs it: in a process of its own, which alone dies of one
// that ends the process, never returns or takes all memory. Invariant: what could not be loaded there is not loaded here.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { JobConfiguration } from '#jobs/configuration.ts';
import { type Fault, FaultsError } from '#jobs/faults.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';

/** Far more than a module and its packages take, less than whoever sent it waits. */
const TRIAL_MS_MAX = 15_000;
/** What a module has begun at its top may fail a little later. */
const AFTERMATH_MS = 500;
const TRIAL_MIB_MAX = 512;
const SAID_LENGTH_MAX = 10_000;

/** What the trial found: the id of the job, or what is wrong with its module. */
export type TrialVerdict =
  | { readonly job: string }
  | {
      readonly code: ErrorCode;
      readonly message: string;
      readonly remedy: string;
      readonly faults: readonly Fault[] | null;
    };

/** The id of the job that the module defines. Errors: those of loading it; job-invalid, also for one that does harm. */
export async function tryModule(job: JobConfiguration, clock: Clock): Promise<string> {
  const { modulePath } = job;
  const file = import.meta.url.endsWith('.ts') ? './module-trial-main.ts' : './module-trial-main.js';
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), {
    execArgv: [...process.execArgv, `--max-old-space-size=${TRIAL_MIB_MAX}`],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr?.on('data', (text: Buffer) => {
    if (said.length < SAID_LENGTH_MAX) said += text;
  });
  const heard = Promise.withResolvers<TrialVerdict>();
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  child.once('message', (verdict) => heard.resolve(verdict as TrialVerdict));
  child.once('error', (error) => ended.reject(harmful(modulePath, `fails outside of it: ${error.message}`)));
  child.once('close', (code, signal) => {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    const why = said.split('\n').find((line) => /\b(Error|FATAL ERROR): /.test(line));
    ended.reject(harmful(modulePath, `ends the process with ${how}${why === undefined ? '' : ` (${why.trim()})`}`));
  });
  child.send(job, () => {});
  const over = new AbortController();
  const late = clock.sleep(TRIAL_MS_MAX, over.signal).then(() => {
    throw harmful(modulePath, `takes more than ${TRIAL_MS_MAX / 1000} s to load`);
  });
  late.catch(() => {});
  try {
    const verdict = await Promise.race([heard.promise, ended.promise, late]);
    if (!('job' in verdict)) throw faultOf(verdict);
    await Promise.race([clock.sleep(AFTERMATH_MS, over.signal), ended.promise]);
    return verdict.job;
  } finally {
    over.abort();
    child.removeAllListeners();
    child.on('error', () => {});
    child.kill('SIGKILL');
  }
}

function faultOf({ code, faults, message, remedy }: Exclude<TrialVerdict, { readonly job: string }>): StreamError {
  return faults === null ? new StreamError(code, message, remedy) : new FaultsError(code, message, faults);
}

function harmful(modulePath: string, does: string): StreamError {
  const remedy = 'let the module only define its job: no process.exit, no endless loop, nothing started at its top';
  return new StreamError('job-invalid', `job module ${modulePath} cannot be loaded: it ${does}`, remedy);
}
