// Owns that the internal topics of a job are those it began with: created once, their ids kept in the control log, and
// a topic that is gone or was created again stops the job instead of publishing everything a second time.

import type { ControlLog } from '#runtime/control/control-log.ts';
import type { LogAdmin, TopicSpec } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface InternalTopics {
  readonly job: string;
  readonly run: string;
  readonly generation: number;
  readonly specs: readonly TopicSpec[];
}

export interface ClaimParts {
  readonly admin: LogAdmin;
  readonly control: ControlLog;
  readonly topics: InternalTopics;
  /** Whether the checkpoint store holds checkpoints of this run of the job. */
  readonly hasCheckpoints: () => Promise<boolean>;
  readonly nowMs: number;
}

/** Creates or checks them. Error: commit-log-lost. */
export async function claimInternalTopics(parts: ClaimParts): Promise<void> {
  const { admin, control, topics, nowMs } = parts;
  const { job, run, generation, specs } = topics;
  const names = specs.map((spec) => spec.topic);
  const began = control.records.findLast(
    (record) =>
      record.kind === 'job-began' && record.job === job && record.run === run && record.generation === generation,
  );
  if (began === undefined) {
    if (await parts.hasCheckpoints()) throw lost(job, 'the control log does not know it, but its checkpoints exist');
    await admin.createTopics(specs);
    const topicIds: Record<string, string> = {};
    for (const description of await admin.describeTopics(names)) {
      if (description !== null) topicIds[description.topic] = description.topicId;
    }
    await control.append({ kind: 'job-began', job, run, generation, topicIds, atMs: nowMs });
    return;
  }
  if (began.kind !== 'job-began') return;
  const now = await admin.describeTopics(names);
  names.forEach((name, index) => {
    const description = now[index];
    const was = began.topicIds[name];
    if (description === null) throw lost(job, `internal topic '${name}' is gone`);
    if (was !== undefined && was !== description.topicId) throw lost(job, `internal topic '${name}' was created again`);
  });
}

function lost(job: string, what: string): StreamError {
  return new StreamError(
    'commit-log-lost',
    `job ${job} ran before, but ${what}: nothing proves what it already published`,
    'restore the topic, or purge the job and start it anew (its output would be published again)',
  );
}
