// Owns what happens to a job before its tasks start: load, compile, look at the source topic, create what is missing,
// compare what must not have changed, and list its tasks.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import type { Plan } from '#jobs/plan.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import { describeTopics, type RunIdentity, type SourceTopic, stageTaskCount } from '#jobs/topics.ts';
import { jobVersion } from '#jobs/version.ts';
import type { ControlLog } from '#runtime/control/control-log.ts';
import { claimInternalTopics } from '#runtime/control/internal-topics.ts';
import type { LogAdmin } from '#runtime/log/contract.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { StreamError } from '#runtime/std/errors.ts';
import packageJson from '../package.json' with { type: 'json' };

export interface PrepareParts {
  readonly namespace: string;
  readonly admin: LogAdmin;
  readonly control: ControlLog;
  readonly store: CheckpointStore;
  readonly nowMs: number;
  /** Partitions to create a missing source topic with, when this installation writes it; null: it must exist. */
  readonly createSource: number | null;
}

export interface PreparedJob {
  readonly assignment: JobAssignment;
  readonly plan: Plan;
  readonly parallelism: number;
  readonly tasks: readonly TaskAssignment[];
  /** The fault that stops the job when its source was created again or changed its partitions; null: all is well. */
  checkSource(admin: LogAdmin): Promise<StreamError | null>;
}

/** The first run of a job, until backfills and new generations exist. */
const LIVE = { run: 'live', generation: 0 };

export async function prepareJob(loaded: LoadedJob, parts: PrepareParts): Promise<PreparedJob> {
  const { configuration, compiled } = loaded;
  const { name, modulePath, options } = configuration;
  const { plan } = compiled;
  const run: RunIdentity = { namespace: parts.namespace, job: name, ...LIVE };
  const source = await sourceTopic(loaded, parts);
  await createTopics(plan, run, source, parts);
  const version = jobVersion({
    plan,
    modulePath,
    options,
    engineVersion: packageJson.version,
    nodeMajor: Number(process.versions.node.split('.')[0]),
  });
  const tasks: TaskAssignment[] = plan.stages.flatMap((stage) =>
    Array.from({ length: stageTaskCount(stage, source) }, (_, partition) => ({
      job: name,
      ...LIVE,
      stage: stage.id,
      partition,
    })),
  );
  return {
    assignment: { configuration, version, source },
    plan,
    parallelism: compiled.settings.parallelism,
    tasks,
    checkSource: (admin) => checkSource(name, plan.source.topic, source, admin),
  };
}

async function sourceTopic(loaded: LoadedJob, parts: PrepareParts): Promise<SourceTopic> {
  const { admin, createSource } = parts;
  const { topic } = loaded.compiled.plan.source;
  if (createSource !== null) await admin.createTopics([{ topic, partitionCount: createSource }]);
  const [description] = await admin.describeTopics([topic]);
  if (description === null) {
    throw new StreamError(
      'topic-unknown',
      `job ${loaded.configuration.name}: source topic '${topic}' does not exist`,
      `create it with the partitions you need, or name another in source.topic of ${loaded.configuration.modulePath}`,
    );
  }
  const config = await admin.describeConfig(topic);
  return {
    partitionCount: description.partitionCount,
    maxMessageBytes: Number(config['max.message.bytes'] ?? 1_048_588),
  };
}

async function createTopics(plan: Plan, run: RunIdentity, source: SourceTopic, parts: PrepareParts): Promise<void> {
  const needs = describeTopics(plan, run, source);
  const internal = needs.filter((need) => need.use === 'commits' || need.use === 'exchange');
  const outer = needs.filter((need) => need.create && !internal.includes(need));
  await parts.admin.createTopics(outer.map(({ topic, partitionCount, config }) => ({ topic, partitionCount, config })));
  const specs = internal.map(({ topic, partitionCount, config }) => ({ topic, partitionCount, config }));
  await claimInternalTopics({
    admin: parts.admin,
    control: parts.control,
    topics: { job: run.job, run: run.run, generation: run.generation, specs },
    hasCheckpoints: () => hasCheckpoints(plan, run, source, parts.store),
    nowMs: parts.nowMs,
  });
}

async function hasCheckpoints(
  plan: Plan,
  run: RunIdentity,
  source: SourceTopic,
  store: CheckpointStore,
): Promise<boolean> {
  for (const stage of plan.stages) {
    for (let partition = 0; partition < stageTaskCount(stage, source); partition++) {
      const names = await store.list({ ...run, stage: stage.id, partition });
      if (names.some((file) => file.endsWith('.manifest.json'))) return true;
    }
  }
  return false;
}

async function checkSource(
  job: string,
  topic: string,
  source: SourceTopic,
  admin: LogAdmin,
): Promise<StreamError | null> {
  const [now] = await admin.describeTopics([topic]);
  if (now !== null && now.partitionCount === source.partitionCount) return null;
  return new StreamError(
    'topic-partitions-changed',
    `job ${job}: source topic '${topic}' had ${source.partitionCount} partitions and has ${now?.partitionCount ?? 'none (it was deleted)'}`,
    'records of the new partitions are not read yet: take a savepoint and open a new generation, or create the topic as it was',
  );
}
