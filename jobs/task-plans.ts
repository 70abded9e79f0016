// Owns the way from a compiled job to the tasks that run it: which tasks there are, what each reads and writes, and
// how its operators are made. Plain composition; nothing is opened here.

import { instantiate } from '#jobs/instantiate.ts';
import type { CompiledJob, StagePlan } from '#jobs/plan.ts';
import {
  commitTopic,
  exchangeTopic,
  inputTopic,
  type RunIdentity,
  type SourceTopic,
  stageTaskCount,
} from '#jobs/topics.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';

export interface TaskPlanOptions {
  readonly job: CompiledJob;
  /** jobVersion(…) of the job. */
  readonly version: string;
  readonly run: RunIdentity;
  readonly source: Pick<SourceTopic, 'partitionCount'>;
}

/** The plans of all tasks of a job: stage by stage, partition by partition. */
export function taskPlans(options: TaskPlanOptions): TaskPlan[] {
  const plans: TaskPlan[] = [];
  for (const stage of options.job.plan.stages) {
    const count = stageTaskCount(stage, options.source);
    for (let partition = 0; partition < count; partition++) plans.push(taskPlan(options, stage, partition));
  }
  return plans;
}

export function taskPlan(options: TaskPlanOptions, stage: StagePlan, partition: number): TaskPlan {
  const { job, run, source, version } = options;
  const { plan } = job;
  const topic = inputTopic(plan, run, stage);
  const fromSource = stage.input.kind === 'source';
  return {
    identity: { ...run, stage: stage.id, partition },
    version,
    input: {
      topic,
      partition,
      start: fromSource ? plan.source.start : 'earliest',
      internal: !fromSource,
    },
    commitTopic: commitTopic(run, stage.id),
    topics: stageTopics(options, stage),
    writers: writerCount(options, stage),
    offsetsGroup: fromSource && run.run === 'live' ? `${run.namespace}.${run.job}` : null,
    program: (partitionCounts) => instantiate(job, { stageId: stage.id, partition, run, source, partitionCounts }),
  };
}

/** Input first, then what the stage writes. */
function stageTopics(options: TaskPlanOptions, stage: StagePlan): string[] {
  const { plan } = options.job;
  const topics = new Set([inputTopic(plan, options.run, stage)]);
  for (const step of stage.steps) {
    if (step.kind === 'exchange') topics.add(exchangeTopic(options.run, step.to));
    else if (step.kind === 'topic') topics.add(step.topic);
  }
  if (stage.steps.some((step) => step.kind === 'window' && step.aggregate === 'stats'))
    topics.add(plan.source.lateTopic);
  if (stage.input.kind === 'source' && plan.source.badRecords === 'dead-letter')
    topics.add(plan.source.deadLetterTopic);
  return [...topics];
}

function writerCount(options: TaskPlanOptions, stage: StagePlan): number {
  const { input } = stage;
  if (input.kind === 'source') return 0;
  const from = options.job.plan.stages.find((other) => other.id === input.from);
  return from === undefined ? 0 : stageTaskCount(from, options.source);
}
