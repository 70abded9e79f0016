// Owns what a deploy would do, found before anything stops: which state is kept, added and dropped, by operator; whether
// the tasks hand over to the new version where they are, or begin anew from a savepoint; what is refused, and why. Pure.

import type { Savepoint } from '#checkpoint/savepoint.ts';
import { planGeneration } from '#jobs/generations.ts';
import type { CompiledJob, Plan, StagePlan } from '#jobs/plan.ts';
import { headCarriesSamples } from '#jobs/stage-shape.ts';
import {
  differencesFault,
  type StateDifferences,
  savedStates,
  stateDifferences,
  stateShapes,
} from '#jobs/state-shapes.ts';
import { type RunIdentity, type SourceTopics, stageTaskCount } from '#jobs/topics.ts';
import type { StreamError } from '#runtime/std/errors.ts';

/**
 * `none`: it runs already. `new`: nothing of it was there. `handover`: each task goes on where it is. `generation`: new
 * tasks begin with a savepoint.
 */
export type DeployWay = 'none' | 'new' | 'handover' | 'generation';

export interface DeployPlan {
  readonly way: DeployWay;
  /** What makes a hand-over impossible, for people. */
  readonly reasons: readonly string[];
  readonly differences: StateDifferences;
  /** Null: it can be done. */
  readonly fault: StreamError | null;
}

export interface DeployPlanOptions {
  /** What runs, or ran last; null: it never began. */
  readonly was: { readonly job: CompiledJob; readonly version: string; readonly sources: SourceTopics } | null;
  readonly now: { readonly job: CompiledJob; readonly version: string; readonly sources: SourceTopics };
  /** Of what runs. */
  readonly run: RunIdentity;
  /** With which it is to begin; null: any. */
  readonly savepoint: Savepoint | null;
  readonly allowDroppedState: boolean;
}

const NOTHING: StateDifferences = { otherJob: null, added: [], dropped: [], library: [], changed: [], rekeyed: [] };

export function planDeploy(options: DeployPlanOptions): DeployPlan {
  const { allowDroppedState, now, run, savepoint, was } = options;
  const allowed = { droppedState: allowDroppedState };
  if (savepoint !== null) {
    const to = { ...run, generation: run.generation + 1 };
    const planned = planGeneration({ savepoint, job: now.job, run: to, sources: now.sources, allowed });
    const reasons = [`it is to begin with savepoint ${savepoint.id}`];
    return { way: 'generation', reasons, differences: planned.differences, fault: planned.fault };
  }
  if (was === null) return { way: 'new', reasons: [], differences: NOTHING, fault: null };
  const reasons = reasonsOf(was, now);
  if (reasons.length === 0 && was.version === now.version) {
    return { way: 'none', reasons, differences: NOTHING, fault: null };
  }
  const states = savedStates(was.job.plan, stateShapes(was.job, run, was.sources));
  if (reasons.length > 0) {
    const taken = asTaken(options, was, states.stages);
    const to = { ...run, generation: run.generation + 1 };
    const planned = planGeneration({ savepoint: taken, job: now.job, run: to, sources: now.sources, allowed });
    return { way: 'generation', reasons, differences: planned.differences, fault: planned.fault };
  }
  const differences = stateDifferences(states, now.job.plan, stateShapes(now.job, run, now.sources));
  return { way: 'handover', reasons, differences, fault: differencesFault(differences, now.job.plan.job, allowed) };
}

/** A savepoint as it would be taken of what runs, without what is in it. */
function asTaken(
  { run }: DeployPlanOptions,
  was: NonNullable<DeployPlanOptions['was']>,
  states: readonly { readonly stage: string; readonly schemaVersions: Readonly<Record<string, number>> }[],
): Savepoint {
  const schemas = new Map(states.map(({ schemaVersions, stage }) => [stage, schemaVersions]));
  const { plan } = was.job;
  const tasks = plan.stages.flatMap((stage) =>
    Array.from({ length: stageTaskCount(plan, stage, was.sources) }, (_, partition) => ({
      ...{ stage: stage.id, partition, manifest: '', entry: 0, chainHash: '', digest: '', sizeBytes: 0 },
      ...{ inputs: [], watermarkMs: null, clockMs: 0, schemaVersions: schemas.get(stage.id) ?? {} },
    })),
  );
  const json = JSON.parse(JSON.stringify(plan));
  return { id: 'of-now', ...run, version: was.version, createdMs: 0, plan: json, tasks };
}

type Side = NonNullable<DeployPlanOptions['was']>;

/** Why tasks cannot go on where they are: they are others, or what is on its way between them means something else. */
function reasonsOf(was: Side, now: Side): string[] {
  const [before, after] = [shapesOf(was), shapesOf(now)];
  const reasons: string[] = [];
  for (const [id, shape] of after) {
    const old = before.get(id);
    if (old === undefined) reasons.push(`stage '${id}' is new`);
    else if (old.reads !== shape.reads) reasons.push(`stage '${id}' reads ${shape.reads}, and read ${old.reads}`);
    else if (old.tasks !== shape.tasks) reasons.push(`stage '${id}' gets ${shape.tasks} tasks, and had ${old.tasks}`);
    else if (old.sends !== shape.sends) reasons.push(`stage '${id}' sends by another key, or other things`);
  }
  for (const id of before.keys()) if (!after.has(id)) reasons.push(`stage '${id}' is gone`);
  return reasons;
}

interface StageShape {
  readonly reads: string;
  readonly tasks: number;
  readonly sends: string;
}

function shapesOf({ job: { plan }, sources }: Side): ReadonlyMap<string, StageShape> {
  return new Map(
    plan.stages.map((stage) => {
      const tasks = stageTaskCount(plan, stage, sources);
      return [stage.id, { reads: readsOf(plan, stage), tasks, sends: sendsOf(plan, stage) }];
    }),
  );
}

function readsOf(plan: Plan, { input }: StagePlan): string {
  if (input.kind === 'exchange') return `what ${[input.from, ...(input.others ?? [])].join(', ')} send`;
  const source = plan.sources.find(({ id }) => id === input.source);
  return `${source?.kind} of topic '${source?.topic}' as '${input.source}'`;
}

function sendsOf(plan: Plan, stage: StagePlan): string {
  const sent = stage.steps.flatMap((step) => {
    if (step.kind !== 'exchange') return [];
    const from = stage.steps.find(({ id }) => id === step.input)?.kind ?? 'head';
    const target = plan.stages.find(({ id }) => id === step.to);
    const samples = target === undefined ? null : headCarriesSamples(plan, target);
    return [{ id: step.id, key: step.key, to: step.to, others: step.others ?? [], from, samples }];
  });
  return JSON.stringify(sent);
}
