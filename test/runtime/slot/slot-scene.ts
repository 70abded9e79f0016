// Owns the setting of tests of the slot pool: real worker threads that say what a slot says, under a clock that is moved
// by hand.

import { Worker } from 'node:worker_threads';
import { assignmentKey, type TaskAssignment } from '#runtime/slot/messages.ts';
import { SlotPool } from '#runtime/slot/slot-pool.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { silentLogger } from '#runtime/std/logger.ts';

export class HandClock implements Clock {
  ms = 0;
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  nowMs(): number {
    return this.ms;
  }
  monotonicMs(): number {
    return this.ms;
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#sleepers.delete(sleeper);
        resolve();
      };
      const sleeper = { atMs: this.ms + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
  advance(ms: number): void {
    this.ms += ms;
    for (const { atMs, wake } of [...this.#sleepers]) if (atMs <= this.ms) wake();
  }
}

export function task(job: string, partition: number, stage = 'works'): TaskAssignment {
  return { job, run: 'live', generation: 0, stage, partition };
}

const open: SlotPool[] = [];

/** Ends what the tests left. */
export async function terminateAll(): Promise<void> {
  for (const pool of open.splice(0)) await pool.terminate();
}

export function scene(slotCount: number, readyWhenTold = false, refuse: (index: number) => void = () => {}) {
  const clock = new HandClock();
  const workers: { readonly index: number; readonly worker: Worker }[] = [];
  const ended: string[] = [];
  const warned: string[] = [];
  const died: string[][] = [];
  const pool = new SlotPool({
    slotCount,
    spawn: (index) => {
      refuse(index);
      const url = new URL('./obedient-slot.ts', import.meta.url);
      const worker = new Worker(url, { workerData: { readyWhenTold }, execArgv: [], stderr: true });
      workers.push({ index, worker });
      return worker;
    },
    clock,
    // Of partition 0; nobody knows of partition 2.
    owns: async ({ partition }) => {
      if (partition === 2) throw new Error('away');
      return partition === 0;
    },
    logger: { ...silentLogger, warn: (_, message) => warned.push(message) },
    taskFailed: (assignment, failure) => {
      ended.push(`failed ${assignmentKey(assignment)} ${failure.code}`);
      pool.stopJob(assignment.job);
    },
    taskStopped: (assignment) => ended.push(`stopped ${assignmentKey(assignment)}`),
    taskLive: () => {},
    slotDied: (tasks) => died.push(tasks.map(assignmentKey)),
  });
  open.push(pool);
  const running = async () => (await pool.status()).map(({ assignment }) => assignmentKey(assignment)).sort();
  return { clock, workers, ended, warned, died, pool, running };
}

/** Real time, for threads to do what they were told; bounded. */
export async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('did not happen');
}
