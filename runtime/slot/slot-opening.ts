// Owns waiting for a worker that is needed now until it hears, and what is said when it never does.

import type { Worker } from 'node:worker_threads';
import type { Slot } from '#runtime/slot/slot.ts';
import { notStarted } from '#runtime/slot/slot-faults.ts';
import type { Clock } from '#runtime/std/clock.ts';

/** How long the start of a process waits for a worker to hear. */
const PATIENCE_MS = 60_000;

/** Error: slot-not-started. */
export async function openSlot(slot: Slot, spawn: (slot: Slot) => Worker, clock: Clock): Promise<void> {
  let worker: Worker;
  try {
    worker = spawn(slot);
  } catch (error) {
    throw notStarted(slot.index, (error as Error).message);
  }
  const done = new AbortController();
  const heard = new Promise<void>((resolve) => worker.once('message', () => resolve()));
  await Promise.race([heard, clock.sleep(PATIENCE_MS, AbortSignal.any([done.signal, slot.gone.signal]))]);
  done.abort();
  if (!slot.ready) throw notStarted(slot.index, slot.cause ?? `it said nothing for ${PATIENCE_MS / 1_000}s`);
}
