// Owns when a task checkpoints and what follows from it: capture at an entry, writing beside the work, publishing once
// the entry is known to be committed, naming it in a later entry, deleting what is dead, trimming internal logs.

import type {
  CheckpointManifest,
  CheckpointReference,
  InputPosition,
  Json,
  PendingCheckpoint,
  TaskCheckpoints,
} from '#checkpoint/contract.ts';
import { InvariantError, StreamError } from '#runtime/std/errors.ts';
import type { Entry, Genesis } from '#runtime/task/entry.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
import { type TaskEnvironment, type TaskOptions, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import type { CheckpointRecord, TaskMeter } from '#runtime/task/task-meter.ts';

const SLICE_BYTES = 1024 * 1024;
/** How long the task sleeps while it waits for the disk to take copied pages. */
const RELIEF_PAUSE_MS = 5;
/** How long the end of an attempt waits for clean-up, which may hang on a log that is away and costs only room. */
const CLEAN_PATIENCE_MS = 2_000;
/** Tries of the last checkpoint of a clean stop, a second apart. */
const LAST_TRIES = 5;
const LAST_PAUSE_MS = 1_000;

export interface CheckpointingParts {
  readonly environment: TaskEnvironment;
  readonly plan: TaskPlan;
  readonly options: TaskOptions;
  readonly checkpoints: TaskCheckpoints;
  readonly genesis: Genesis;
  readonly count: (counter: string, by: number) => void;
  readonly meter: TaskMeter;
}

interface DurableCheckpoint {
  readonly reference: CheckpointReference;
  readonly inputs: readonly InputPosition[];
}

/** Where a task holds. */
export interface HeldEntry {
  readonly last: Entry;
  readonly chainHash: string;
  readonly entryOffset: bigint;
  readonly runner: StageRunner;
  readonly isHeld: () => boolean;
}

export interface HeldCheckpoint {
  readonly reference: CheckpointReference;
  readonly schemaVersions: Readonly<Record<string, number>>;
}

export class Checkpointing {
  /** Entry of the last durable checkpoint of this attempt or of the restored one. */
  lastEntry: number | null = null;
  /** A checkpoint is being written that the task waits for. */
  finishing = false;
  /** Somebody wants one now. */
  asked = false;
  readonly #environment: TaskEnvironment;
  readonly #plan: TaskPlan;
  readonly #options: TaskOptions;
  readonly #checkpoints: TaskCheckpoints;
  readonly #genesis: Genesis;
  readonly #count: (counter: string, by: number) => void;
  readonly #meter: TaskMeter;
  #pending: PendingCheckpoint | null = null;
  #writing: Promise<void> | null = null;
  /** Durable, and not named by a committed entry yet. */
  #unnamed: DurableCheckpoint | null = null;
  /** The last durable one of this attempt, or the restored one. */
  #durable: CheckpointReference | null = null;
  #named: DurableCheckpoint | null = null;
  #listedDead: readonly string[] = [];
  /** Dead files are listed once per checkpoint: a disk that keeps them is not asked again with every entry. */
  #deadDue = true;
  #cleans = 0;
  #broken: InvariantError | StreamError | null = null;
  #lastCaptureMs: number;
  #capturedAtMs = 0;
  #lastCapturedEntry = -1;
  #busySinceMs = 0;
  #orphansChecked = false;
  #cleaning: Promise<void> = Promise.resolve();

  constructor({ environment, plan, options, checkpoints, genesis, count, meter }: CheckpointingParts) {
    this.#count = count;
    this.#meter = meter;
    this.#environment = environment;
    this.#plan = plan;
    this.#options = options;
    this.#checkpoints = checkpoints;
    this.#genesis = genesis;
    this.#lastCaptureMs = environment.clock.monotonicMs();
    const restored = checkpoints.kept().at(-1);
    if (restored !== undefined) {
      this.#durable = restored;
      this.lastEntry = restored.entry;
      this.#lastCapturedEntry = restored.entry;
    }
  }

  /** What the stage runner saved into the manifest. */
  runnerMemory(manifest: CheckpointManifest): Json {
    return (manifest.task as { readonly runner: Json }).runner;
  }

  /** Adds processing time, which a replay would have to spend again; also that of the replay behind us. */
  worked(ms: number): void {
    this.#busySinceMs += ms;
  }

  /** Whether one is being written. */
  get inProgress(): boolean {
    return this.#writing !== null;
  }

  get due(): boolean {
    if (this.#writing !== null) return false;
    if (this.#busySinceMs >= this.#options.replayBudgetMs) return true;
    return this.#environment.clock.monotonicMs() - this.#lastCaptureMs >= this.#options.checkpointIntervalMs;
  }

  /** The one that was asked for, between two entries; none when the last entry has one. */
  makeAsked(last: Entry, chainHash: string, entryOffset: bigint, runner: StageRunner): void {
    this.asked = false;
    if (this.#lastCapturedEntry === last.number) return;
    this.capture(last, chainHash, runner);
    this.write(last, entryOffset);
  }

  /** Fields for the entry under construction. */
  entryFields(): Pick<Entry, 'checkpoint' | 'dead'> {
    const fields: { checkpoint?: NonNullable<Entry['checkpoint']>; dead?: readonly string[] } = {};
    if (this.#unnamed !== null) {
      this.#named = this.#unnamed;
      const { name, entry } = this.#unnamed.reference;
      fields.checkpoint = { name, entry };
    }
    this.#listedDead = [];
    if (this.#deadDue && this.#cleans === 0) {
      this.#deadDue = false;
      this.#listedDead = this.#checkpoints.dead();
    }
    if (this.#listedDead.length > 0) fields.dead = this.#listedDead;
    return fields;
  }

  /** The entry with `entryFields` is committed. */
  entryCommitted(): void {
    const confirmed = this.#named;
    if (confirmed !== null) {
      this.#checkpoints.confirm(confirmed.reference);
      if (this.#unnamed === confirmed) this.#unnamed = null;
      this.#named = null;
      this.#deadDue = true;
    }
    const listed = this.#listedDead;
    this.#listedDead = [];
    const orphans = !this.#orphansChecked;
    this.#orphansChecked = true;
    if (listed.length > 0) this.#clean(() => this.#checkpoints.deleteListed(listed));
    if (orphans) this.#clean(() => this.#checkpoints.deleteOrphans());
    if (confirmed === null) return;
    this.#clean(() => this.#trim());
    this.#clean(() => this.#publish(confirmed));
  }

  // One after the other, beside the work. Failures cost room, never correctness: they are logged and tried again with
  // the next checkpoint.
  #clean(work: () => Promise<void>): void {
    this.#cleans++;
    this.#cleaning = this.#cleaning.then(work).then(
      () => {
        this.#cleans--;
      },
      (error: Error) => {
        this.#cleans--;
        const task = taskName(this.#plan.identity);
        const remedy = error instanceof StreamError ? error.remedy : '';
        this.#environment.logger.warn(
          { task, remedy },
          `clean-up after a checkpoint failed, it is tried again after the next one: ${error.message}`,
        );
      },
    );
  }

  async #trim(): Promise<void> {
    const oldest = this.#checkpoints.oldestKept();
    // With one checkpoint the way back from entry 0 stays open: a damaged file must not be the end.
    if (oldest === null || this.#checkpoints.kept().length < 2) return;
    const { commitTopic, identity, input } = this.#plan;
    const cuts = [{ topic: commitTopic, partition: identity.partition, before: BigInt(oldest.entryOffset) }];
    if (input.internal) {
      cuts.push({ topic: input.topic, partition: input.partition, before: BigInt(oldest.inputs[0].endOffset) });
    }
    await this.#environment.log.admin.deleteRecords(cuts);
  }

  async #publish({ inputs }: Pick<Entry, 'inputs'>): Promise<void> {
    const { offsetsGroup } = this.#plan;
    if (offsetsGroup === null) return;
    const offsets = inputs.map(({ topic, partition, endOffset }) => ({ topic, partition, offset: BigInt(endOffset) }));
    await this.#environment.log.admin.publishOffsets(offsetsGroup, offsets);
  }

  /** Captures the state, which is that of `entry`, not committed yet. Synchronous. */
  capture(entry: Entry, chainHash: string, runner: StageRunner): void {
    const { versionParts } = this.#plan;
    this.#pending = this.#checkpoints.capture({
      entry: entry.number,
      chainHash,
      version: entry.version,
      inputs: entry.inputs,
      clockMs: runner.clockMs,
      watermarkMs: runner.watermark.valueMs,
      task: {
        runner: runner.save(),
        genesis: { ...this.#genesis },
        ...(versionParts === undefined ? {} : { parts: { ...versionParts } }),
      },
    });
    this.#lastCapturedEntry = entry.number;
    this.#lastCaptureMs = this.#environment.clock.monotonicMs();
    this.#capturedAtMs = this.#environment.clock.nowMs();
    this.#busySinceMs = 0;
  }

  /** The captured entry is committed at this offset: write it beside the work. */
  write(entry: Entry, entryOffset: bigint): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#writing = this.#write(pending, entry, entryOffset).finally(() => {
      this.#writing = null;
    });
  }

  async #write(pending: PendingCheckpoint, entry: Entry, entryOffset: bigint): Promise<void> {
    try {
      while (!pending.advance(SLICE_BYTES)) {
        if (pending.heldBytes >= this.#options.snapshotBytesMax / 2) await pending.writeSegments();
        await this.#environment.breathe();
        if (this.#pending !== pending) return;
      }
      await pending.writeSegments();
      if (this.#pending !== pending) return;
      const reference = await pending.publish(entryOffset);
      this.#unnamed = { reference, inputs: entry.inputs };
      this.lastEntry = reference.entry;
      this.#durable = reference;
      this.#pending = null;
      this.#tellEnded(entry.number, pending.writtenBytes, reference.sizeBytes, null);
    } catch (error) {
      pending.abandon();
      this.#pending = null;
      this.#lastCapturedEntry = -1;
      this.#count('checkpoints-failed', 1);
      if (error instanceof InvariantError || isBrokenState(error)) this.#broken = error;
      const task = taskName(this.#plan.identity);
      const { code, remedy } = error instanceof StreamError ? error : { code: 'invariant', remedy: '' };
      const { message } = error as Error;
      this.#tellEnded(entry.number, pending.writtenBytes, 0, { code, message, remedy });
      this.#environment.logger.error(
        { task, entry: entry.number, remedy },
        `checkpoint failed, the one before stays valid and the next is tried after the interval: ${message}`,
      );
    }
  }

  #tellEnded(entry: number, writtenBytes: number, sizeBytes: number, failure: CheckpointRecord['failure']): void {
    const durationMs = this.#environment.clock.monotonicMs() - this.#lastCaptureMs;
    this.#meter.checkpointEnded({ entry, createdMs: this.#capturedAtMs, durationMs, writtenBytes, sizeBytes, failure });
  }

  /** Keyed state beyond its budget leaves memory: between entries only. Errors: disk-failed, state-corrupt. */
  makeRoom(): Promise<void> {
    return this.#checkpoints.relieve();
  }

  /** Throws when state could not be read: what was computed from it must not be committed. */
  requireSound(): void {
    this.#checkpoints.requireSound();
  }

  /** Waits while more copied bytes are held than allowed. Throws what was found broken while writing. */
  async relieve(signal: AbortSignal): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    while (
      this.#pending !== null &&
      this.#writing !== null &&
      this.#pending.heldBytes > this.#options.snapshotBytesMax &&
      !signal.aborted
    ) {
      await this.#environment.clock.sleep(RELIEF_PAUSE_MS, signal);
    }
  }

  /**
   * A replay that took longer than its budget is behind: the task goes on when a checkpoint at its end is written, or
   * crash after crash would replay it all again. A store that takes none keeps nobody from running.
   */
  async replayed(last: Entry, chainHash: string, entryOffset: bigint, runner: StageRunner): Promise<void> {
    if (!this.due || this.#lastCapturedEntry === last.number) return;
    this.finishing = true;
    this.capture(last, chainHash, runner);
    this.write(last, entryOffset);
    await this.#writing;
    this.finishing = false;
  }

  /** State that came from a savepoint is to stand by itself soon: a checkpoint of entry 0, beside the work. */
  adopted(genesis: Entry, chainHash: string, entryOffset: bigint, runner: StageRunner): void {
    this.capture(genesis, chainHash, runner);
    this.write(genesis, entryOffset);
  }

  /**
   * The last step of a clean stop: a checkpoint at the last entry, unless there is one. Errors: disk-failed and what
   * else the store says, after some tries.
   */
  async finish(last: Entry, chainHash: string, entryOffset: bigint, runner: StageRunner): Promise<void> {
    this.finishing = true;
    await this.#writing;
    for (let tries = 1; this.#lastCapturedEntry !== last.number; tries++) {
      this.capture(last, chainHash, runner);
      this.write(last, entryOffset);
      await this.#writing;
      if (this.#broken !== null) throw this.#broken;
      if (this.#lastCapturedEntry === last.number) break;
      if (tries === LAST_TRIES) throw lastCheckpointFailed(this.#plan, last);
      await this.#environment.clock.sleep(LAST_PAUSE_MS);
    }
    // Whoever looks after a clean stop sees no lag that is none.
    this.#clean(() => this.#publish(last));
    await this.#cleaned();
  }

  /**
   * The checkpoint at the last entry, written now unless there is one, beside a task that holds there, and kept as part
   * of a savepoint. Null: the task went on meanwhile. Error disk-failed after some tries.
   */
  async hold(held: HeldEntry, keepAs: string | null): Promise<HeldCheckpoint | null> {
    this.finishing = true;
    try {
      const reference = await this.#atHeld(held);
      if (reference === null) return null;
      if (keepAs !== null) await this.#checkpoints.keepAs(keepAs, reference);
      return { reference, schemaVersions: this.#checkpoints.schemaVersions() };
    } finally {
      this.finishing = false;
    }
  }

  async #atHeld({ last, chainHash, entryOffset, runner, isHeld }: HeldEntry): Promise<CheckpointReference | null> {
    for (let tries = 0; ; tries++) {
      await this.#writing;
      const durable = this.#durable;
      if (durable?.entry === last.number && durable.chainHash === chainHash) return durable;
      if (!isHeld()) return null;
      if (tries === LAST_TRIES) throw lastCheckpointFailed(this.#plan, last);
      if (tries > 0) await this.#environment.clock.sleep(LAST_PAUSE_MS);
      if (this.#writing !== null || !isHeld()) continue;
      this.capture(last, chainHash, runner);
      this.write(last, entryOffset);
    }
  }

  async #cleaned(): Promise<void> {
    const timer = new AbortController();
    await Promise.race([this.#cleaning, this.#environment.clock.sleep(CLEAN_PATIENCE_MS, timer.signal)]);
    timer.abort();
  }

  /** Ends without another checkpoint. */
  async abandon(): Promise<void> {
    const pending = this.#pending;
    this.#pending = null;
    pending?.abandon();
    await this.#writing?.catch(() => {});
    await this.#cleaned();
  }
}

/** The next checkpoint would meet it again: only a new attempt, from the one before, gets out of it. */
function isBrokenState(error: unknown): error is StreamError {
  return error instanceof StreamError && (error.code === 'state-corrupt' || error.code === 'operator-failed');
}

function lastCheckpointFailed({ identity }: TaskPlan, last: Entry): StreamError {
  return new StreamError(
    'disk-failed',
    `the store did not take the last checkpoint of task ${taskName(identity)} (entry ${last.number})`,
    'look at the disk of the checkpoints; the next start replays, which only this version of the job can do',
  );
}
