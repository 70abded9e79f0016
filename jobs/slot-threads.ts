// Owns how the thread of a slot is made: what it is told at its birth, and the end of the embedded log that it gets.
// Runs nothing itself.

import { Worker } from 'node:worker_threads';
import type { Configuration } from '#jobs/configuration.ts';
import type { JobAssignment, SlotSettings } from '#jobs/process-settings.ts';
import type { EmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import type { SharedPace } from '#runtime/task/commit-pace.ts';

export interface SlotThreadParts {
  readonly configuration: Configuration;
  /** Null on Kafka. */
  readonly embedded: EmbeddedLog | null;
  /** Those that the thread may get tasks of. */
  readonly jobs: readonly JobAssignment[];
  /** Among how many threads the memory for state is shared. */
  readonly slotCount: number;
  readonly pace: SharedPace;
  readonly logLevel: string;
  readonly pretty: boolean;
}

export function spawnSlot(index: number, parts: SlotThreadParts): Worker {
  const { configuration, embedded, jobs, logLevel, pace, pretty, slotCount } = parts;
  const { namespace, log, checkpoints, state } = configuration;
  const port = embedded?.port() ?? null;
  const settings: SlotSettings = {
    index,
    namespace,
    log,
    port,
    checkpoints,
    state: { directory: state.directory, memoryBytes: Math.floor(state.memoryBytes / slotCount) },
    jobs,
    pace,
    logLevel,
    pretty,
  };
  const file = import.meta.url.endsWith('.ts') ? './slot-main.ts' : './slot-main.js';
  return new Worker(new URL(file, import.meta.url), {
    workerData: settings,
    transferList: port === null ? [] : [port],
    name: `slot-${index}`,
  });
}
