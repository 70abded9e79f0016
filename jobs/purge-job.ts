// Owns deleting what a job has beside its output: internal topics and checkpoints of all its generations, which are found
// by their names. What it published, and its source, are its users'. Invariant: it may be cut off anywhere and done again.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { LogAdmin } from '#runtime/log/contract.ts';

/** None of its tasks may run. */
export async function purgeJob(job: string, namespace: string, admin: LogAdmin, store: CheckpointStore): Promise<void> {
  const prefix = `__${namespace}.${job}.`;
  const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(prefix));
  // Checkpoints first: the topics say which there are.
  for (const description of await admin.describeTopics(topics)) {
    if (description === null) continue;
    const [run, generation, use, ...stage] = description.topic.slice(prefix.length).split('.');
    if (use !== 'commits') continue;
    for (let partition = 0; partition < description.partitionCount; partition++) {
      const task = { namespace, job, run, generation: Number(generation), stage: stage.join('.'), partition };
      await store.remove(task, await store.list(task));
    }
  }
  await admin.deleteTopics(topics);
}
