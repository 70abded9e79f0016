// Owns the inside of the process that tries a module: it loads the job as it would be loaded, and tells what came of it.
// Ends with whoever began it.

import type { JobConfiguration } from '#jobs/configuration.ts';
import { FaultsError } from '#jobs/faults.ts';
import { loadJob } from '#jobs/load-job.ts';
import type { TrialVerdict } from '#jobs/module-trial.ts';
import { StreamError } from '#runtime/std/errors.ts';

process.once('disconnect', () => process.exit());
process.once('message', (job) => {
  // Whoever waits for what never comes has nothing left to do then.
  process.channel?.unref();
  loadJob(job as JobConfiguration).then(({ plan }) => tell({ job: plan.job }), told);
});

function tell(verdict: TrialVerdict): void {
  process.channel?.ref();
  process.send?.(verdict);
}

function told(error: unknown): void {
  if (!(error instanceof StreamError)) throw error;
  const { code, message, remedy } = error;
  tell({ code, message, remedy, faults: error instanceof FaultsError ? error.faults : null });
}
