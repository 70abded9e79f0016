// Owns what happens to a job before its tasks start: look at the source topics, compare what must not have changed,
// create what is missing, list its tasks. Everything that can be refused is refused before the installation is claimed;
// `claim` only writes down what was found.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import { isManifestName } from '#checkpoint/manifest.ts';
import { type Savepoint, Savepoints } from '#checkpoint/savepoint.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import type { Plan } from '#jobs/plan.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import {
  describeTopics,
  type RunIdentity,
  type SourceTopic,
  type SourceTopics,
  stageTaskCount,
  type TopicNeed,
} from '#jobs/topics.ts';
import { jobVersion, jobVersionParts } from '#jobs/version.ts';
import type { ControlAppender, ControlRecord } from '#runtime/control/control-log.ts';
import {
  beganSources,
  beganTopicIds,
  type JobBegan,
  jobBegan,
  prepareInternalTopics,
  topicsFault,
} from '#runtime/control/internal-topics.ts';
import { jobOutputs, outputsFault, type PreparedOutputs, prepareOutputTopics } from '#runtime/control/output-topics.ts';
import { sourceFault } from '#runtime/control/source-identity.ts';
import type { LogAdmin, TopicDescription, TopicSpec } from '#runtime/log/contract.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { StreamError } from '#runtime/std/errors.ts';
import packageJson from '../package.json' with { type: 'json' };

export interface PrepareParts {
  readonly namespace: string;
  readonly admin: LogAdmin;
  /** The control log. */
  readonly records: readonly ControlRecord[];
  readonly store: CheckpointStore;
  readonly nowMs: number;
  /** Partitions to create a missing source topic with, when this installation writes it; null: it must exist. */
  readonly createSource: number | null;
  readonly generation: number;
  /** The savepoint that it began with; null: none. */
  readonly savepoint: string | null;
  /** Sources that have grown are read as they were when it began, so that it can give a savepoint. @default false */
  readonly asBegan?: boolean;
}

export interface PreparedJob {
  readonly assignment: JobAssignment;
  readonly plan: Plan;
  readonly tasks: readonly TaskAssignment[];
  /** What the job published before and is gone; it goes on without. */
  readonly losses: readonly StreamError[];
  /** Writes down what the job begins with and publishes to; looked at again, because another process may have. */
  claim(control: ControlAppender): Promise<void>;
  /** The fault that stops the job when one of its topics is gone or another than it began with. */
  checkTopics(admin: LogAdmin): Promise<StreamError | null>;
}

/** Kafka's default of max.message.bytes. */
const MAX_MESSAGE_BYTES = 1_048_588;

/** The run of a job that is no backfill. */
export const LIVE = 'live';

export async function prepareJob(loaded: LoadedJob, parts: PrepareParts): Promise<PreparedJob> {
  const { configuration, compiled } = loaded;
  const { name } = configuration;
  const { plan } = compiled;
  const { generation, namespace } = parts;
  const run: RunIdentity = { namespace, job: name, run: LIVE, generation };
  const of = await describeSources(loaded, run, parts);
  const { sources } = of;
  const { began, outputs, losses } = await prepareTopics(plan, run, of, parts);
  const { version, versionParts } = versionOf(loaded);
  const tasks: TaskAssignment[] = plan.stages.flatMap((stage) =>
    Array.from({ length: stageTaskCount(plan, stage, sources) }, (_, partition) => ({
      job: name,
      run: LIVE,
      generation,
      stage: stage.id,
      partition,
    })),
  );
  const origin = await originOf(parts, name, tasks);
  const more = { generation, origin, ...(of.asBegan && { asBegan: of.asBegan }) };
  return {
    assignment: { configuration, version, versionParts, sources, topicIds: beganTopicIds(began), ...more },
    plan,
    tasks,
    losses,
    async claim(control) {
      const { records } = control;
      const now = await prepareTopics(plan, run, of, { ...parts, records });
      if (jobBegan(records, run) === null) await control.append(now.began);
      if (jobOutputs(records, run) !== now.outputs) await control.append(now.outputs);
    },
    checkTopics: async (admin) => (of.asBegan ? null : await topicsFault(admin, began)) ?? outputsFault(admin, outputs),
  };
}

/** The version that a job has here. Error: job-invalid when its module cannot be read. */
export function versionOf({ compiled, configuration }: LoadedJob): Pick<JobAssignment, 'version' | 'versionParts'> {
  const decides = {
    plan: compiled.plan,
    modulePath: configuration.modulePath,
    options: compiled.optionsInPlan ? null : configuration.options,
    engineVersion: packageJson.version,
    nodeMajor: Number(process.versions.node.split('.')[0]),
  };
  return { version: jobVersion(decides), versionParts: jobVersionParts(decides) };
}

