// Owns one attempt at running a task: fence, commit log, restore, replay, run, stop (ARCHITECTURE §3). Ends by resolving
// (clean stop, with a checkpoint at the last entry) or by throwing; then it is spent. The deterministic part is the
// StageRunner's, the transaction's fate the Committer's, checkpoint files the Checkpointing's.

import type { CheckpointManifest, TaskCheckpoints } from '#checkpoint/contract.ts';
import type { Effect } from '#runtime/effect/contract.ts';
import type { PartitionReader, TopicDescription } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { attemptStatus } from '#runtime/task/attempt-status.ts';
import { Checkpointing } from '#runtime/task/checkpointing.ts';
import type { CommitLogContent, CommitLogEntry } from '#runtime/task/commit-log.ts';
import { Committer } from '#runtime/task/committer.ts';
import { CHAIN_START, type Entry, type Genesis, handoverEntry, writeEntry } from '#runtime/task/entry.ts';
import {
  checkGenesis,
  checkpointLost,
  describeTaskTopics,
  refuseLostLog,
  resolveStart,
  writtenPartitions,
} from '#runtime/task/genesis.ts';
import { LiveLoop } from '#runtime/task/live-loop.ts';
import { watchProgress } from '#runtime/task/progress.ts';
import { replay } from '#runtime/task/replay.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';
import { StateQuestions } from '#runtime/task/state-questions.ts';
import {
  stoppedWhile,
  superseded,
  type TaskEnvironment,
  type TaskOptions,
  type TaskPlan,
  taskName,
} from '#runtime/task/task-environment.ts';
import { TaskMeter } from '#runtime/task/task-meter.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';
import { Waiting } from '#runtime/task/waiting.ts';

/** A clean stop that gets nowhere for so long (the log is away) ends without a checkpoint. */
const STOP_PATIENCE_MS = 5_000;
/** How long an aborted attempt waits for what is under way: a request that nobody answers would keep it for minutes. */
const ABORT_GRACE_MS = 1_000;

/** Where the chain of entries stands. */
export interface ChainHead {
  number: number;
  chainHash: string;
  /** Offset of the last entry in the commit log. */
  offset: bigint;
}

export class TaskAttempt {
  readonly #plan: TaskPlan;
  readonly #options: TaskOptions;
  readonly #environment: TaskEnvironment;
  readonly #attempt: string;
  readonly #meter: TaskMeter;
  readonly #abort = new AbortController();
  readonly #overdue = Promise.withResolvers<never>();
  readonly #counters = new Map<string, number>();
  readonly #head: ChainHead = { number: -1, chainHash: CHAIN_START, offset: -1n };
  /** What people want to know of its keyed state. */
  readonly questions: StateQuestions;
  /** When it began to take new input; null until then. */
  liveSinceMs: number | null = null;
  #phase = 'created';
  #committer: Committer | null = null;
  #runner: StageRunner | null = null;
  #reader: PartitionReader | null = null;
  #loop: LiveLoop | null = null;
  #checkpoints: TaskCheckpoints | null = null;
  #checkpointing: Checkpointing | null = null;
  #stopRequested = false;
  #replayedEntries = 0;
  #topicId = '';
  #lastEntry: Entry | null = null;

  /** @param meter of the task, told by one attempt after the other */
  constructor(
    plan: TaskPlan,
    options: TaskOptions,
    environment: TaskEnvironment,
    meter = new TaskMeter(environment.clock),
  ) {
    this.#plan = plan;
    this.#options = options;
    this.#environment = environment;
    this.#attempt = environment.attemptId();
    this.#meter = meter;
    this.questions = new StateQuestions(taskName(plan.identity));
  }

