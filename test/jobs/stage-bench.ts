// Owns running compiled jobs stage by stage in memory: the production StageRunner and operators, one partition per
// topic, records in and records out. For tests of what the compiler wires together.

import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import type { CompiledJob } from '#jobs/plan.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import { StatePages } from '#test/operators/windows/state-pages.ts';

export interface LogRecord {
  readonly key: string | null;
  readonly value: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

interface RunningStage {
  readonly plan: TaskPlan;
  readonly runner: StageRunner;
  readonly state: StatePages;
  offset: bigint;
}

export class StageBench {
  /** Records by topic, in the order they were written. */
  readonly topics = new Map<string, LogRecord[]>();
  readonly counters = new Map<string, number>();
  readonly #stages: RunningStage[];
  #clockMs: number;

  constructor(job: JobDefinition, clockMs: number) {
    const compiled: CompiledJob = compileJob(job);
    const run = { namespace: 'bench', job: compiled.plan.job, run: 'live', generation: 0 };
    const sources = Object.fromEntries(
      compiled.plan.sources.map(({ topic }) => [topic, { partitionCount: 1, maxMessageBytes: 1_000_000 }]),
    );
    const plans = taskPlans({ job: compiled, version: 'v', run, sources });
    this.#clockMs = clockMs;
    this.#stages = plans
      .filter((plan) => plan.identity.partition === 0)
      .map((plan) => {
        const partitionCounts = Object.fromEntries(plan.topics.map((topic) => [topic, 1]));
        const state = new StatePages();
        const count = (counter: string, by: number) => {
          this.counters.set(counter, (this.counters.get(counter) ?? 0) + by);
        };
        const program = plan.program(partitionCounts);
        const shared = {
          program,
          partition: 0,
          partitionCounts,
          writers: plan.writers,
          state,
          commitBytesMax: 1 << 22,
          count,
        };
        return { plan, runner: new StageRunner(shared), state, offset: 0n };
      });
  }

  /** One entry of every stage, in the order of the dataflow; the clock moves on by a second. */
  feed(values: readonly (object | string)[]): void {
    const first = this.#stages[0].plan.input.topic;
    const records = values.map((value) => ({
      key: null,
      value: typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value),
    }));
    this.#append(first, records);
    this.#clockMs += 1_000;
    for (const stage of this.#stages) this.#entry(stage);
  }

  /** Values of a topic as parsed JSON. */
  rows<T>(topic: string): T[] {
    return (this.topics.get(topic) ?? []).map((record) => JSON.parse(record.value.toString()) as T);
  }

  #append(topic: string, records: readonly LogRecord[]): void {
    const log = this.topics.get(topic);
    if (log === undefined) this.topics.set(topic, [...records]);
    else log.push(...records);
  }

  #entry(stage: RunningStage): void {
    const { plan, runner } = stage;
    runner.begin({ clockMs: this.#clockMs, idleSinceMs: null });
    const waiting = (this.topics.get(plan.input.topic) ?? []).slice(Number(stage.offset));
    if (waiting.length > 0) {
      const builder = new RecordBatchBuilder(plan.input.topic, 0);
      for (const { key, value } of waiting) {
        const keyBytes = key === null ? null : Buffer.from(key);
        const bytes = Buffer.from(value);
        builder.append(this.#clockMs, keyBytes, 0, keyBytes?.length ?? 0, bytes, 0, bytes.length);
      }
      const { bytes } = builder.finish();
      const nextOffset = stage.offset + BigInt(waiting.length);
      const place = { baseOffset: stage.offset, baseTimestampMs: this.#clockMs, skipBelowDelta: 0, nextOffset };
      const batch = {
        bytes,
        start: BATCH_HEADER_BYTES,
        end: bytes.length,
        count: waiting.length,
        ...place,
        release() {},
      };
      runner.take(batch, plan.input.topic, 0);
      if (!runner.consume(null)) throw new Error('the bench feeds less than an entry holds');
      stage.offset = nextOffset;
    }
    runner.end();
    stage.state.snapshot();
    this.#collect(runner);
  }

  #collect(runner: StageRunner): void {
    const walker = new RecordWalker();
    for (const { bytes, recordCount, topic } of runner.output.take()) {
      walker.reset(bytes, BATCH_HEADER_BYTES, bytes.length, recordCount);
      const records: LogRecord[] = [];
      while (walker.next()) {
        const key = walker.keyStart < 0 ? null : walker.bytes.toString('utf8', walker.keyStart, walker.keyEnd);
        const value = Buffer.from(walker.bytes.subarray(Math.max(0, walker.valueStart), Math.max(0, walker.valueEnd)));
        const headers = Object.fromEntries(walker.headers().map((header) => [header.key, header.value.toString()]));
        records.push({ key, value, headers });
      }
      this.#append(topic, records);
    }
  }
}
