// Owns the way from a compiled job to the tasks that run it: which tasks there are, what each reads and writes, and
// how its operators are made. Plain composition; nothing is opened here.

import { instantiate } from '#jobs/instantiate.ts';
import { type CompiledJob, type SourcePlan, type StagePlan, sourceOf, writersOf } from '#jobs/plan.ts';
import { stageOutputs, writerTopics } from '#jobs/stage-shape.ts';
import { commitTopic, inputTopic, type RunIdentity, type SourceTopics, stageTaskCount } from '#jobs/topics.ts';
import type { TaskOrigin } from '#runtime/task/origin.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import type { VersionParts } from '#runtime/task/task-version.ts';

export interface TaskPlanOptions {
  readonly job: CompiledJob;
  /** jobVersion(…) of the job. */
  readonly version: string;
  /** What the version is made of. @default not known */
  readonly versionParts?: VersionParts;
  readonly run: RunIdentity;
  readonly sources: SourceTopics;
  /** With what a task of a new generation begins. @default with nothing */
  readonly originOf?: (stage: string, partition: number) => TaskOrigin | null;
  /** Of sources that have grown since; see TaskPlan. */
  readonly asBegan?: Readonly<Record<string, number>>;
  /** Ids of the topics that the job began with; those that are not named here may be any. @default {} */
  readonly topicIds?: Readonly<Record<string, string>>;
}

/** The plans of all tasks of a job: stage by stage, partition by partition. */
export function taskPlans(options: TaskPlanOptions): TaskPlan[] {
  const plans: TaskPlan[] = [];
  for (const stage of options.job.plan.stages) {
    const count = stageTaskCount(options.job.plan, stage, options.sources);
    for (let partition = 0; partition < count; partition++) plans.push(taskPlan(options, stage, partition));
  }
  return plans;
}

/** Consumer group under which a job publishes what it has read of a source. */
export function offsetsGroup(source: SourcePlan, { namespace, job }: Pick<RunIdentity, 'namespace' | 'job'>): string {
  return source.consumerGroup ?? `${namespace}.${job}`;
}

export function taskPlan(options: TaskPlanOptions, stage: StagePlan, partition: number): TaskPlan {
  const { job, run, version, versionParts } = options;
  const origin = options.originOf?.(stage.id, partition) ?? null;
  const { plan } = job;
  const topic = inputTopic(plan, run, stage);
  const fromSource = stage.input.kind === 'source';
  const outputs = stageOutputs(plan, stage, run).map((output) => output.topic);
  const beside = writerTopics(plan, stage, run);
  return {
    identity: { ...run, stage: stage.id, partition },
    version,
    ...(versionParts === undefined ? {} : { versionParts }),
    ...(origin === null ? {} : { origin }),
    ...(options.asBegan === undefined ? {} : { asBegan: options.asBegan }),
    input: {
      topic,
      partition,
      start: fromSource ? sourceOf(plan, stage).start : 'earliest',
      internal: !fromSource,
    },
    commitTopic: commitTopic(run, stage.id),
    topics: [...new Set([topic, ...outputs, ...beside])],
    topicIds: options.topicIds ?? {},
    writers: writerCount(options, stage),
    offsetsGroup: fromSource && run.run === 'live' ? offsetsGroup(sourceOf(plan, stage), run) : null,
    program: () => instantiate(job, { stageId: stage.id, run }),
  };
}

function writerCount(options: TaskPlanOptions, stage: StagePlan): number {
  const { plan } = options.job;
  return writersOf(plan, stage).reduce((sum, writer) => sum + stageTaskCount(plan, writer, options.sources), 0);
}
