// Owns how an attempt gets from a shut out predecessor to the state of the last entry: genesis or restore, replay,
// hand-over to another version. Takes no new input. Invariant: nothing is emitted before what was committed is proved.

import type { CheckpointManifest, InputPosition, StateFit, TaskCheckpoints } from '#checkpoint/contract.ts';
import type { PartitionReader, TopicDescription } from '#runtime/log/contract.ts';
import { Checkpointing } from '#runtime/task/checkpointing.ts';
import type { CommitLogContent, CommitLogEntry } from '#runtime/task/commit-log.ts';
import type { Committer } from '#runtime/task/committer.ts';
import { CHAIN_START, type Entry, type Genesis, handoverEntry, writeEntry } from '#runtime/task/entry.ts';
import { checkGenesis, checkpointLost, refuseLostLog, resolveStart } from '#runtime/task/genesis.ts';
import { keyTableOf } from '#runtime/task/key-tables.ts';
import { adoptOrigin, beganClock, type EntryOrigin, entryOrigin, sourcePosition } from '#runtime/task/origin.ts';
import { replay } from '#runtime/task/replay.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';
import { type TaskEnvironment, type TaskOptions, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import type { TaskMeter } from '#runtime/task/task-meter.ts';
import { otherVersion, replaysOnlyItsOwn } from '#runtime/task/task-version.ts';
import { Waiting } from '#runtime/task/waiting.ts';

/** Where the chain of entries stands. */
export interface ChainHead {
  number: number;
  chainHash: string;
  /** Offset of the last entry in the commit log. */
  offset: bigint;
}

export interface AttemptStartParts {
  readonly plan: TaskPlan;
  readonly options: TaskOptions;
  readonly environment: TaskEnvironment;
  /** Id of the attempt. */
  readonly attempt: string;
  readonly meter: TaskMeter;
  readonly count: (counter: string, by: number) => void;
  readonly committer: Committer;
  readonly topics: ReadonlyMap<string, TopicDescription>;
  readonly signal: AbortSignal;
}

/** What is not null is made already; everything is when `run` resolved. */
export class AttemptStart {
  readonly head: ChainHead = { number: -1, chainHash: CHAIN_START, offset: -1n };
  phase = 'restoring';
  replayedEntries = 0;
  checkpoints: TaskCheckpoints | null = null;
  checkpointing: Checkpointing | null = null;
  runner: StageRunner | null = null;
  reader: PartitionReader | null = null;
  lastEntry: Entry | null = null;
  readonly #parts: AttemptStartParts;

  constructor(parts: AttemptStartParts) {
    this.#parts = parts;
  }

  get topicId(): string {
    return this.#inputTopic.topicId;
  }

  get #inputTopic(): TopicDescription {
    const { topics, plan } = this.#parts;
    return topics.get(plan.input.topic) as TopicDescription;
  }

  /** Builds the operators, restores, replays; afterwards the state is that of the last entry. */
  async run(content: CommitLogContent): Promise<void> {
    const { plan, environment, options, meter, count, attempt } = this.#parts;
    const genesis = this.#genesis();
    const checkpoints = environment.checkpoints(plan.identity, attempt);
    this.checkpoints = checkpoints;
    const runner = this.#makeRunner(genesis, checkpoints);
    this.runner = runner;
    const byNumber = new Map(content.entries.map((entry) => [entry.entry.number, entry]));
    const startMs = environment.clock.monotonicMs();
    const { manifest, stored } = await checkpoints.restore(
      (candidate) => byNumber.get(candidate.entry)?.chainHash === candidate.chainHash,
      this.#fit,
    );
    const restoredMs = environment.clock.monotonicMs() - startMs;
    if (manifest !== null) meter.restored(restoredMs, manifest, checkpoints.kept().at(-1));
    this.checkpointing = new Checkpointing({ environment, plan, options, checkpoints, genesis, count, meter });
    const last = content.entries.at(-1);
    if (last === undefined) {
      refuseLostLog(plan, content, stored);
      if (options.replayOnly) return;
      if (options.trial) {
        if (plan.origin !== undefined) await this.#adopt(entryOrigin(plan.origin), runner);
        return;
      }
      await this.#begin(genesis, this.#inputTopic, runner);
      this.#openReader(runner);
      return;
    }
    checkGenesis(plan, manifest, content.entries, genesis, this.#inputTopic);
    await this.#startFrom(manifest, content.entries, runner);
    if (options.trial) return;
    this.#openReader(runner);
    await this.#replayTo(last, manifest, content.entries, runner);
    const { chainHash, offset } = this.head;
    if (options.replayOnly) {
      await this.checkpointing.finish(last.entry, chainHash, offset, runner);
      return;
    }
    await this.#handOver(last, manifest, checkpoints, runner);
    const { head } = this;
    await this.checkpointing.replayed(this.lastEntry as Entry, head.chainHash, head.offset, runner);
  }

  #genesis(): Genesis {
    const { plan, topics } = this.#parts;
    const partitionCounts: Record<string, number> = {};
    for (const topic of plan.topics) {
      partitionCounts[topic] = plan.asBegan?.[topic] ?? (topics.get(topic) as TopicDescription).partitionCount;
    }
    return { partitionCounts, writers: plan.writers };
  }

  #makeRunner({ partitionCounts, writers }: Genesis, state: TaskCheckpoints): StageRunner {
    const { plan, options, environment, count } = this.#parts;
    return new StageRunner({
      program: plan.program(partitionCounts),
      partition: plan.identity.partition,
      partitionCounts,
      writers,
      state,
      commitBytesMax: options.commitBytesMax,
      count,
      buffers: environment.buffers ?? null,
    });
  }

  // Entry 0: fixes topics, start offsets, clock, version, counts and writers before the first fetch.
  async #begin(genesis: Genesis, inputTopic: TopicDescription, runner: StageRunner): Promise<void> {
    const { plan, environment } = this.#parts;
    const { origin } = plan;
    const nowMs = environment.clock.nowMs();
    const clockMs = origin === undefined ? nowMs : beganClock(origin, nowMs);
    const startOffset = await this.#startOffset(inputTopic);
    const began = origin === undefined ? undefined : entryOrigin(origin);
    if (began !== undefined) await this.#adopt(began, runner);
    runner.clockMs = clockMs;
    runner.inputOffset = startOffset;
    await this.#append({
      kind: 'genesis',
      number: 0,
      generation: plan.identity.generation,
      version: plan.version,
      inputs: [inputPosition(plan, inputTopic, startOffset)],
      clockMs,
      timersFired: { clock: 0, event: 0 },
      outputHash: runner.output.hash(),
      outputRecords: 0,
      ...(plan.versionParts === undefined ? {} : { parts: plan.versionParts }),
      genesis,
      ...(began === undefined ? {} : { origin: began }),
    });
    const { chainHash, offset } = this.head;
    if (began !== undefined) this.checkpointing?.adopted(this.lastEntry as Entry, chainHash, offset, runner);
  }

  /** Of a new generation a source goes on where the savepoint was, an exchange is empty. */
  #startOffset(inputTopic: TopicDescription): Promise<bigint> {
    const { plan, environment } = this.#parts;
    const { origin, input, writers } = plan;
    const position = origin === undefined || writers > 0 ? null : sourcePosition(plan, origin, inputTopic);
    if (position !== null) return Promise.resolve(position);
    return resolveStart(environment.log, origin === undefined ? input : { ...input, start: 'earliest' });
  }

  async #adopt(origin: EntryOrigin, runner: StageRunner): Promise<void> {
    await adoptOrigin(this.#parts.plan, this.checkpoints as TaskCheckpoints, origin, this.#fit);
    runner.adopt(origin.watermarkMs);
  }

  get #fit(): StateFit {
    return {
      allowDropped: this.#parts.options.allowDroppedState === true,
      tableOf: (stateId) => (this.runner === null ? null : keyTableOf(this.runner.program, stateId)),
    };
  }

  async #append(entry: Entry): Promise<void> {
    const { head } = this;
    const written = writeEntry(entry, head.chainHash);
    head.offset = await this.#parts.committer.commit(written, head.chainHash, []);
    head.number = entry.number;
    head.chainHash = written.chainHash;
    this.lastEntry = entry;
  }

  async #startFrom(
    manifest: CheckpointManifest | null,
    entries: readonly CommitLogEntry[],
    runner: StageRunner,
  ): Promise<void> {
    const { plan, environment } = this.#parts;
    const { logger } = environment;
    const task = taskName(plan.identity);
    const last = entries[entries.length - 1].entry.number;
    if (manifest !== null) {
      logger.debug({ task, entry: manifest.entry, last }, 'restored from a checkpoint, replaying to the last entry');
      const inputOffset = BigInt(manifest.inputs[0].endOffset);
      runner.restore(this.checkpointing?.runnerMemory(manifest) ?? null, { clockMs: manifest.clockMs, inputOffset });
      return;
    }
    const first = entries[0].entry;
    if (first.number !== 0) throw checkpointLost(plan, first);
    if (first.origin !== undefined) await this.#adopt(first.origin, runner);
    logger.info({ task, last }, 'no usable checkpoint, replaying from entry 0');
    runner.clockMs = first.clockMs;
    runner.inputOffset = BigInt(first.inputs[0].endOffset);
  }

  #openReader(runner: StageRunner): void {
    const { plan, environment } = this.#parts;
    const { topic, partition } = plan.input;
    this.reader = environment.reader.open({ topic, partition, topicId: this.topicId, offset: runner.inputOffset });
  }

  async #replayTo(
    last: CommitLogEntry,
    manifest: CheckpointManifest | null,
    entries: readonly CommitLogEntry[],
    runner: StageRunner,
  ): Promise<void> {
    const { plan, options, environment, meter, signal } = this.#parts;
    const from = manifest?.entry ?? 0;
    const todo = entries.filter(({ entry }) => entry.number > from);
    const divergent = todo.some(({ entry }) => entry.kind === 'commit' && entry.version !== plan.version);
    if (divergent && !options.acceptDivergentReplay) throw otherVersion(plan, from, entries, manifest);
    if (options.replayOnly && last.entry.version !== plan.version) throw replaysOnlyItsOwn(plan, last.entry);
    this.phase = 'replaying';
    this.head.number = from;
    const reader = this.reader as PartitionReader;
    const waiting = new Waiting(environment.clock, reader);
    const name = taskName(plan.identity);
    const startMs = environment.clock.monotonicMs();
    for (const entry of todo) {
      const compare = !divergent;
      await replay({ entry, runner, reader, input: plan.input, compare, name, environment, waiting, signal });
      await this.checkpointing?.makeRoom();
      this.replayedEntries++;
      meter.happened('replayed-entries', 1);
    }
    // Crash after crash would replay more and more, if only the time since the last restart counted.
    this.checkpointing?.worked(environment.clock.monotonicMs() - startMs);
    this.head.number = last.entry.number;
    this.head.chainHash = last.chainHash;
    this.head.offset = last.offset;
    this.lastEntry = last.entry;
  }

  // A clean stop left a checkpoint at the last entry: another version may go on from it, and says so in the chain.
  async #handOver(
    last: CommitLogEntry,
    manifest: CheckpointManifest | null,
    checkpoints: TaskCheckpoints,
    runner: StageRunner,
  ): Promise<void> {
    const { version, versionParts: parts } = this.#parts.plan;
    if (last.entry.version === version) return;
    const { clockMs, output } = runner;
    const checkpoint = manifest === null ? '' : (checkpoints.kept().at(-1)?.name ?? '');
    await this.#append(
      handoverEntry(last.entry, { version, clockMs, outputHash: output.hash(), checkpoint, ...(parts && { parts }) }),
    );
  }
}

function inputPosition({ input }: TaskPlan, { topic, topicId }: TopicDescription, endOffset: bigint): InputPosition {
  return { topic, topicId, partition: input.partition, endOffset: String(endOffset) };
}
