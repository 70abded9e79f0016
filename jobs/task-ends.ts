// Owns finding out how the tasks of a job ended, none of which runs: what each committed last, by which version, and whether
// a checkpoint holds the state behind that. Reads the logs and the store: what threads said may be older.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import { decodeManifest, isManifestName } from '#checkpoint/manifest.ts';
import { commitTopic } from '#jobs/topics.ts';
import type { LogClient, LogReader } from '#runtime/log/contract.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { type CommitLogEntry, readCommitLog } from '#runtime/task/commit-log.ts';
import type { Entry } from '#runtime/task/entry.ts';

export interface TaskEndsParts {
  readonly log: LogClient;
  readonly reader: LogReader;
  readonly store: CheckpointStore;
  readonly clock: Clock;
  readonly namespace: string;
}

export interface TaskEnd {
  readonly task: TaskAssignment;
  /** Null: it never began. */
  readonly last: Entry | null;
  /** Another version may go on: a checkpoint is at its last entry, or only hand-overs are behind it. */
  readonly clean: boolean;
}

/** Tasks that are looked at together. */
const AT_ONCE = 8;
const ENTRY_DIGITS = 16;

/** In the order of the tasks. Errors of the log and the store. */
export async function taskEnds(
  parts: TaskEndsParts,
  tasks: readonly TaskAssignment[],
  signal: AbortSignal,
): Promise<readonly TaskEnd[]> {
  const names = [...new Set(tasks.map((task) => topicOf(parts, task)))];
  const described = await parts.log.admin.describeTopics(names);
  const ids = new Map(described.flatMap((one) => (one === null ? [] : [[one.topic, one.topicId] as const])));
  const ends: TaskEnd[] = [];
  for (let at = 0; at < tasks.length; at += AT_ONCE) {
    const some = tasks.slice(at, at + AT_ONCE).map((task) => taskEnd(parts, task, ids, signal));
    ends.push(...(await Promise.all(some)));
  }
  return ends;
}

async function taskEnd(
  parts: TaskEndsParts,
  task: TaskAssignment,
  ids: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<TaskEnd> {
  const topic = topicOf(parts, task);
  const topicId = ids.get(topic);
  if (topicId === undefined) return { task, last: null, clean: true };
  const { clock, log, reader } = parts;
  const { entries } = await readCommitLog(
    { log, reader, clock, signal },
    { topic, partition: task.partition, topicId },
  );
  const last = entries.at(-1)?.entry ?? null;
  return { task, last, clean: last === null || (await isClean(parts, task, entries)) };
}

async function isClean(
  { namespace, store }: TaskEndsParts,
  task: TaskAssignment,
  entries: readonly CommitLogEntry[],
): Promise<boolean> {
  const identity = { namespace, ...task };
  const from = entries.findLastIndex(({ entry }) => entry.kind !== 'handover');
  const candidates = new Map(entries.slice(Math.max(0, from)).map((one) => [one.entry.number, one.chainHash]));
  const names = (await store.list(identity)).filter(isManifestName).sort().reverse();
  for (const name of names) {
    const chainHash = candidates.get(Number(name.slice(0, ENTRY_DIGITS)));
    if (chainHash === undefined) continue;
    try {
      const manifest = decodeManifest(name, await store.read(identity, name), identity);
      if (manifest.chainHash === chainHash) return true;
    } catch {
      // One that cannot be read is none.
    }
  }
  return false;
}

function topicOf({ namespace }: TaskEndsParts, { generation, job, run, stage }: TaskAssignment): string {
  return commitTopic({ namespace, job, run, generation }, stage);
}
