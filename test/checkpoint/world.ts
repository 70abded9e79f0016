// What tests of checkpoints share: a task, its store on a disk that can lose power, attempts with their own names, and
// a checkpoint taken in one go.

import { expect } from 'vitest';
import type {
  CheckpointManifest,
  CheckpointMoment,
  CheckpointReference,
  CheckpointStore,
  TaskIdentity,
} from '#checkpoint/contract.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { FileTaskCheckpoints, type TaskCheckpointsOptions } from '#checkpoint/task-checkpoints.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Disk } from '#runtime/std/disk.ts';
import type { Logger } from '#runtime/std/logger.ts';

export const task: TaskIdentity = {
  namespace: 'test',
  job: 'rollups',
  run: 'live',
  generation: 1,
  stage: '1m',
  partition: 3,
};

export const taskDirectory = '/data/checkpoints/test/rollups/live/g1/1m/3';

export function storeOn(disk: Disk): CheckpointStore {
  return new DirectoryStore({ root: '/data/checkpoints', disk });
}

export const stillClock: Clock = { nowMs: () => 1_700_000_000_000, monotonicMs: () => 0, sleep: async () => {} };

/** Keeps what is logged. */
export class Notebook implements Logger {
  readonly lines: { readonly level: string; readonly fields: Record<string, unknown>; readonly message: string }[] = [];
  debug = (fields: object, message: string) => this.#note('debug', fields, message);
  info = (fields: object, message: string) => this.#note('info', fields, message);
  warn = (fields: object, message: string) => this.#note('warn', fields, message);
  error = (fields: object, message: string) => this.#note('error', fields, message);
  child = () => this;

  get warnings(): string[] {
    return this.lines
      .filter((line) => line.level === 'warn')
      .map(({ fields, message }) => `${message} ${JSON.stringify(fields)}`);
  }

  #note(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields: fields as Record<string, unknown>, message });
  }
}

let attempts = 0;

export function nextAttempt(): string {
  return `01ATTEMPT${String(++attempts).padStart(8, '0')}`;
}

export function checkpointsOn(store: CheckpointStore, options: Partial<TaskCheckpointsOptions> = {}) {
  const logger = new Notebook();
  return new FileTaskCheckpoints({
    store,
    identity: task,
    attempt: nextAttempt(),
    clock: stillClock,
    logger,
    ...options,
  });
}

export function momentAt(entry: number): CheckpointMoment {
  return {
    entry,
    chainHash: `chain-${entry}`,
    version: 'v1',
    inputs: [{ topic: 'metrics.raw', topicId: 'id', partition: 3, endOffset: String(entry * 1000) }],
    clockMs: 1_700_000_000_000 + entry,
    watermarkMs: entry === 0 ? Number.NEGATIVE_INFINITY : entry,
    task: { contributions: [1, null, 'x'] },
  };
}

/** Captures, writes and publishes in one go. */
export async function checkpointAt(checkpoints: FileTaskCheckpoints, entry: number): Promise<CheckpointReference> {
  const pending = checkpoints.capture(momentAt(entry));
  expect(pending.advance(Number.POSITIVE_INFINITY)).toBe(true);
  await pending.writeSegments();
  return pending.publish(BigInt(entry) * 2n);
}

/** Publishes and confirms. */
export async function confirmedAt(checkpoints: FileTaskCheckpoints, entry: number): Promise<CheckpointReference> {
  const reference = await checkpointAt(checkpoints, entry);
  checkpoints.confirm(reference);
  return reference;
}

export const acceptAll = (_: CheckpointManifest): boolean => true;
