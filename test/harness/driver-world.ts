// Owns the world a driven job lives in: the simulated log and disk without faults and without latency, so that virtual
// time stands still until somebody moves it, and the production tasks of one process at a time. What happens in no
// time happens in one order, always the same.

import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { BufferPool } from '#runtime/std/buffer-pool.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import type { StageProgram } from '#runtime/task/contract.ts';
import { TaskAttempt } from '#runtime/task/task-attempt.ts';
import { type TaskEnvironment, type TaskOptions, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import { ComparedCheckpoints, type StateDigests } from '#test/harness/compared-checkpoints.ts';
import { NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import { NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

/** Whoever takes more steps without any time passing will never come to an end. */
const STEPS_MAX = 3_000_000;
/** How often tasks look whether their source is idle; in a long silence less and less, unless a timer is near. */
const LOOK_MS = 1_000;
const LOOKS_PER_SILENCE = 8;
/** A timer that should have fired so long ago waits for something else than time. */
const OVERDUE_MS = 10_000;
/** Virtual time that the log may take to shut out a process that was killed, or tasks to end. */
const PATIENCE_MS = 120_000;

export interface DrivenTask {
  readonly plan: TaskPlan;
  readonly attempt: TaskAttempt;
  readonly program: () => StageProgram | null;
  ended: boolean;
}

/** What the tasks are told of the world, and what they tell. */
export interface DriverWorldOptions {
  readonly startMs: number;
  readonly plans: readonly TaskPlan[];
  readonly options: TaskOptions;
  readonly logger: Logger;
  /** Longest idleness of the sources. */
  readonly idlenessMs: number;
}

export class DriverWorld {
  readonly world = new World({
    seed: 1,
    faults: { ...NO_FAULTS, latencyMs: 0 },
    diskFaults: { ...NO_DISK_FAULTS, latencyMs: 0 },
  });
  /** What ended a task; nothing goes on after it. */
  failure: unknown = null;
  tasks: readonly DrivenTask[] = [];
  readonly #options: DriverWorldOptions;
  /** By task. */
  readonly #digests = new Map<string, StateDigests>();
  readonly #clock: Clock;
  #inhabitant: Inhabitant | null = null;
  /** Virtual time that passed without the clock. */
  #lagMs = 0;
  #frozenMs: number | null = null;
  #advancedFromMs: number;
  #advancesToMs = 0;
  #stops = 0;

  constructor(options: DriverWorldOptions) {
    this.#options = options;
    this.#advancedFromMs = options.startMs;
    const { channel, cluster } = this.world;
    channel.deadlineMs = Number.POSITIVE_INFINITY;
    // An answer without records between two looks proves that the source is quiet.
    cluster.fetchWaitMs = () => Math.ceil(this.#lookMs() / 2);
    this.#clock = {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs - options.startMs,
      sleep: (ms, signal) => this.#inhabited.clock.sleep(ms, signal),
    };
  }

  get nowMs(): number {
    return this.#options.startMs + (this.#frozenMs ?? this.world.scheduler.nowMs - this.#lagMs);
  }

  /** A process runs; false after a crash, and after the end. */
  get alive(): boolean {
    return this.#inhabitant?.process.alive === true;
  }

  /** Processes that did not end by a clean stop. */
  get crashes(): number {
    return this.world.processes.filter(({ alive }) => !alive).length - this.#stops;
  }

  /** Starts a process with all tasks and waits until they run, or one fails. */
  async start(): Promise<void> {
    invariant(!this.alive, 'a process runs already');
    const inhabitant = this.world.start(`process ${this.world.processes.length}`);
    this.#inhabitant = inhabitant;
    this.failure = null;
    const environment = this.#environment(inhabitant);
    this.tasks = this.#options.plans.map((plan) => this.#run(plan, environment, inhabitant));
    // A replay may wait for a registry that was stopped.
    const running = () =>
      this.tasks.every(({ attempt, ended, program }) => {
        const waitsForSchema = (program()?.schemas?.waitsFor ?? null) !== null;
        return ended || attempt.status().phase === 'running' || waitsForSchema;
      });
    await this.#patiently(() => running() || this.failure !== null);
  }

  #run(plan: TaskPlan, environment: TaskEnvironment, { process }: Inhabitant): DrivenTask {
    let program: StageProgram | null = null;
    const watched: TaskPlan = {
      ...plan,
      program: (counts) => {
        program = plan.program(counts);
        return program;
      },
    };
    const attempt = new TaskAttempt(watched, this.#taskOptions(), environment);
    const task: DrivenTask = { plan, attempt, program: () => program, ended: false };
    const ended = (error: unknown) => {
      if (!process.alive) return;
      task.ended = true;
      this.failure ??= error;
    };
    attempt.run().then(() => ended(null), ended);
    return task;
  }

  #taskOptions(): TaskOptions {
    const looks = new Looks(
      () => this.nowMs,
      () => this.#lookMs(),
    );
    return {
      ...this.#options.options,
      idleGapMaxMs: Number.POSITIVE_INFINITY,
      get idleTickMs() {
        return looks.everyMs;
      },
    };
  }

  // A day of looks every second would take a minute. Who looks less often sees the same: idle time is counted by the
  // clock, and when a timer is due everybody looks.
  #lookMs(): number {
    const { nowMs } = this;
    const silenceMs = nowMs - this.#advancedFromMs;
    const quiet = silenceMs >= this.#options.idlenessMs + 5 * LOOK_MS;
    const nextMs = Math.min(this.#dueMs(), this.#advancesToMs > nowMs ? this.#advancesToMs : Number.POSITIVE_INFINITY);
    return Math.ceil(Math.min(quiet ? silenceMs / LOOKS_PER_SILENCE : LOOK_MS, Math.max(1, nextMs - nowMs)));
  }

  // When the first timer that is not overdue would fire if all sources were idle.
  #dueMs(): number {
    let dueMs = Number.POSITIVE_INFINITY;
    const consider = (ms: number) => {
      const lookMs = ms > this.nowMs ? ms : this.nowMs + LOOK_MS;
      if (ms > this.nowMs - OVERDUE_MS) dueMs = Math.min(dueMs, lookMs);
    };
    for (const { attempt, program } of this.tasks) {
      const { clockMs, watermarkMs } = attempt.status();
      for (const operator of program()?.operators ?? []) {
        consider(operator.clockTimers?.nextMs() ?? Number.POSITIVE_INFINITY);
        if (clockMs !== null && watermarkMs !== null) consider(clockMs + operator.nextTimerMs() - watermarkMs);
      }
    }
    return dueMs;
  }

  /** Lets everything happen that needs no time. */
  settle(): Promise<void> {
    return this.#runTo(this.world.scheduler.nowMs);
  }

  /** Moves the clock, and lets everything happen on the way. */
  async advance(ms: number): Promise<void> {
    const { scheduler } = this.world;
    const targetMs = scheduler.nowMs + ms;
    this.#advancedFromMs = this.nowMs;
    this.#advancesToMs = this.nowMs + ms;
    await this.#runTo(targetMs);
    if (this.failure === null) scheduler.nowMs = targetMs;
    await this.#runTo(scheduler.nowMs);
  }

  /** kill -9. */
  crash(): void {
    this.#inhabited.process.kill();
  }

  /** kill -9 in place of the step of the process that comes after `steps` more. */
  crashAfter(steps: number): void {
    this.#inhabited.process.killAfterEvents(steps);
  }

  /** A clean stop: every task ends with a checkpoint at its last entry. */
  async stop(): Promise<void> {
    if (!this.alive) return;
    for (const { attempt, ended } of this.tasks) if (!ended) attempt.stop();
    await this.#patiently(() => this.tasks.every(({ ended }) => ended));
    if (!this.alive) return;
    this.#inhabited.process.kill();
    this.#stops++;
  }

  /** What `question` gives, once whatever it waits for has happened. */
  async ask<T>(question: Promise<T>): Promise<T> {
    let answered = false;
    const note = () => {
      answered = true;
    };
    question.then(note, note);
    await this.#patiently(() => answered || this.failure !== null);
    if (!answered && this.failure !== null) throw this.failure;
    return question;
  }

  get #inhabited(): Inhabitant {
    invariant(this.#inhabitant !== null, 'no process was started');
    return this.#inhabitant;
  }

  async #runTo(limitMs: number): Promise<void> {
    const { scheduler } = this.world;
    const end = await scheduler.run(() => this.failure !== null || scheduler.nextMs > limitMs, STEPS_MAX);
    if (end !== 'steps') return;
    throw new StreamError(
      'operator-failed',
      `after ${STEPS_MAX} steps at one moment of the clock the tasks still find something to do`,
      'look for timers of the past that ask for each other, over and over',
    );
  }

  // The log may need a moment, which is none of the clock's.
  async #patiently(done: () => boolean): Promise<void> {
    const { scheduler } = this.world;
    const beganMs = scheduler.nowMs;
    this.#frozenMs = beganMs - this.#lagMs;
    const lastMs = beganMs + PATIENCE_MS;
    try {
      await scheduler.run(() => done() || !this.alive || scheduler.nextMs > lastMs, STEPS_MAX);
    } finally {
      this.#frozenMs = null;
      this.#lagMs += scheduler.nowMs - beganMs;
    }
    invariant(done() || !this.alive, 'the tasks wait for something that does not happen');
    await this.settle();
  }

  #environment({ process, log, disk }: Inhabitant): TaskEnvironment {
    const clock = this.#clock;
    const { logger } = this.#options;
    const store = new DirectoryStore({ root: 'checkpoints', disk });
    return {
      clock,
      logger,
      log,
      reader: log.reader(),
      ownership: { owns: async () => true },
      checkpoints: (identity, attempt) => {
        const task = taskName(identity);
        const digests = this.#digests.get(task) ?? new Map<number, string>();
        this.#digests.set(task, digests);
        const status = () => this.#task(task).attempt.status();
        return new ComparedCheckpoints({ store, identity, attempt, clock, logger }, { task, digests, status });
      },
      // Every buffer is used again at once: one that was given back too early would be seen.
      buffers: new BufferPool(1 << 20, 1),
      attemptId: () => ulid(this.nowMs, this.world.random.bytes(10)),
      breathe: () => process.after(0, 'breathe', () => {}),
    };
  }

  #task(name: string): DrivenTask {
    const task = this.tasks.find(({ plan }) => taskName(plan.identity) === name);
    invariant(task !== undefined, `no task is called ${name}`);
    return task;
  }
}

/** When a task looks whether its source is idle: the loop asks, after each look and in between, how often it shall. */
class Looks {
  readonly #nowMs: () => number;
  readonly #nextMs: () => number;
  #lookedMs = 0;
  #dueMs = 0;
  #due = false;

  constructor(nowMs: () => number, nextMs: () => number) {
    this.#nowMs = nowMs;
    this.#nextMs = nextMs;
  }

  get everyMs(): number {
    const nowMs = this.#nowMs();
    if (nowMs < this.#dueMs) this.#dueMs = Math.min(this.#dueMs, nowMs + this.#nextMs());
    else if (this.#due) {
      this.#lookedMs = nowMs;
      this.#dueMs = nowMs + this.#nextMs();
      this.#due = false;
    } else this.#due = true;
    return this.#dueMs - this.#lookedMs;
  }
}
