// Owns what the pool remembers of one slot: its worker, the tasks it was given, how often it died. Decides nothing.

import type { Worker } from 'node:worker_threads';
import type { TaskAssignment } from '#runtime/slot/messages.ts';

export interface Slot {
  readonly index: number;
  /** It was made for one job, which may kill it; null: any job. */
  readonly only: string | null;
  worker: Worker | null;
  /** The worker said that it hears; until then its tasks are only noted here. */
  ready: boolean;
  /** Aborts when the worker is gone. */
  gone: AbortController;
  spawnedMs: number;
  /** Its worker is told to end: it gets no task any more. */
  retiring: boolean;
  /** A pause before the next worker is under way. */
  respawning: boolean;
  /** Starts in a row that came to nothing. */
  failures: number;
  /** When it died of its tasks. */
  deathsMs: readonly number[];
  /** What the worker is dying of, if it said so. */
  cause: string | null;
  readonly tasks: Map<string, TaskAssignment>;
}

export function freshSlot(index: number, only: string | null): Slot {
  return {
    index,
    only,
    worker: null,
    ready: false,
    gone: new AbortController(),
    spawnedMs: 0,
    retiring: false,
    respawning: false,
    failures: 0,
    deathsMs: [],
    cause: null,
    tasks: new Map(),
  };
}

/** The lowest that no slot has. */
export function freeIndex(slots: readonly Slot[]): number {
  let index = 0;
  while (slots.some((slot) => slot.index === index)) index++;
  return index;
}

export interface SlotCounts {
  /** That tasks may be spread over. */
  readonly total: number;
  /** Whose worker hears. */
  readonly running: number;
  readonly activity: readonly SlotActivity[];
}

/** How long the worker that a slot has now was busy, and how long it waited. */
export interface SlotActivity {
  readonly slot: number;
  readonly activeSeconds: number;
  readonly idleSeconds: number;
}
