// Owns the setting of the task tests: one simulated world without faults, one input partition, the toy stage. Faults are
// added by each test. Nothing here knows what the task should do.

import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import { type Logger, silentLogger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import type { StageProgram } from '#runtime/task/contract.ts';
import {
  DEFAULT_TASK_OPTIONS,
  type TaskEnvironment,
  type TaskOptions,
  type TaskPlan,
} from '#runtime/task/task-environment.ts';
import { type TaskOutcome, TaskSupervisor } from '#runtime/task/task-supervisor.ts';
import { toyBatch, toyStage } from '#test/harness/toy-stage.ts';
import type { Faults } from '#test/simulation/world/log-faults.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

export const TOY_IDENTITY = { namespace: 'n', job: 'toy', run: 'live', generation: 0, stage: 'toy', partition: 0 };
export const COMMITS = '__n.commits';

export interface RunningToy {
  readonly inhabitant: Inhabitant;
  readonly supervisor: TaskSupervisor;
  /** Null until the supervisor ended. */
  outcome: TaskOutcome | null;
}

export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export class ToyWorld {
  readonly world: World;
  readonly lines: LogLine[] = [];
  readonly logger: Logger;
  /** Number of the process that owns the task. */
  owner = -1;
  program: () => StageProgram = () => toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });

  constructor(seed = 1, faults?: Faults) {
    this.world = new World(faults === undefined ? { seed } : { seed, faults });
    for (const topic of ['in', 'out', 'dead', COMMITS]) this.createTopic(topic);
    this.logger = recordingLogger(this.lines);
  }

  createTopic(topic: string, partitionCount = 1): void {
    this.world.cluster.createTopics([{ topic, partitionCount }]);
  }

  plan(change: Partial<TaskPlan> = {}): TaskPlan {
    return {
      identity: TOY_IDENTITY,
      version: 'v1',
      input: { topic: 'in', partition: 0, start: 'earliest', internal: false },
      commitTopic: COMMITS,
      topics: ['in', 'out', 'dead'],
      topicIds: {},
      writers: 0,
      offsetsGroup: 'n.toy',
      program: () => this.program(),
      ...change,
    };
  }

  environment(inhabitant: Inhabitant, change: Partial<TaskEnvironment> = {}): TaskEnvironment {
    const { process, clock, log, disk } = inhabitant;
    const store = new DirectoryStore({ root: 'checkpoints', disk });
    return {
      clock,
      logger: this.logger,
      log,
      reader: log.reader(),
      ownership: { owns: async () => this.owner === process.id },
      checkpoints: (identity, attempt) =>
        new FileTaskCheckpoints({ store, identity, attempt, clock, logger: silentLogger }),
      attemptId: () => ulid(clock.nowMs(), this.world.random.bytes(10)),
      breathe: () => process.after(0, 'breathe', () => {}),
      ...change,
    };
  }

  /** Starts a process that owns the task from now on, and runs the task in it. */
  launch(options: Partial<TaskOptions> = {}, change: Partial<TaskPlan> = {}): RunningToy {
    const inhabitant = this.world.start(`p${this.world.processes.length}`);
    this.owner = inhabitant.process.id;
    return this.run(inhabitant, this.environment(inhabitant), options, change);
  }

  run(
    inhabitant: Inhabitant,
    environment: TaskEnvironment,
    options: Partial<TaskOptions> = {},
    change: Partial<TaskPlan> = {},
  ): RunningToy {
    const supervisor = new TaskSupervisor(this.plan(change), { ...DEFAULT_TASK_OPTIONS, ...options }, environment);
    const running: RunningToy = { inhabitant, supervisor, outcome: null };
    supervisor.run().then((outcome) => {
      running.outcome = outcome;
    });
    return running;
  }

  feed(...records: readonly string[]): void {
    this.world.cluster.append({ topic: 'in', partition: 0 }, Buffer.from(toyBatch('in', records).bytes));
  }

  /** Lets virtual time pass. */
  pass(ms: number): Promise<void> {
    return this.world.pass(ms);
  }

  /** Lets time pass until `done`; false when it was not within `ms`. */
  until(done: () => boolean, ms = 60_000): Promise<boolean> {
    return this.world.until(done, ms);
  }

  /** Values of all committed records of partition 0, as text, in log order. */
  committed(topic: string): string[] {
    const walker = new RecordWalker();
    const values: string[] = [];
    for (const batch of this.world.cluster.partition({ topic, partition: 0 })?.batches ?? []) {
      if (batch.control || batch.fate !== 'committed') continue;
      const { bytes } = batch;
      walker.reset(bytes, 61, bytes.length, bytes.readInt32BE(57));
      while (walker.next()) values.push(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd));
    }
    return values;
  }

  /** The entries of the commit log that are left. */
  entries(topic = COMMITS): Record<string, unknown>[] {
    return this.committed(topic).map((text) => JSON.parse(text));
  }

  said(text: string | RegExp): LogLine[] {
    return this.lines.filter(({ message }) => (typeof text === 'string' ? message.includes(text) : text.test(message)));
  }
}

function recordingLogger(lines: LogLine[]): Logger {
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message });
  };
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  };
  return logger;
}
