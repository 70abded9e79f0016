// Owns finding slots whose worker does not hear any more, while they run and while the pool closes, and their end: only
// that frees their tasks. Invariant: a worker that answers is never ended here.

import type { Worker } from 'node:worker_threads';
import type { Slot } from '#runtime/slot/slot.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

const STALL_LOOK_MS = 10_000;
/** Looks in a row without an answer; several, because a process that was stopped for a while is late as a whole. */
const STALL_LOOKS_MAX = 6;
/** While the pool closes: so many looks in a row without an answer. */
const CLOSE_LOOK_MS = 1_000;
const CLOSE_LOOKS_MAX = 7;

export interface StallParts {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Null when the slot does not answer in time, or ends. */
  readonly ask: (slot: Slot, timeoutMs: number) => Promise<unknown>;
}

/** A worker that answers nothing for a minute is in an endless loop. */
export async function endStalled(slot: Slot, worker: Worker | null, parts: StallParts): Promise<void> {
  if (!(await silent(slot, parts, STALL_LOOK_MS, STALL_LOOKS_MAX))) return;
  parts.logger.error(
    {
      slot: slot.index,
      tasks: [...slot.tasks.keys()],
      remedy: 'look for an endless loop in the jobs of these tasks',
    },
    `slot ${slot.index} stalled: a function of one of its jobs does not return; the slot is ended`,
  );
  slot.cause = 'a function that does not return';
  await worker?.terminate();
}

/** Such a worker does not hear either that it is to stop, and somebody waits for the end. */
export async function endSilent(slot: Slot, worker: Worker, parts: StallParts): Promise<void> {
  if (!(await silent(slot, parts, CLOSE_LOOK_MS, CLOSE_LOOKS_MAX))) return;
  parts.logger.warn(
    {
      slot: slot.index,
      tasks: [...slot.tasks.keys()],
      remedy: 'none needed: the next start replays what is missing',
    },
    `slot ${slot.index} does not hear that it is to stop, and is ended: its tasks have no checkpoint at their last entry`,
  );
  await worker.terminate();
}

/** True when so many looks in a row brought no answer, false when the worker is gone. */
async function silent(slot: Slot, { ask, clock }: StallParts, lookMs: number, looksMax: number): Promise<boolean> {
  const { signal } = slot.gone;
  for (let unanswered = 0; unanswered < looksMax; ) {
    const answer = await ask(slot, lookMs);
    if (answer !== null || !slot.ready) await clock.sleep(lookMs, signal);
    if (signal.aborted) return false;
    unanswered = answer === null ? unanswered + 1 : 0;
  }
  return true;
}