// One that was deleted is not missed when every task has a checkpoint of its own: it has begun.
async function originOf(
  { namespace, savepoint, store }: PrepareParts,
  job: string,
  tasks: readonly TaskAssignment[],
): Promise<Savepoint | null> {
  if (savepoint === null) return null;
  try {
    return await new Savepoints(store, { namespace, job }).read(savepoint);
  } catch (error) {
    const gone = error instanceof StreamError && error.code === 'savepoint-unknown';
    if (gone && (await haveAllBegun(store, namespace, tasks))) return null;
    throw error;
  }
}

/** Whether every task has a checkpoint. */
export async function haveAllBegun(
  store: CheckpointStore,
  namespace: string,
  tasks: readonly TaskAssignment[],
): Promise<boolean> {
  for (const task of tasks) {
    if (!(await store.list({ namespace, ...task })).some(isManifestName)) return false;
  }
  return true;
}

async function describeSources(loaded: LoadedJob, run: RunIdentity, parts: PrepareParts): Promise<Sources> {
  const topics: TopicDescription[] = [];
  const sources: Record<string, SourceTopic> = {};
  const asBegan: Record<string, number> = {};
  const began = parts.asBegan ? jobBegan(parts.records, run) : null;
  for (const name of new Set(loaded.compiled.plan.sources.map(({ topic }) => topic))) {
    const now = await describeSource(name, loaded, run, parts);
    const was = began === null ? undefined : beganSources(began).find((source) => source.topic === name);
    const topic = was !== undefined && hasGrown(was, now) ? was : now;
    if (topic !== now) asBegan[name] = topic.partitionCount;
    const config = await parts.admin.describeConfig(name);
    const maxMessageBytes = Number(config['max.message.bytes'] ?? MAX_MESSAGE_BYTES);
    topics.push(topic);
    sources[name] = { partitionCount: topic.partitionCount, maxMessageBytes };
  }
  return { topics, sources, ...(Object.keys(asBegan).length > 0 && { asBegan }) };
}

function hasGrown(was: TopicDescription, now: TopicDescription): boolean {
  return was.topicId === now.topicId && now.partitionCount > was.partitionCount;
}

async function describeSource(
  topic: string,
  loaded: LoadedJob,
  run: RunIdentity,
  parts: PrepareParts,
): Promise<TopicDescription> {
  const { admin, records, createSource } = parts;
  const began = jobBegan(records, run);
  if (createSource !== null && began === null) await admin.createTopics([{ topic, partitionCount: createSource }]);
  const [description] = await admin.describeTopics([topic]);
  if (description !== null) return description;
  const was = began === null ? undefined : beganSources(began).find((source) => source.topic === topic);
  if (was !== undefined) throw sourceFault(run.job, was, null);
  throw new StreamError(
    'topic-unknown',
    `job ${loaded.configuration.name}: source topic '${topic}' does not exist`,
    `create it with the partitions you need, or name another in source.topic of ${loaded.configuration.modulePath}`,
  );
}

interface PreparedTopics extends PreparedOutputs {
  readonly began: JobBegan;
}

interface Sources {
  readonly topics: readonly TopicDescription[];
  readonly sources: SourceTopics;
  /** Of those that have grown. */
  readonly asBegan?: Readonly<Record<string, number>>;
}

/** What the job began with is checked before anything is made: a refusal leaves nothing behind. */
async function prepareTopics(plan: Plan, run: RunIdentity, of: Sources, parts: PrepareParts): Promise<PreparedTopics> {
  const { admin, records, store, nowMs } = parts;
  const { sources, topics } = of;
  const needs = describeTopics(plan, run, sources);
  const internal = needs.filter((need) => need.use === 'commits' || need.use === 'exchange');
  const outer = needs.filter((need) => need.create && !internal.includes(need));
  const began = await prepareInternalTopics({
    admin,
    records,
    generation: run,
    specs: internal.map(specOf),
    sources: topics,
    hasCheckpoints: () => hasCheckpoints(plan, run, sources, store),
    nowMs,
  });
  const outputs = await prepareOutputTopics({ admin, records, generation: run, specs: outer.map(specOf), nowMs });
  return { began, ...outputs };
}

function specOf({ topic, partitionCount, config }: TopicNeed): TopicSpec {
  return { topic, partitionCount, config };
}

async function hasCheckpoints(
  plan: Plan,
  run: RunIdentity,
  sources: SourceTopics,
  store: CheckpointStore,
): Promise<boolean> {
  for (const stage of plan.stages) {
    for (let partition = 0; partition < stageTaskCount(plan, stage, sources); partition++) {
      const names = await store.list({ ...run, stage: stage.id, partition });
      if (names.some(isManifestName)) return true;
    }
  }
  return false;
}
