// Owns what the genesis entry fixes and how it is compared with the world at every later start: topics, their ids and
// partition counts, start offsets, writers; and what is refused when the past cannot be told from it.

import type { CheckpointManifest } from '#checkpoint/contract.ts';
import type { LogClient, TopicDescription, TopicPartition } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { CommitLogContent, CommitLogEntry } from '#runtime/task/commit-log.ts';
import type { Entry, Genesis } from '#runtime/task/entry.ts';
import { type TaskEnvironment, type TaskInput, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';

/** Describes every topic of the task. Errors: topic-unknown, topic-recreated, topic-partitions-changed. */
export async function describeTaskTopics(
  environment: TaskEnvironment,
  plan: TaskPlan,
): Promise<ReadonlyMap<string, TopicDescription>> {
  const names = [...new Set([plan.commitTopic, plan.input.topic, ...plan.topics])];
  const descriptions = await environment.log.admin.describeTopics(names);
  const found = new Map<string, TopicDescription>();
  names.forEach((name, index) => {
    const description = descriptions[index];
    if (description === null) {
      throw new StreamError(
        'topic-unknown',
        `task ${taskName(plan.identity)}: topic '${name}' does not exist`,
        'create the topic, or correct its name in the job',
      );
    }
    checkTopicId(plan, description);
    found.set(name, description);
  });
  const commits = found.get(plan.commitTopic) as TopicDescription;
  if (plan.identity.partition >= commits.partitionCount) {
    throw new StreamError(
      'topic-partitions-changed',
      `task ${taskName(plan.identity)}: commit log '${commits.topic}' has ${commits.partitionCount} partitions, as many as the stage had tasks when the job began`,
      'what the stage reads has grown: set its partition count back, or give the job another name and other output topics',
    );
  }
  const { topic, partition } = plan.input;
  const input = found.get(topic) as TopicDescription;
  if (partition >= input.partitionCount) {
    throw new StreamError(
      'topic-partitions-changed',
      `task ${taskName(plan.identity)}: topic '${topic}' has ${input.partitionCount} partitions`,
      `partition ${partition} is not among them: the topic was created again, or another one that the job reads has grown; set the partition counts back`,
    );
  }
  return found;
}

// An empty commit log of a topic that was created again would look like that of a task that never ran.
function checkTopicId({ identity, topicIds }: TaskPlan, { topic, topicId }: TopicDescription): void {
  const began = topicIds[topic];
  if (began === undefined || began === topicId) return;
  throw new StreamError(
    'topic-recreated',
    `task ${taskName(identity)}: topic '${topic}' was deleted and created again (id ${began}, now ${topicId})`,
    'restore it from a backup; to begin anew, give the job another name and other output topics',
  );
}

/** Partitions of every topic the task writes beside its commit log. */
export function writtenPartitions(
  { input, topics }: TaskPlan,
  described: ReadonlyMap<string, TopicDescription>,
): TopicPartition[] {
  const written = topics.filter((topic) => topic !== input.topic);
  return written.flatMap((topic) => {
    const count = described.get(topic)?.partitionCount ?? 0;
    return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
  });
}

/** An empty commit log is that of a first start only when nothing says that the task ran. Error: commit-log-lost. */
export function refuseLostLog(
  { commitTopic, identity }: TaskPlan,
  { end, logStart }: CommitLogContent,
  storedCheckpoints: number,
): void {
  if (logStart === 0n && storedCheckpoints === 0) return;
  throw new StreamError(
    'commit-log-lost',
    `task ${taskName(identity)}: its commit log ${commitTopic} holds no entry, but it ran before (log start ${logStart}, end ${end}, ${storedCheckpoints} checkpoints)`,
    'restore the commit log topic from a backup; to begin anew, give the job another name and other output topics',
  );
}

/** There is no way back to the state of the last entry. */
export function checkpointLost({ identity }: TaskPlan, first: Entry): StreamError {
  return new StreamError(
    'checkpoint-lost',
    `task ${taskName(identity)}: no usable checkpoint, and the commit log begins at entry ${first.number}`,
    'give the process the checkpoint directory it ran with; to begin anew, give the job another name and other output topics',
  );
}

/** The first offset a task reads. */
export async function resolveStart(log: LogClient, input: TaskInput): Promise<bigint> {
  const { topic, partition, start } = input;
  const at = start === 'latest' ? 'last-stable' : start;
  const [offset] = await log.admin.listOffsets([{ topic, partition, at }]);
  return offset;
}

/** Compares what is now with what entry 0 fixed. Errors: topic-recreated, topic-partitions-changed. */
export function checkGenesis(
  plan: TaskPlan,
  manifest: CheckpointManifest | null,
  entries: readonly CommitLogEntry[],
  now: Genesis,
  inputTopic: TopicDescription,
): void {
  const name = taskName(plan.identity);
  const last = entries[entries.length - 1].entry;
  const input = last.inputs[0];
  if (input.topicId !== inputTopic.topicId) {
    throw new StreamError(
      'topic-recreated',
      `task ${name}: topic '${input.topic}' was deleted and created again (id ${input.topicId}, now ${inputTopic.topicId})`,
      'offsets of the old topic mean nothing in the new one: to begin anew, give the job another name and other output topics',
    );
  }
  const saved = (manifest?.task as { readonly genesis?: Genesis } | null)?.genesis;
  const genesis = saved ?? entries.find(({ entry }) => entry.kind === 'genesis')?.entry.genesis;
  if (genesis === undefined) return;
  for (const [topic, count] of Object.entries(genesis.partitionCounts)) {
    if (now.partitionCounts[topic] === undefined || now.partitionCounts[topic] === count) continue;
    throw new StreamError(
      'topic-partitions-changed',
      `task ${name}: topic '${topic}' had ${count} partitions when the job began and has ${now.partitionCounts[topic]}`,
      'keys have moved between partitions: to begin anew, give the job another name and other output topics',
    );
  }
  if (genesis.writers !== now.writers) {
    throw new StreamError(
      'topic-partitions-changed',
      `task ${name}: its exchange had ${genesis.writers} writers when the job began and has ${now.writers}`,
      'the source changed its partition count: to begin anew, give the job another name and other output topics',
    );
  }
}
