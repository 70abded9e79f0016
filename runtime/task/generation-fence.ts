// Owns shutting out every task of older generations before the first one of a new generation writes: a process that has
// not heard of it must not publish beside it. Whose tasks they were the caller knows.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { LogClient, TopicPartition } from '#runtime/log/contract.ts';
import { transactionalId } from '#runtime/task/task-environment.ts';

export interface FencedTask {
  readonly identity: TaskIdentity;
  readonly commitTopic: string;
  /** Other topics that the task may have written; those that are gone do not matter. */
  readonly topics: readonly string[];
}

/** Tasks that are shut out at a time. */
const AT_ONCE = 8;

/** Initialises each id with -1/-1, whatever became of the task. May be repeated. Errors of the log. */
export async function fenceTasks(log: LogClient, tasks: readonly FencedTask[]): Promise<void> {
  const names = [...new Set(tasks.flatMap(({ topics }) => topics))];
  const described = await log.admin.describeTopics(names);
  const counts = new Map(names.map((name, at) => [name, described[at]?.partitionCount ?? 0]));
  for (let at = 0; at < tasks.length; at += AT_ONCE) {
    await Promise.all(tasks.slice(at, at + AT_ONCE).map((task) => fenceTask(log, task, counts)));
  }
}

async function fenceTask(log: LogClient, task: FencedTask, counts: ReadonlyMap<string, number>): Promise<void> {
  const { identity, commitTopic, topics } = task;
  const outputs: TopicPartition[] = topics.flatMap((topic) =>
    Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
  );
  const writer = log.writer(transactionalId(identity), [
    { topic: commitTopic, partition: identity.partition },
    ...outputs,
  ]);
  try {
    await writer.fence();
  } finally {
    await writer.close();
  }
}
