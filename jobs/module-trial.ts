// Owns trying a module that somebody sent before this process runs it: in a thread of its own, which alone dies of one
// that ends the process, never returns or takes all memory. What the module says is wrong with itself is not its matter.

import { Worker } from 'node:worker_threads';
import type { JobConfiguration } from '#jobs/configuration.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** Far more than a module and its packages take, less than whoever sent it waits. */
const TRIAL_MS_MAX = 15_000;
/** Of JavaScript objects. */
const TRIAL_MIB_MAX = 1024;

/** Resolves when the module can be loaded here without harm, be it to be told what is wrong with it. Error: job-invalid. */
export async function tryModule(job: JobConfiguration, clock: Clock): Promise<void> {
  const file = import.meta.url.endsWith('.ts') ? './module-trial-main.ts' : './module-trial-main.js';
  const { modulePath } = job;
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData: job,
    name: 'module-trial',
    resourceLimits: { maxOldGenerationSizeMb: TRIAL_MIB_MAX },
  });
  const trial = Promise.withResolvers<void>();
  worker.once('message', () => trial.resolve());
  worker.once('error', (error) => trial.reject(harmful(modulePath, `fails outside of it: ${error.message}`)));
  worker.once('exit', (code) => trial.reject(harmful(modulePath, `ends the process with exit code ${code}`)));
  const over = new AbortController();
  const late = clock.sleep(TRIAL_MS_MAX, over.signal).then(() => {
    if (!over.signal.aborted) trial.reject(harmful(modulePath, `takes more than ${TRIAL_MS_MAX / 1000} s to load`));
  });
  try {
    await trial.promise;
  } finally {
    over.abort();
    await Promise.all([late, worker.terminate()]);
  }
}

function harmful(modulePath: string, does: string): StreamError {
  const remedy = 'let the module only define its job: no process.exit, no endless loop, nothing started at its top';
  return new StreamError('job-invalid', `job module ${modulePath} cannot be loaded: it ${does}`, remedy);
}
