// Owns that the topics a job publishes to are created when they are missing, and that nobody loses one of them without a
// word: the control log keeps which there were. Rows are published once; what was in a topic that is gone stays gone.

import type { ControlRecord } from '#runtime/control/control-log.ts';
import type { JobGeneration } from '#runtime/control/internal-topics.ts';
import { BEGIN_ANEW } from '#runtime/control/source-identity.ts';
import type { LogAdmin, TopicDescription, TopicSpec } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

export type JobOutputs = Extract<ControlRecord, { kind: 'job-outputs' }>;

export interface OutputTopicsParts {
  readonly admin: LogAdmin;
  /** The control log. */
  readonly records: readonly ControlRecord[];
  readonly generation: JobGeneration;
  readonly specs: readonly TopicSpec[];
  readonly nowMs: number;
}

export interface PreparedOutputs {
  /** What the control log says of them, or has to say from now on. */
  readonly outputs: JobOutputs;
  /** Those whose content is gone since the job last started. */
  readonly losses: readonly StreamError[];
}

/** What the control log says of the topics that a generation of a job publishes to. */
export function jobOutputs(records: readonly ControlRecord[], of: JobGeneration): JobOutputs | null {
  for (const record of records.toReversed()) {
    if (record.kind !== 'job-outputs' || record.job !== of.job) continue;
    if (record.run === of.run && record.generation === of.generation) return record;
  }
  return null;
}

/** Creates what is missing, with as many partitions as it had, and compares the rest with what was there before. */
export async function prepareOutputTopics(parts: OutputTopicsParts): Promise<PreparedOutputs> {
  const { admin, records, specs, nowMs } = parts;
  const { job, run, generation } = parts.generation;
  const known = jobOutputs(records, parts.generation);
  const was = new Map(known?.topics.map((topic) => [topic.topic, topic]));
  const names = specs.map(({ topic }) => topic);
  const before = await admin.describeTopics(names);
  const losses = names.flatMap((name, index) => lossOf(job, was.get(name), before[index], AT_START) ?? []);
  const missing = specs.filter((_, index) => before[index] === null);
  await admin.createTopics(
    missing.map((spec) => ({ ...spec, partitionCount: was.get(spec.topic)?.partitionCount ?? spec.partitionCount })),
  );
  const topics = (await admin.describeTopics(names)).flatMap((topic) => topic ?? []);
  if (known !== null && sameTopics(known.topics, topics)) return { outputs: known, losses };
  return { outputs: { kind: 'job-outputs', job, run, generation, topics, atMs: nowMs }, losses };
}

/** Looks again, while the job runs; null when all are there as they were. */
export async function outputsFault(admin: LogAdmin, { job, topics }: JobOutputs): Promise<StreamError | null> {
  const now = await admin.describeTopics(topics.map(({ topic }) => topic));
  return (
    topics.map((topic, index) => lossOf(job, topic, now[index], WHILE_RUNNING)).find((loss) => loss !== null) ?? null
  );
}

const AT_START = `the job goes on with it as it is now; to have it back, stop and restore it from a backup; ${BEGIN_ANEW}`;
const WHILE_RUNNING = `start again: the job goes on with an empty topic, or with what you restored from a backup; ${BEGIN_ANEW}`;

function lossOf(
  job: string,
  was: TopicDescription | undefined,
  now: TopicDescription | null,
  remedy: string,
): StreamError | null {
  if (was === undefined || was.topicId === now?.topicId) return null;
  const code = now === null ? 'topic-unknown' : 'topic-recreated';
  const what = now === null ? 'is gone' : `was deleted and created again (id ${was.topicId}, now ${now.topicId})`;
  const lost = 'what was published in it is lost unless somebody restored it, and is not published again';
  return new StreamError(code, `job ${job}: output topic '${was.topic}' ${what}: ${lost}`, remedy);
}

function sameTopics(one: readonly TopicDescription[], other: readonly TopicDescription[]): boolean {
  const ids = new Set(one.map(({ topicId }) => topicId));
  return one.length === other.length && other.every(({ topicId }) => ids.has(topicId));
}
