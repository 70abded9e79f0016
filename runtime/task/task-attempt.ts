// Owns one attempt at running a task: fence, read the commit log, start, run, stop (ARCHITECTURE §3). Ends by resolving
// (clean stop, with a checkpoint at the last entry) or by throwing; then it is spent. Restore and replay are the
// AttemptStart's, the deterministic part the StageRunner's, the transaction's fate the Committer's.

import type { PartitionReader, TopicDescription } from '#runtime/log/contract.ts';
import { AttemptStart } from '#runtime/task/attempt-start.ts';
import { attemptStatus } from '#runtime/task/attempt-status.ts';
import type { Checkpointing } from '#runtime/task/checkpointing.ts';
import { Committer } from '#runtime/task/committer.ts';
import type { Entry } from '#runtime/task/entry.ts';
import { describeTaskTopics, writtenPartitions } from '#runtime/task/genesis.ts';
import { LiveLoop } from '#runtime/task/live-loop.ts';
import { watchProgress } from '#runtime/task/progress.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
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
import { TaskSavepoint } from '#runtime/task/task-savepoint.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';

/** A clean stop that gets nowhere for so long (the log is away) ends without a checkpoint. */
const STOP_PATIENCE_MS = 5_000;
/** How long an aborted attempt waits for what is under way: a request that nobody answers would keep it for minutes. */
const ABORT_GRACE_MS = 1_000;

export class TaskAttempt {
  readonly #plan: TaskPlan;
  readonly #options: TaskOptions;
  readonly #environment: TaskEnvironment;
  readonly #attempt: string;
  readonly #meter: TaskMeter;
  readonly #abort = new AbortController();
  readonly #overdue = Promise.withResolvers<never>();
  readonly #counters = new Map<string, number>();
  /** What people want to know of its keyed state. */
  readonly questions: StateQuestions;
  readonly savepoint: TaskSavepoint;
  /** When it began to take new input; null until then. */
  liveSinceMs: number | null = null;
  #phase = 'created';
  #committer: Committer | null = null;
  #start: AttemptStart | null = null;
  #loop: LiveLoop | null = null;
  #stopRequested = false;
  #drainRequested = false;

  /** @param meter of the task, told by one attempt after the other; so is `savepoint` */
  constructor(
    plan: TaskPlan,
    options: TaskOptions,
    environment: TaskEnvironment,
    meter = new TaskMeter(environment.clock),
    savepoint = new TaskSavepoint(taskName(plan.identity), environment.clock),
  ) {
    this.#plan = plan;
    this.#options = options;
    this.#environment = environment;
    this.#attempt = environment.attemptId();
    this.#meter = meter;
    this.savepoint = savepoint;
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

  /** As `stop`, but what is in the input now is read before, and every timer fires. */
  drain(): void {
    this.#drainRequested = true;
    this.#loop?.drain();
  }

  /** Asks for a checkpoint now; before new input is taken there is none to make. */
  checkpoint(): void {
    this.#loop?.checkpoint();
  }

  // Null while the last checkpoint is written: it takes what it takes. Whoever stops a replay loses but having done it.
  #progress(): string | null {
    if (this.#start?.checkpointing?.finishing) return null;
    if (this.#loop === null) return '';
    const runner = this.#start?.runner;
    const settled = runner?.effects.reduce((sum, effect) => sum + effect.settled, 0);
    return `${this.#start?.head.number} ${runner?.inputOffset} ${settled}`;
  }

  /** Ends the attempt at the next await, without checkpoint. */
  abort(): void {
    this.#abort.abort();
    this.#loop?.stop();
    const waitingFor = this.#committer?.waitingFor ?? `the log (${this.#currentPhase})`;
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
      const start = new AttemptStart({
        plan: this.#plan,
        options: this.#options,
        environment: this.#environment,
        attempt: this.#attempt,
        meter: this.#meter,
        count: this.#count,
        committer,
        topics,
        signal: this.#abort.signal,
      });
      this.#start = start;
      await start.run(content);
      if (!this.#options.replayOnly && !this.#options.trial) await this.#live(start, committer);
      this.#phase = 'stopped';
    } catch (error) {
      this.#phase = 'failed';
      throw error;
    } finally {
      this.#abort.abort();
      this.questions.end();
      this.#start?.runner?.close();
      this.#start?.reader?.close();
      await this.#start?.checkpointing?.abandon();
      await this.#start?.checkpoints?.close();
      await this.#committer?.close();
    }
  }

  /** Until the attempt is live, or over, its start tells. */
  get #currentPhase(): string {
    return this.#phase === 'fencing' && this.#start !== null ? this.#start.phase : this.#phase;
  }

  async #live(start: AttemptStart, committer: Committer): Promise<void> {
    this.#phase = 'running';
    this.liveSinceMs = this.#environment.clock.monotonicMs();
    this.#meter.live(this.#counters);
    const loop = new LiveLoop({
      plan: this.#plan,
      options: this.#options,
      environment: this.#environment,
      runner: start.runner as StageRunner,
      reader: start.reader as PartitionReader,
      committer,
      checkpointing: start.checkpointing as Checkpointing,
      head: start.head,
      topicId: start.topicId,
      generation: this.#plan.identity.generation,
      lastEntry: start.lastEntry as Entry,
      count: this.#count,
      counters: this.#counters,
      meter: this.#meter,
      questions: this.questions,
      savepoint: this.savepoint,
      seed: this.#attempt,
      signal: this.#abort.signal,
    });
    this.#loop = loop;
    if (this.#stopRequested) loop.stop();
    if (this.#drainRequested) loop.drain();
    await loop.run();
    if (this.#abort.signal.aborted) throw stoppedWhile('running');
  }

  status(): TaskStatus {
    const { identity, input } = this.#plan;
    const start = this.#start;
    return attemptStatus({
      identity,
      input,
      phase: this.#currentPhase,
      attempt: this.#attempt,
      entry: start?.head.number ?? -1,
      replayedEntries: start?.replayedEntries ?? 0,
      counters: this.#counters,
      nowMs: this.#environment.clock.nowMs(),
      runner: start?.runner ?? null,
      reader: start?.reader ?? null,
      committer: this.#committer,
      holdsFor: this.#loop?.holds ? this.savepoint.wanted : null,
      checkpointing: start?.checkpointing ?? null,
      checkpoints: start?.checkpoints ?? null,
    });
  }
}
