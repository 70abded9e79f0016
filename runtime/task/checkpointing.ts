// Owns when a task checkpoints and what follows from it: capture at an entry, writing beside the work, publishing once
// the entry is known to be committed, naming it in a later entry, deleting what is dead, trimming internal logs.

import type {
  CheckpointManifest,
  CheckpointReference,
  Json,
  PendingCheckpoint,
  TaskCheckpoints,
} from '#checkpoint/contract.ts';
import type { Entry, Genesis } from '#runtime/task/entry.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
import { type TaskEnvironment, type TaskOptions, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';

const SLICE_BYTES = 1024 * 1024;

export class Checkpointing {
  /** Entry of the last durable checkpoint of this attempt or of the restored one. */
  lastEntry: number | null = null;
  /** The last checkpoint of a clean stop is being written. */
  finishing = false;
  readonly #environment: TaskEnvironment;
  readonly #plan: TaskPlan;
  readonly #options: TaskOptions;
  readonly #checkpoints: TaskCheckpoints;
  readonly #genesis: Genesis;
  #pending: PendingCheckpoint | null = null;
  #writing: Promise<void> | null = null;
  #unnamed: CheckpointReference | null = null;
  #named: CheckpointReference | null = null;
  #listedDead: readonly string[] = [];
  #lastCaptureMs: number;
  #lastCapturedEntry = -1;
  #busySinceMs = 0;
  #orphansChecked = false;
  #cleaning: Promise<void> = Promise.resolve();

  constructor(
    environment: TaskEnvironment,
    plan: TaskPlan,
    options: TaskOptions,
    checkpoints: TaskCheckpoints,
    genesis: Genesis,
  ) {
    this.#environment = environment;
    this.#plan = plan;
    this.#options = options;
    this.#checkpoints = checkpoints;
    this.#genesis = genesis;
    this.#lastCaptureMs = environment.clock.monotonicMs();
    const restored = checkpoints.kept().at(-1);
    if (restored !== undefined) {
      this.lastEntry = restored.entry;
      this.#lastCapturedEntry = restored.entry;
    }
  }

  /** What the stage runner saved into the manifest. */
  runnerMemory(manifest: CheckpointManifest): Json {
    return (manifest.task as { readonly runner: Json }).runner;
  }

  /** Adds processing time, which a replay would have to spend again. */
  worked(ms: number): void {
    this.#busySinceMs += ms;
  }

  get due(): boolean {
    if (this.#writing !== null) return false;
    if (this.#busySinceMs >= this.#options.replayBudgetMs) return true;
    return this.#environment.clock.monotonicMs() - this.#lastCaptureMs >= this.#options.checkpointIntervalMs;
  }

  /** Fields for the entry under construction. */
  entryFields(): Pick<Entry, 'checkpoint' | 'dead'> {
    const fields: { checkpoint?: NonNullable<Entry['checkpoint']>; dead?: readonly string[] } = {};
    if (this.#unnamed !== null) {
      this.#named = this.#unnamed;
      fields.checkpoint = { name: this.#unnamed.name, entry: this.#unnamed.entry };
    }
    const dead = this.#checkpoints.dead();
    this.#listedDead = dead;
    if (dead.length > 0) fields.dead = dead;
    return fields;
  }

  /** The entry with `entryFields` is committed. */
  entryCommitted(): void {
    const confirmed = this.#named;
    if (confirmed !== null) {
      this.#checkpoints.confirm(confirmed);
      if (this.#unnamed === confirmed) this.#unnamed = null;
      this.#named = null;
    }
    const listed = this.#listedDead;
    this.#listedDead = [];
    const orphans = !this.#orphansChecked;
    this.#orphansChecked = true;
    if (listed.length === 0 && !orphans && confirmed === null) return;
    this.#cleaning = this.#cleaning.then(() => this.#clean(listed, orphans, confirmed !== null));
  }

  // Failures here cost room, never correctness: they are logged and tried again with the next checkpoint.
  async #clean(listed: readonly string[], orphans: boolean, trim: boolean): Promise<void> {
    try {
      if (listed.length > 0) await this.#checkpoints.deleteListed(listed);
      if (orphans) await this.#checkpoints.deleteOrphans();
      if (trim) await this.#trim();
    } catch (error) {
      this.#environment.logger.warn(
        { task: taskName(this.#plan.identity), error: (error as Error).message },
        'clean-up after a checkpoint failed; it is tried again after the next one',
      );
    }
  }

  async #trim(): Promise<void> {
    const oldest = this.#checkpoints.oldestKept();
    // With one checkpoint the way back from entry 0 stays open: a damaged file must not be the end.
    if (oldest === null || this.#checkpoints.kept().length < 2) return;
    const { commitTopic, identity, input, offsetsGroup } = this.#plan;
    const { admin } = this.#environment.log;
    const cuts = [{ topic: commitTopic, partition: identity.partition, before: BigInt(oldest.entryOffset) }];
    const consumed = oldest.inputs[0];
    if (input.internal) {
      cuts.push({ topic: input.topic, partition: input.partition, before: BigInt(consumed.endOffset) });
    }
    await admin.deleteRecords(cuts);
    if (offsetsGroup === null) return;
    const offset = BigInt(consumed.endOffset);
    await admin.publishOffsets(offsetsGroup, [{ topic: input.topic, partition: input.partition, offset }]);
  }

  /** Captures the state, which is that of `entry`, not committed yet. Synchronous. */
  capture(entry: Entry, chainHash: string, runner: StageRunner): void {
    this.#pending = this.#checkpoints.capture({
      entry: entry.number,
      chainHash,
      version: entry.version,
      inputs: entry.inputs,
      clockMs: runner.clockMs,
      watermarkMs: runner.watermark.valueMs,
      task: { runner: runner.save(), genesis: { ...this.#genesis } },
    });
    this.#lastCapturedEntry = entry.number;
    this.#lastCaptureMs = this.#environment.clock.monotonicMs();
    this.#busySinceMs = 0;
  }

  /** The captured entry is committed at this offset: write it beside the work. */
  write(entryOffset: bigint): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#writing = this.#write(pending, entryOffset).finally(() => {
      this.#writing = null;
    });
  }

  async #write(pending: PendingCheckpoint, entryOffset: bigint): Promise<void> {
    try {
      while (!pending.advance(SLICE_BYTES)) {
        if (pending.heldBytes >= this.#options.snapshotBytesMax / 2) await pending.writeSegments();
        await this.#environment.breathe();
        if (this.#pending !== pending) return;
      }
      await pending.writeSegments();
      if (this.#pending !== pending) return;
      const reference = await pending.publish(entryOffset);
      this.#unnamed = reference;
      this.lastEntry = reference.entry;
      this.#pending = null;
    } catch (error) {
      pending.abandon();
      this.#pending = null;
      this.#lastCapturedEntry = -1;
      this.#environment.logger.error(
        { task: taskName(this.#plan.identity), error: (error as Error).message },
        'checkpoint failed; the one before stays valid and the next is tried after the interval',
      );
    }
  }

  /** Waits while more copied bytes are held than allowed. */
  async relieve(): Promise<void> {
    while (
      this.#pending !== null &&
      this.#writing !== null &&
      this.#pending.heldBytes > this.#options.snapshotBytesMax
    ) {
      await this.#environment.breathe();
    }
  }

  /** The last step of a clean stop: a checkpoint at the last entry, unless there is one. */
  async finish(last: Entry, chainHash: string, entryOffset: bigint, runner: StageRunner): Promise<void> {
    this.finishing = true;
    await this.#writing;
    if (this.#lastCapturedEntry !== last.number) {
      this.capture(last, chainHash, runner);
      this.write(entryOffset);
      await this.#writing;
    }
    await this.#cleaning;
  }

  /** Ends without another checkpoint. */
  async abandon(): Promise<void> {
    const pending = this.#pending;
    this.#pending = null;
    pending?.abandon();
    await this.#writing?.catch(() => {});
    await this.#cleaning;
  }
}
