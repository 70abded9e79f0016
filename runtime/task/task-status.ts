// Owns what a task tells about itself; plain data, so that it crosses threads and becomes JSON.

import type { SwapStatus, TaskIdentity } from '#checkpoint/contract.ts';

/** What a task reads, and how far it is behind. */
export interface TaskInputStatus {
  readonly topic: string;
  readonly partition: number;
  /** The next one to read. */
  readonly offset: string;
  /** Records between the task and the end of its partition; null before the first fetch. */
  readonly lagRecords: number | null;
  /** Age of the oldest record that is not read yet, or of what was read last; 0 at the end, null when not known. */
  readonly lagMs: number | null;
}

export interface TaskStatus {
  readonly identity: TaskIdentity;
  readonly phase: string;
  readonly attempt: string;
  /** Last committed entry; -1 before the first. */
  readonly entry: number;
  readonly inputOffset: string;
  /** Records between the reader and the end of its partition; null before the first fetch. */
  readonly lagRecords: number | null;
  readonly inputs: readonly TaskInputStatus[];
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
  readonly checkpointInProgress: boolean;
  /** Of all pages, as they were written last. */
  readonly stateBytes: number;
  /** Keys that operators with keyed state know. */
  readonly stateKeys: number;
  /** Series and other keys in all tables of the stage. */
  readonly seriesInterned: number;
  /** Keyed state that can leave memory; null when the job keeps all of it there. */
  readonly stateMemory: SwapStatus | null;
  /** Totals of this attempt: samples, late, dead-letter, … */
  readonly counters: Readonly<Record<string, number>>;
}
