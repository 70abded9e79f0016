// Owns the inside of the thread that tries a module: it loads the job as it would be loaded, and says that it came to an
// end, good or bad.

import { parentPort, workerData } from 'node:worker_threads';
import type { JobConfiguration } from '#jobs/configuration.ts';
import { loadJob } from '#jobs/load-job.ts';

const done = () => parentPort?.postMessage('done');
loadJob(workerData as JobConfiguration).then(done, done);
