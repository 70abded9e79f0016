// Owns judging a job over records from end to end: interprets every task with the model of its stage, then compares what
// it put out, into topics, into exchanges and aside, with what the models say.

import { decodeExchanged, type ExchangedRecord } from '#test/simulation/oracle/exchange-records.ts';
import type { Placement } from '#test/simulation/oracle/placement.ts';
import type { RecordModel } from '#test/simulation/oracle/record-model.ts';
import {
  interpretExchanged,
  interpretRecords,
  type RecordRules,
  type RecordStory,
} from '#test/simulation/oracle/record-story.ts';
import { judgeExchanged, judgeRecords } from '#test/simulation/oracle/record-verdict.ts';
import type { BadRecord } from '#test/simulation/oracle/task-model.ts';
import { judgeDeadLetters } from '#test/simulation/oracle/verdict.ts';
import type { Evidence, TaskEvidence } from '#test/simulation/workloads/contract.ts';

export interface RecordJob {
  /** By topic that the job reads. */
  readonly rules: Readonly<Record<string, RecordRules>>;
  /** By stage that reads an exchange: the stages that write it, in the order of their writers' numbers. */
  readonly exchanges: Readonly<Record<string, readonly string[]>>;
  /** Topics that the job writes, late ones aside. */
  readonly topics: readonly string[];
  readonly lateTopics: readonly string[];
  readonly modelOf: (stage: string) => RecordModel;
}

export interface InterpretedTask {
  readonly task: TaskEvidence;
  readonly stage: string;
  readonly model: RecordModel;
  readonly story: RecordStory;
}

/** Judges all that the job put out; what its tasks were found to have done. */
export function judgeRecordJob(evidence: Evidence, job: RecordJob): InterpretedTask[] {
  const { complete, coverage, entryOf, placement, tasks } = evidence;
  const exchanged = new Map<string, ExchangedRecord[]>();
  const interpreted = tasks.map((task): InterpretedTask => {
    const { input, plan } = task;
    const { stage } = plan.identity;
    if (!plan.input.internal) return { task, stage, ...interpretedTask(task, job, null, placement) };
    const records = input.map(decodeExchanged);
    exchanged.set(stage, [...(exchanged.get(stage) ?? []), ...records]);
    return { task, stage, ...interpretedTask(task, job, records, placement) };
  });
  const all = interpreted.map(({ model, story, task }) => ({ task: task.name, outputs: model.outputs, story }));
  const shapeOf = (partitionCount: number) => ({ placement, partitionCount, entryOf, complete });
  for (const [to, from] of Object.entries(job.exchanges)) {
    const writers = from.flatMap((stage) => all.filter((_, at) => interpreted[at].stage === stage));
    const readers = interpreted.filter(({ stage }) => stage === to);
    judgeExchanged(to, exchanged.get(to) ?? [], writers, shapeOf(readers.length));
  }
  for (const topic of [...job.topics, ...job.lateTopics]) {
    const isLate = job.lateTopics.includes(topic);
    const written = evidence.output(topic);
    judgeRecords(topic, written, all, shapeOf(evidence.partitionCount(topic)!), isLate ? 'late' : 'rows');
    coverage.add(isLate ? 'late records' : 'rows', written.length);
  }
  for (const topic of Object.keys(job.rules)) {
    const bad: BadRecord[] = interpreted.flatMap(({ story, task }) =>
      task.plan.input.topic === topic ? story.bad : [],
    );
    judgeDeadLetters(evidence.output(`${topic}.dead-letter`), bad, entryOf);
    coverage.add('dead letters', bad.length);
  }
  return interpreted;
}

/** As far as an entry, the task's own state made of that of tasks before it. */
function interpretedTask(
  task: TaskEvidence,
  job: RecordJob,
  records: readonly ExchangedRecord[] | null,
  placement: Placement,
  until = Number.POSITIVE_INFINITY,
): Pick<InterpretedTask, 'model' | 'story'> {
  const { input, origin, plan } = task;
  const model = job.modelOf(plan.identity.stage);
  if (origin !== null) {
    const { partition, partitions } = origin;
    const parts = origin.parts.map((part) => interpretedTask(part.task, job, null, placement, part.entry).model);
    model.adopt(parts, (key) => partitions === null || placement.of(key, partitions) === partition);
  }
  const chain = task.chain.filter(({ number }) => number <= until);
  if (!plan.input.internal) return { model, story: interpretRecords(chain, input, job.rules[plan.input.topic], model) };
  const read = records ?? input.map(decodeExchanged);
  return { model, story: interpretExchanged(chain, read, plan.writers, model) };
}
