// Owns what a task tells about itself; plain data, so that it crosses threads and becomes JSON.

import type { SwapStatus, TaskIdentity } from '#checkpoint/contract.ts';

export interface TaskStatus {
  readonly identity: TaskIdentity;
  readonly phase: string;
  readonly attempt: string;
  /** Last committed entry; -1 before the first. */
  readonly entry: number;
  readonly inputOffset: string;
  /** Records between the reader and the end of its partition; null before the first fetch. */
  readonly lagRecords: number | null;
  readonly watermarkMs: number | null;
  /** Behind an exchange: the writers whose word holds the watermark where it is; one never heard is among them. */
  readonly watermarkHeldBy: readonly number[];
  readonly clockMs: number | null;
  /** What keeps the task from going on, null when nothing. */
  readonly waitingFor: string | null;
  readonly transactionsFailed: number;
  readonly replayedEntries: number;
  /** Entry of the last durable checkpoint. */
  readonly checkpointEntry: number | null;
  /** Keyed state that can leave memory; null when the job keeps all of it there. */
  readonly stateMemory: SwapStatus | null;
  /** Totals of this attempt: samples, late, dead-letter, … */
  readonly counters: Readonly<Record<string, number>>;
}