  readonly #count = (counter: string, by: number): void => {
    this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + by);
  };

  /**
   * Asks for a clean stop: the entry in hand is committed, a checkpoint at the last entry is written. When the log is
   * away for longer than a stop may take, `run` throws instead.
   */
  stop(): void {
    if (this.#stopRequested) return;
    this.#stopRequested = true;
    this.#loop?.stop();
    watchProgress({
      clock: this.#environment.clock,
      signal: this.#abort.signal,
      patienceMs: STOP_PATIENCE_MS,
      progress: () => this.#progress(),
      giveUp: () => this.abort(),
    });
  }

  // Null while the last checkpoint is written: it takes what it takes. Whoever stops a replay loses but having done it.
  #progress(): string | null {
    if (this.#checkpointing?.finishing) return null;
    if (this.#loop === null) return '';
    const settled = this.#effects.reduce((sum, effect) => sum + effect.settled, 0);
    return `${this.#head.number} ${this.#runner?.inputOffset} ${settled}`;
  }

  get #effects(): readonly Effect[] {
    return this.#runner?.effects ?? [];
  }

  /** Ends the attempt at the next await, without checkpoint. */
  abort(): void {
    this.#abort.abort();
    this.#loop?.stop();
    const waitingFor = this.#committer?.waitingFor ?? `the log (${this.#phase})`;
    const overdue = () => this.#overdue.reject(stoppedWhile(`waiting for an answer: ${waitingFor}`));
    this.#environment.clock.sleep(ABORT_GRACE_MS).then(overdue);
  }

  /**
   * Runs until stopped. Throws what ended it: StreamError, InvariantError or an error of the job's own functions. After
   * an abort a request may still be under way; whoever runs the task next shuts it out.
   */
  run(): Promise<void> {
    return Promise.race([this.#run(), this.#overdue.promise]);
  }

  async #run(): Promise<void> {
    const { identity, commitTopic } = this.#plan;
    try {
      this.#phase = 'fencing';
      const topics = await describeTaskTopics(this.#environment, this.#plan);
      const commitLog = topics.get(commitTopic) as TopicDescription;
      const place = { topic: commitTopic, partition: identity.partition, topicId: commitLog.topicId };
      const outputs = [{ topic: commitTopic, partition: identity.partition }, ...writtenPartitions(this.#plan, topics)];
      const { happened } = this.#meter;
      const committer = new Committer(this.#environment, { identity, place, outputs, happened }, this.#abort.signal);
      this.#committer = committer;
      // A process that was replaced must not throw its successor out.
      if (!(await this.#environment.ownership.owns(identity))) throw superseded(identity);
      const content = await committer.takeOver();
      await this.#prepare(topics, content);
      await this.#live();
      this.#phase = 'stopped';
    } catch (error) {
      this.#phase = 'failed';
      throw error;
    } finally {
      this.#abort.abort();
      this.questions.end();
      this.#runner?.close();
      this.#reader?.close();
      await this.#checkpointing?.abandon();
      await this.#checkpoints?.close();
      await this.#committer?.close();
    }
  }

  // Builds the operators, restores, replays; afterwards the state is that of the last entry.
  async #prepare(topics: ReadonlyMap<string, TopicDescription>, content: CommitLogContent): Promise<void> {
    const { identity, input } = this.#plan;
    const counts: Record<string, number> = {};
    for (const topic of this.#plan.topics) counts[topic] = (topics.get(topic) as TopicDescription).partitionCount;
    const genesis: Genesis = { partitionCounts: counts, writers: this.#plan.writers };
    const checkpoints = this.#environment.checkpoints(identity, this.#attempt);
    this.#checkpoints = checkpoints;
    const runner = new StageRunner({
      program: this.#plan.program(counts),
      partition: identity.partition,
      partitionCounts: counts,
      writers: this.#plan.writers,
      state: checkpoints,
      commitBytesMax: this.#options.commitBytesMax,
      count: this.#count,
      buffers: this.#environment.buffers ?? null,
    });
    this.#runner = runner;
    this.#phase = 'restoring';
    const byNumber = new Map(content.entries.map((entry) => [entry.entry.number, entry]));
    const { clock } = this.#environment;
    const startMs = clock.monotonicMs();
    const { manifest, stored } = await checkpoints.restore(
      (candidate) => byNumber.get(candidate.entry)?.chainHash === candidate.chainHash,
    );
    if (manifest !== null) this.#meter.restored(clock.monotonicMs() - startMs, manifest, checkpoints.kept().at(-1));
    this.#checkpointing = new Checkpointing({
      environment: this.#environment,
      plan: this.#plan,
      options: this.#options,
      checkpoints,
      genesis,
      count: this.#count,
      meter: this.#meter,
    });
    const inputTopic = topics.get(input.topic) as TopicDescription;
    this.#topicId = inputTopic.topicId;
    const last = content.entries.at(-1);
    if (last === undefined) {
      refuseLostLog(this.#plan, content, stored);
      await this.#begin(genesis, inputTopic, runner);
      this.#openReader(inputTopic, runner);
      return;
    }
    checkGenesis(this.#plan, manifest, content.entries, genesis, inputTopic);
    this.#startFrom(manifest, content.entries, runner);
    this.#openReader(inputTopic, runner);
    await this.#replayTo(last, manifest, content.entries, runner);
    await this.#handOver(last, manifest, checkpoints, runner);
    const { chainHash, offset } = this.#head;
    await this.#checkpointing.replayed(this.#lastEntry as Entry, chainHash, offset, runner);
  }

  // Entry 0: fixes topics, start offsets, clock, version, counts and writers before the first fetch.
  async #begin(genesis: Genesis, inputTopic: TopicDescription, runner: StageRunner): Promise<void> {
    const startOffset = await resolveStart(this.#environment.log, this.#plan.input);
    const clockMs = this.#environment.clock.nowMs();
    runner.clockMs = clockMs;
    runner.inputOffset = startOffset;
    const entry: Entry = {
      kind: 'genesis',
      number: 0,
      generation: this.#plan.identity.generation,
      version: this.#plan.version,
      inputs: [this.#inputPosition(inputTopic, startOffset)],
      clockMs,
      timersFired: { clock: 0, event: 0 },
      outputHash: runner.output.hash(),
      outputRecords: 0,
      genesis,
    };
    await this.#append(entry);
  }

  async #append(entry: Entry): Promise<void> {
    const written = writeEntry(entry, this.#head.chainHash);
    this.#head.offset = await (this.#committer as Committer).commit(written, this.#head.chainHash, []);
    this.#head.number = entry.number;
    this.#head.chainHash = written.chainHash;
    this.#lastEntry = entry;
  }

  #inputPosition(topic: TopicDescription, endOffset: bigint) {
    return {
      topic: topic.topic,
      topicId: topic.topicId,
      partition: this.#plan.input.partition,
      endOffset: String(endOffset),
    };
  }

  #startFrom(manifest: CheckpointManifest | null, entries: readonly CommitLogEntry[], runner: StageRunner): void {
    const { logger } = this.#environment;
    const task = taskName(this.#plan.identity);
    const last = entries[entries.length - 1].entry.number;
    if (manifest !== null) {
      logger.debug({ task, entry: manifest.entry, last }, 'restored from a checkpoint, replaying to the last entry');
      const inputOffset = BigInt(manifest.inputs[0].endOffset);
      runner.restore(this.#checkpointing?.runnerMemory(manifest) ?? null, { clockMs: manifest.clockMs, inputOffset });
      return;
    }
    const first = entries[0].entry;
    if (first.number !== 0) throw checkpointLost(this.#plan, first);
    logger.info({ task, last }, 'no usable checkpoint, replaying from entry 0');
    runner.clockMs = first.clockMs;
    runner.inputOffset = BigInt(first.inputs[0].endOffset);
  }

  #openReader(inputTopic: TopicDescription, runner: StageRunner): void {
    const { topic, partition } = this.#plan.input;
    this.#reader = this.#environment.reader.open({
      topic,
      partition,
      topicId: inputTopic.topicId,
      offset: runner.inputOffset,
    });
  }

  async #replayTo(
    last: CommitLogEntry,
    manifest: CheckpointManifest | null,
    entries: readonly CommitLogEntry[],
    runner: StageRunner,
  ): Promise<void> {
    const from = manifest?.entry ?? 0;
    const todo = entries.filter(({ entry }) => entry.number > from);
    const divergent = todo.some(({ entry }) => entry.kind === 'commit' && entry.version !== this.#plan.version);
    if (divergent && !this.#options.acceptDivergentReplay) {
      throw new StreamError(
        'version-mismatch',
        `task ${taskName(this.#plan.identity)}: entries ${from + 1} to ${last.entry.number} were written by version ${last.entry.version} and were not checkpointed by a clean stop`,
        `start once with that version and stop it cleanly, or start with --accept-divergent-replay (rows already published may differ from the state)`,
      );
    }
    this.#phase = 'replaying';
    this.#head.number = from;
    const waiting = new Waiting(this.#environment.clock, this.#reader as PartitionReader);
    const startMs = this.#environment.clock.monotonicMs();
    for (const entry of todo) {
      await replay({
        entry,
        runner,
        reader: this.#reader as PartitionReader,
        input: this.#plan.input,
        compare: !divergent,
        name: taskName(this.#plan.identity),
        environment: this.#environment,
        waiting,
        signal: this.#abort.signal,
      });
      await this.#checkpointing?.makeRoom();
      this.#replayedEntries++;
      this.#meter.happened('replayed-entries', 1);
    }
    // Crash after crash would replay more and more, if only the time since the last restart counted.
    this.#checkpointing?.worked(this.#environment.clock.monotonicMs() - startMs);
    this.#head.number = last.entry.number;
    this.#head.chainHash = last.chainHash;
    this.#head.offset = last.offset;
    this.#lastEntry = last.entry;
  }

  // A clean stop left a checkpoint at the last entry: another version may go on from it, and says so in the chain.
  async #handOver(
    last: CommitLogEntry,
    manifest: CheckpointManifest | null,
    checkpoints: TaskCheckpoints,
    runner: StageRunner,
  ): Promise<void> {
    if (last.entry.version === this.#plan.version) return;
    const { clockMs, output } = runner;
    const checkpoint = manifest === null ? '' : (checkpoints.kept().at(-1)?.name ?? '');
    const { version } = this.#plan;
    await this.#append(handoverEntry(last.entry, { version, clockMs, outputHash: output.hash(), checkpoint }));
  }

  async #live(): Promise<void> {
    this.#phase = 'running';
    this.liveSinceMs = this.#environment.clock.monotonicMs();
    this.#meter.live(this.#counters);
    const runner = this.#runner as StageRunner;
    const reader = this.#reader as PartitionReader;
    const loop = new LiveLoop({
      plan: this.#plan,
      options: this.#options,
      environment: this.#environment,
      runner,
      reader,
      committer: this.#committer as Committer,
      checkpointing: this.#checkpointing as Checkpointing,
      head: this.#head,
      topicId: this.#topicId,
      generation: this.#plan.identity.generation,
      lastEntry: this.#lastEntry as Entry,
      count: this.#count,
      counters: this.#counters,
      meter: this.#meter,
      questions: this.questions,
      seed: this.#attempt,
      signal: this.#abort.signal,
    });
    this.#loop = loop;
    if (this.#stopRequested) loop.stop();
    await loop.run();
    if (this.#abort.signal.aborted) throw stoppedWhile('running');
  }

  status(): TaskStatus {
    const { identity, input } = this.#plan;
    return attemptStatus({
      identity,
      input,
      phase: this.#phase,
      attempt: this.#attempt,
      entry: this.#head.number,
      replayedEntries: this.#replayedEntries,
      counters: this.#counters,
      nowMs: this.#environment.clock.nowMs(),
      runner: this.#runner,
      reader: this.#reader,
      committer: this.#committer,
      checkpointing: this.#checkpointing,
      checkpoints: this.#checkpoints,
    });
  }
}
