// A thread that begins 60 transactions at once and says what time it is for it.

import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '#runtime/std/clock.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { CommitPace, type SharedPace } from '#runtime/task/commit-pace.ts';

const pace = new CommitPace({ ...(workerData as SharedPace), clock: systemClock, logger: silentLogger });
for (let i = 0; i < 60; i++) pace.began();
parentPort?.postMessage(systemClock.monotonicMs());
