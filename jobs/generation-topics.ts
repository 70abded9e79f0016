// Owns the generations of a job as they stand in the log and in the store: which number is free, shutting out the tasks of
// those before, deleting what one left. Invariant: each may be cut off anywhere and done again.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import { LIVE } from '#jobs/prepare-job.ts';
import { commitTopic } from '#jobs/topics.ts';
import type { ControlRecord } from '#runtime/control/control-log.ts';
import { jobOutputs } from '#runtime/control/output-topics.ts';
import type { LogClient } from '#runtime/log/contract.ts';
import { type FencedTask, fenceTasks } from '#runtime/task/generation-fence.ts';

export interface GenerationEdges {
  readonly log: LogClient;
  readonly store: CheckpointStore;
  readonly namespace: string;
}

/** The lowest that is above every one of which a topic is there, and above `current`. */
export async function nextGeneration(
  { log, namespace }: GenerationEdges,
  job: string,
  current: number,
): Promise<number> {
  const found = (await internalTopics(log, namespace, job)).map(({ generation }) => generation);
  return Math.max(current, ...found) + 1;
}

/** None of the tasks of any generation that there is can write any more. */
export async function shutOut(
  { log, namespace }: GenerationEdges,
  job: string,
  records: readonly ControlRecord[],
): Promise<void> {
  const topics = await internalTopics(log, namespace, job);
  const counts = await partitionCounts(log, topics);
  const tasks = topics.flatMap(({ generation, stage, topic, use }): FencedTask[] => {
    if (use !== 'commits') return [];
    const run = { namespace, job, run: LIVE, generation };
    const outputs = jobOutputs(records, run)?.topics.map((output) => output.topic) ?? [];
    const exchanges = topics.filter((one) => one.generation === generation && one.use === 'exchange');
    const written = [...outputs, ...exchanges.map((one) => one.topic)];
    return Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({
      identity: { ...run, stage, partition },
      commitTopic: commitTopic(run, stage),
      topics: written,
    }));
  });
  await fenceTasks(log, tasks);
}

/** Its internal topics and checkpoints; none of its tasks may run. */
export async function dropGeneration(
  { log, namespace, store }: GenerationEdges,
  job: string,
  generation: number,
): Promise<void> {
  const topics = (await internalTopics(log, namespace, job)).filter((one) => one.generation === generation);
  const counts = await partitionCounts(log, topics);
  // Checkpoints first: the topics say which there are.
  for (const { stage, topic, use } of topics) {
    for (let partition = 0; use === 'commits' && partition < (counts.get(topic) ?? 0); partition++) {
      const task = { namespace, job, run: LIVE, generation, stage, partition };
      await store.remove(task, await store.list(task));
    }
  }
  if (topics.length > 0) await log.admin.deleteTopics(topics.map(({ topic }) => topic));
}

interface InternalTopic {
  readonly topic: string;
  readonly generation: number;
  readonly use: string;
  readonly stage: string;
}

async function internalTopics(log: LogClient, namespace: string, job: string): Promise<readonly InternalTopic[]> {
  const prefix = `__${namespace}.${job}.${LIVE}.`;
  return (await log.admin.listTopics()).flatMap((topic) => {
    if (!topic.startsWith(prefix)) return [];
    const [generation, use, ...stage] = topic.slice(prefix.length).split('.');
    return /^\d+$/.test(generation) ? [{ topic, generation: Number(generation), use, stage: stage.join('.') }] : [];
  });
}

async function partitionCounts(log: LogClient, topics: readonly InternalTopic[]): Promise<ReadonlyMap<string, number>> {
  const described = await log.admin.describeTopics(topics.map(({ topic }) => topic));
  return new Map(described.flatMap((one) => (one === null ? [] : [[one.topic, one.partitionCount] as const])));
}
