// Owns which states the tasks of a job keep, and comparing them with those of a savepoint or of another version, by the ids
// of operators: what is refused is refused before anything stops. Pure; runs no task.

import type { PagedState, StateRegistry } from '#checkpoint/contract.ts';
import { instantiate } from '#jobs/instantiate.ts';
import type { CompiledJob, Plan, StagePlan } from '#jobs/plan.ts';
import { writersOf } from '#jobs/plan.ts';
import { describeTopics, type RunIdentity, type SourceTopics, stageTaskCount } from '#jobs/topics.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { keyTableOf, operatorOf } from '#runtime/task/key-tables.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';

/** A state of the tasks of one stage. */
export interface StateShape {
  readonly stage: string;
  readonly operator: string;
  readonly stateId: string;
  readonly schemaVersion: number;
  /** State of the keys that it is kept by; null: it is not kept by key. */
  readonly table: string | null;
  /** Whether it can be spread over another number of tasks. */
  readonly movable: boolean;
  readsSchema(version: number): boolean;
}

/** States as they were written. */
export interface SavedStates {
  /** Of the job that wrote them. */
  readonly plan: Plan;
  readonly stages: readonly SavedStage[];
}

export interface SavedStage {
  readonly stage: string;
  /** By state id. */
  readonly schemaVersions: Readonly<Record<string, number>>;
}

export interface StateChange {
  readonly stage: string;
  readonly operator: string;
  readonly stateId: string;
}

export interface SchemaChange extends StateChange {
  readonly from: number;
  readonly to: number;
  /** Whether the new one reads what the old one wrote. */
  readonly migrates: boolean;
}

/** Lists by operator. */
export interface StateDifferences {
  /** Whose states they are, when they are those of another job; then the lists are empty. */
  readonly otherJob: string | null;
  readonly added: readonly StateChange[];
  /** Need to be allowed. */
  readonly dropped: readonly StateChange[];
  /** Dropped without loss: tables of keys that nothing is kept by, what was said to an exchange. */
  readonly library: readonly StateChange[];
  readonly changed: readonly SchemaChange[];
  /** Kept, but by keys of another table: of a source or keyBy that had another id. */
  readonly rekeyed: readonly StateChange[];
}

/** Every state of a job, stage by stage; instantiates each stage once. */
export function stateShapes(job: CompiledJob, run: RunIdentity, sources: SourceTopics): StateShape[] {
  return job.plan.stages.flatMap((stage) => stageStates(job, stage, run, sources));
}

/** As they are saved when every task of the job takes a checkpoint. */
export function savedStates(plan: Plan, shapes: readonly StateShape[]): SavedStates {
  const stages = [...Map.groupBy(shapes, ({ stage }) => stage)].map(([stage, own]) => ({
    stage,
    schemaVersions: Object.fromEntries(own.map(({ stateId, schemaVersion }) => [stateId, schemaVersion])),
  }));
  return { plan, stages };
}

export function stateDifferences(
  was: SavedStates,
  plan: Pick<Plan, 'job'>,
  now: readonly StateShape[],
): StateDifferences {
  const added: StateChange[] = [];
  const dropped: StateChange[] = [];
  const changed: SchemaChange[] = [];
  const rekeyed: StateChange[] = [];
  const library: StateChange[] = [];
  const { job } = was.plan;
  if (job !== plan.job) return { otherJob: job, added, dropped, library, changed, rekeyed };
  const keepers = keepersOf(was.plan);
  const saved = mergedStages(was.stages);
  const shapes = new Map(now.map((shape) => [placeOf(shape.stage, shape.stateId), shape]));
  for (const shape of now) {
    const { stage, operator, stateId, schemaVersion: to, table } = shape;
    const from = saved.get(stage)?.[stateId];
    const named = { stage, operator, stateId };
    if (from === undefined) {
      if (table !== null) added.push(named);
    } else {
      if (from !== to) changed.push({ ...named, from, to, migrates: shape.readsSchema(from) });
      if (table !== null && saved.get(stage)?.[table] === undefined) rekeyed.push(named);
    }
  }
  for (const [stage, schemaVersions] of saved) {
    for (const stateId of Object.keys(schemaVersions)) {
      const operator = operatorOf(stateId);
      if (shapes.has(placeOf(stage, stateId))) continue;
      (keepers.has(operator) ? dropped : library).push({ stage, operator, stateId });
    }
  }
  return { otherJob: null, added, dropped, library, changed, rekeyed };
}

