// Owns that the internal topics of a job are those it began with: created once, their ids kept in the control log, and
// a topic that is gone or was created again stops the job instead of publishing everything a second time. Only reads the
// control log: whoever is not its owner yet may be refused here without a trace.

import { type ControlRecord, controlTopic } from '#runtime/control/control-log.ts';
import { BEGIN_ANEW, sourceFault, sourcesFault } from '#runtime/control/source-identity.ts';
import type { LogAdmin, TopicDescription, TopicSpec } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface JobGeneration {
  readonly namespace: string;
  readonly job: string;
  readonly run: string;
  readonly generation: number;
}

export type JobBegan = Extract<ControlRecord, { kind: 'job-began' }>;

export interface InternalTopicsParts {
  readonly admin: LogAdmin;
  /** The control log. */
  readonly records: readonly ControlRecord[];
  readonly generation: JobGeneration;
  readonly specs: readonly TopicSpec[];
  readonly sources: readonly TopicDescription[];
  /** Whether the checkpoint store holds checkpoints of this run of the job. */
  readonly hasCheckpoints: () => Promise<boolean>;
  readonly nowMs: number;
}

/** What the control log says of a generation of a job; null: it never began. */
export function jobBegan(records: readonly ControlRecord[], { job, run, generation }: JobGeneration): JobBegan | null {
  for (const record of records.toReversed()) {
    if (record.kind === 'job-purged' && record.job === job) return null;
    if (record.kind !== 'job-began' || record.job !== job) continue;
    if (record.run === run && record.generation === generation) return record;
  }
  return null;
}

/** The sources a job began with. */
export function beganSources({ source, sources }: JobBegan): readonly TopicDescription[] {
  return sources ?? (source === undefined ? [] : [source]);
}

/** Ids of all topics that must stay what they were. */
export function beganTopicIds(began: JobBegan): Readonly<Record<string, string>> {
  const sources = beganSources(began).map(({ topic, topicId }) => [topic, topicId] as const);
  return { ...began.topicIds, ...Object.fromEntries(sources) };
}

/**
 * Checks them and the sources, or creates those of a job that never began; gives what the control log says of them, or
 * has to say from now on. Errors: commit-log-lost, topic-recreated, topic-partitions-changed, job-invalid.
 */
export async function prepareInternalTopics(parts: InternalTopicsParts): Promise<JobBegan> {
  const { admin, records, specs, sources, nowMs } = parts;
  const { namespace, job, run, generation } = parts.generation;
  const names = specs.map((spec) => spec.topic);
  const began = jobBegan(records, parts.generation);
  if (began === null) {
    if (await parts.hasCheckpoints()) {
      const topic = controlTopic(namespace);
      throw lost(topic, `job ${job} has checkpoints, but control topic '${topic}' does not know that it ever ran`);
    }
    await admin.createTopics(specs);
    const topicIds: Record<string, string> = {};
    for (const description of await admin.describeTopics(names)) {
      if (description !== null) topicIds[description.topic] = description.topicId;
    }
    return { kind: 'job-began', job, run, generation, topicIds, sources, atMs: nowMs };
  }
  const fault = sourcesFault(job, beganSources(began), sources);
  if (fault !== null) throw fault;
  const internal = internalFault(job, began.topicIds, names, await admin.describeTopics(names));
  if (internal !== null) throw internal;
  return began;
}

/** What keeps a job from going on with its internal topics as they are now, or null when all is well. */
function internalFault(
  job: string,
  topicIds: JobBegan['topicIds'],
  names: readonly string[],
  now: readonly (TopicDescription | null)[],
): StreamError | null {
  for (const [index, name] of names.entries()) {
    const topicId = now[index]?.topicId;
    const was = topicIds[name];
    const ran = `job ${job} ran before, but its internal topic '${name}'`;
    if (topicId === undefined && was === undefined) return unknownStage(job, name);
    if (topicId === undefined) return lost(name, `${ran} is gone`);
    if (was !== undefined && was !== topicId) return lost(name, `${ran} was deleted and created again`);
  }
  return null;
}

// A stage under another id would begin at the start of the source and publish everything again.
function unknownStage(job: string, topic: string): StreamError {
  return new StreamError(
    'version-mismatch',
    `job ${job} has another stage than when it began: internal topic '${topic}' is not one of its topics`,
    `give its operators the ids they had; ${BEGIN_ANEW}`,
  );
}

/** Looks again, while the job runs, at the topics it began with; null when all is well. */
export async function topicsFault(admin: LogAdmin, began: JobBegan): Promise<StreamError | null> {
  const names = Object.keys(began.topicIds);
  const sources = beganSources(began);
  const now = await admin.describeTopics([...names, ...sources.map(({ topic }) => topic)]);
  const fault = sources
    .map((was, at) => sourceFault(began.job, was, now[names.length + at]))
    .find((one) => one !== null);
  return fault ?? internalFault(began.job, began.topicIds, names, now);
}

function lost(topic: string, what: string): StreamError {
  return new StreamError(
    'commit-log-lost',
    `${what}: nothing proves what was already published`,
    `restore topic '${topic}' from a backup; ${BEGIN_ANEW}`,
  );
}
