// Owns the figures of one task over all its attempts: what was committed, how long things took, its checkpoints. What a
// replay does again is not counted again. Told a few times per entry, allocates nothing there but for new names.

import type { CheckpointManifest, CheckpointReference } from '#checkpoint/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { type Distribution, Histogram } from '#runtime/std/histogram.ts';
import { type BusyMeasure, BusyShare } from '#runtime/task/busy-share.ts';
import { RateMeter } from '#runtime/task/rate-meter.ts';

const COMMIT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const LATENCY_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600];
const CHECKPOINT_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const HISTORY_MAX = 20;
/** Counters that rates are told of, in the order of RecordRates. */
const RATED = ['records-in', 'records-out', 'late', 'dead-letter'] as const;

export interface CheckpointRecord {
  readonly entry: number;
  readonly createdMs: number;
  readonly durationMs: number;
  /** Written for it. */
  readonly writtenBytes: number;
  /** Of all files it needs; 0 when it failed. */
  readonly sizeBytes: number;
  readonly failure: { readonly code: string; readonly message: string; readonly remedy: string } | null;
}

export interface KnownCheckpoint {
  readonly entry: number;
  readonly createdMs: number;
  readonly sizeBytes: number;
}

export interface RecordRates {
  readonly in: number;
  readonly out: number;
  readonly late: number;
  readonly bad: number;
}

/** Plain data, so that it crosses threads. */
export interface TaskFigures {
  /** Committed by this process: records, samples, late, dead-letter, …, and what else happened. */
  readonly totals: Readonly<Record<string, number>>;
  readonly perSecond: RecordRates;
  readonly commits: number;
  readonly commitSeconds: Distribution;
  /** From the event time of the newest record of an entry to its commit. */
  readonly outputLatencySeconds: Distribution;
  readonly checkpointSeconds: Distribution;
  readonly busySeconds: number;
  /** Of late. */
  readonly busy: BusyMeasure;
  /** Of the last attempt that restored; null when none did. */
  readonly restoreSeconds: number | null;
  readonly checkpointsCompleted: number;
  readonly checkpointsFailed: number;
  readonly lastCheckpoint: KnownCheckpoint | null;
  /** Newest first. */
  readonly checkpointHistory: readonly CheckpointRecord[];
  /** Whether it took new input once. */
  readonly wasLive: boolean;
}

export class TaskMeter {
  readonly #clock: Clock;
  readonly #onLive: () => void;
  readonly #totals = new Map<string, number>();
  /** Of the attempt under way, as far as in `#totals`. */
  readonly #seen = new Map<string, number>();
  readonly #rated = new Float64Array(RATED.length);
  readonly #rates: RateMeter;
  readonly #busy: BusyShare;
  readonly #commitSeconds = new Histogram(COMMIT_SECONDS);
  readonly #latencySeconds = new Histogram(LATENCY_SECONDS);
  readonly #checkpointSeconds = new Histogram(CHECKPOINT_SECONDS);
  #commits = 0;
  #busyMs = 0;
  #restoreMs: number | null = null;
  #completed = 0;
  #failed = 0;
  #lastCheckpoint: KnownCheckpoint | null = null;
  #history: readonly CheckpointRecord[] = [];
  #wasLive = false;

  /** @param onLive called whenever an attempt begins to take new input */
  constructor(clock: Clock, onLive: () => void = () => {}) {
    this.#clock = clock;
    this.#onLive = onLive;
    this.#rates = new RateMeter(clock, RATED.length);
    this.#busy = new BusyShare(clock);
  }

  readonly #add = (value: number, name: string): void => {
    const more = value - (this.#seen.get(name) ?? 0);
    if (more === 0) return;
    this.#seen.set(name, value);
    this.#totals.set(name, (this.#totals.get(name) ?? 0) + more);
  };

  /** An attempt takes new input; what it counted until now was a replay. */
  live(counters: ReadonlyMap<string, number>): void {
    if (!this.#wasLive) this.#busy.begin();
    this.#wasLive = true;
    this.#seen.clear();
    for (const [name, value] of counters) this.#seen.set(name, value);
    this.#onLive();
  }

  /** An entry is committed, and with it what was counted; `newestMs` is the event time of its newest record. */
  committed(counters: ReadonlyMap<string, number>, durationMs: number, newestMs: number): void {
    counters.forEach(this.#add);
    this.#commits++;
    this.#commitSeconds.observe(durationMs / 1_000);
    // A clock set back, or records of the future: nothing is known.
    const latencyMs = this.#clock.nowMs() - newestMs;
    if (latencyMs >= 0 && latencyMs < Number.POSITIVE_INFINITY) this.#latencySeconds.observe(latencyMs / 1_000);
    for (let i = 0; i < RATED.length; i++) this.#rated[i] = this.#totals.get(RATED[i]) ?? 0;
    this.#rates.note(this.#rated);
  }

  /** Of things that are true whatever becomes of the entry in hand. */
  readonly happened = (name: string, by: number): void => {
    this.#totals.set(name, (this.#totals.get(name) ?? 0) + by);
  };

  worked(ms: number): void {
    this.#busyMs += ms;
    this.#busy.worked(ms);
  }

  restored(ms: number, { entry, createdMs }: CheckpointManifest, reference: CheckpointReference | undefined): void {
    this.#restoreMs = ms;
    this.#lastCheckpoint = { entry, createdMs, sizeBytes: reference?.sizeBytes ?? 0 };
  }

  checkpointEnded(record: CheckpointRecord): void {
    this.#history = [record, ...this.#history].slice(0, HISTORY_MAX);
    if (record.failure !== null) {
      this.#failed++;
      return;
    }
    const { entry, createdMs, sizeBytes } = record;
    this.#completed++;
    this.#lastCheckpoint = { entry, createdMs, sizeBytes };
    this.#checkpointSeconds.observe(record.durationMs / 1_000);
  }

  read(): TaskFigures {
    const [recordsIn, out, late, bad] = this.#rates.perSecond(this.#rated);
    return {
      totals: Object.fromEntries(this.#totals),
      perSecond: { in: recordsIn, out, late, bad },
      commits: this.#commits,
      commitSeconds: this.#commitSeconds.read(),
      outputLatencySeconds: this.#latencySeconds.read(),
      checkpointSeconds: this.#checkpointSeconds.read(),
      busySeconds: this.#busyMs / 1_000,
      busy: this.#busy.read(),
      restoreSeconds: this.#restoreMs === null ? null : this.#restoreMs / 1_000,
      checkpointsCompleted: this.#completed,
      checkpointsFailed: this.#failed,
      lastCheckpoint: this.#lastCheckpoint,
      checkpointHistory: this.#history,
      wasLive: this.#wasLive,
    };
  }
}