export interface AllowedDifferences {
  /** --allow-dropped-state */
  readonly droppedState: boolean;
}

/** The fault for which states cannot be taken over, null when they can. Its message lists everything by operator. */
export function differencesFault(
  { otherJob, dropped, changed, rekeyed }: StateDifferences,
  job: string,
  allowed: AllowedDifferences,
): StreamError | null {
  if (otherJob !== null) {
    const message = `job ${job} cannot take over the state of job ${otherJob}`;
    return new StreamError('version-mismatch', message, `name a savepoint of job ${job}`);
  }
  const faults: string[] = [];
  const remedies = new Set<string>();
  const add = (remedy: string, operator: string, what: string) => {
    faults.push(`${operator}: ${what}`);
    remedies.add(remedy);
  };
  for (const { operator, stateId } of allowed.droppedState ? [] : dropped) {
    const remedy = 'give the operators their former ids, or allow it with --allow-dropped-state';
    add(remedy, operator, `state '${stateId}' would be dropped`);
  }
  for (const { operator, stateId, from, to, migrates } of changed) {
    if (migrates) continue;
    const remedy = 'give the codec of the state a migration from what it was, or the state another name';
    add(remedy, operator, `state '${stateId}' has schema ${from}, now ${to}, and no migration`);
  }
  for (const { operator, stateId } of rekeyed) {
    const remedy = 'give sources and keyBy the ids they had';
    add(remedy, operator, `state '${stateId}' is kept by keys of another source or keyBy than before`);
  }
  if (faults.length === 0) return null;
  const message = `job ${job} does not fit its state: ${faults.join('; ')}`;
  return new StreamError('version-mismatch', message, [...remedies].join('; '));
}

function stageStates(job: CompiledJob, stage: StagePlan, run: RunIdentity, sources: SourceTopics): StateShape[] {
  const states: PagedState[] = [];
  const state: StateRegistry = {
    register(one) {
      states.push(one);
      return { epoch: 1, touch() {} };
    },
  };
  const program = instantiate(job, { stageId: stage.id, run });
  const counts = describeTopics(job.plan, run, sources).map(({ topic, partitionCount }) => [topic, partitionCount]);
  const writers = writersOf(job.plan, stage).reduce((sum, one) => sum + stageTaskCount(job.plan, one, sources), 0);
  const runner = new StageRunner({
    ...{ program, partition: 0, partitionCounts: Object.fromEntries(counts), writers, state },
    ...{ commitBytesMax: 1 << 20, count: () => {} },
  });
  runner.close();
  return states.map((one) => ({
    stage: stage.id,
    operator: operatorOf(one.stateId),
    stateId: one.stateId,
    schemaVersion: one.schemaVersion,
    table: keyTableOf(program, one.stateId),
    movable: one.beginsAnew === true || one.adoptPage !== undefined || one.adoptKeys !== undefined,
    readsSchema: (version) => version === one.schemaVersion || one.readsSchema?.(version) === true,
  }));
}

/** Tasks of one stage keep the same states. */
function mergedStages(stages: readonly SavedStage[]): Map<string, Readonly<Record<string, number>>> {
  const merged = new Map<string, Readonly<Record<string, number>>>();
  for (const { stage, schemaVersions } of stages) merged.set(stage, { ...merged.get(stage), ...schemaVersions });
  return merged;
}

function placeOf(stage: string, stateId: string): string {
  return `${stage} ${stateId}`;
}

/** Ids of the operators that keep something by key; what others keep begins anew without loss. */
function keepersOf({ stages }: Plan): ReadonlySet<string> {
  const keepers = new Set<string>();
  for (const step of stages.flatMap(({ steps }) => steps)) {
    if (step.kind === 'window' || step.kind === 'process' || step.kind === 'keyed') keepers.add(step.id);
    else if (step.kind === 'remote-write') keepers.add(`${step.id}-hold`);
  }
  return keepers;
}
