// Owns planning a new generation of a job from a savepoint: which parts each of its tasks begins with, and what cannot be
// taken over, all of it found before anything stops; and which tasks of older generations have to be shut out. Pure.

import type { Savepoint, SavepointTask } from '#checkpoint/savepoint.ts';
import { savepointTask } from '#checkpoint/savepoint.ts';
import { type CompiledJob, type Plan, type StagePlan, sourceOf } from '#jobs/plan.ts';
import { stageOutputs, writerTopics } from '#jobs/stage-shape.ts';
import {
  type AllowedDifferences,
  differencesFault,
  type StateDifferences,
  type StateShape,
  stateDifferences,
  stateShapes,
} from '#jobs/state-shapes.ts';
import { commitTopic, inputTopic, type RunIdentity, type SourceTopics, stageTaskCount } from '#jobs/topics.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import type { FencedTask } from '#runtime/task/generation-fence.ts';
import type { OriginPart, TaskOrigin } from '#runtime/task/origin.ts';
import type { SavepointPart } from '#runtime/task/task-savepoint.ts';

export interface GenerationOptions {
  readonly savepoint: Savepoint;
  /** What is to run. */
  readonly job: CompiledJob;
  /** The new generation. */
  readonly run: RunIdentity;
  /** The sources as they are now. */
  readonly sources: SourceTopics;
  readonly allowed: AllowedDifferences;
}

export interface GenerationPlan {
  readonly differences: StateDifferences;
  /** Null: the savepoint can be taken over. Its message has every fault. */
  readonly fault: StreamError | null;
  /** For taskPlans; only without a fault. Null: the task begins as in a new job. */
  originOf(stage: string, partition: number): TaskOrigin | null;
}

/** The record of a savepoint, from the parts of all tasks of a job. */
export function savepointRecord(
  id: string,
  plan: Plan,
  parts: readonly SavepointPart[],
  more: Pick<Savepoint, 'version' | 'createdMs'>,
): Savepoint {
  invariant(parts.length > 0, 'a savepoint has parts');
  const { namespace, job, run, generation } = parts[0].identity;
  const tasks = parts.map(({ identity, checkpoint, inputs, watermarkMs, clockMs, schemaVersions }): SavepointTask => {
    const { stage, partition } = identity;
    const { name: manifest, entry, chainHash, digest, sizeBytes } = checkpoint;
    return {
      ...{ stage, partition, manifest, entry, chainHash, digest, sizeBytes },
      ...{ inputs, watermarkMs, clockMs, schemaVersions },
    };
  });
  // A plan is plain data.
  return { id, namespace, job, run, generation, ...more, plan: JSON.parse(JSON.stringify(plan)), tasks };
}

export function planGeneration(options: GenerationOptions): GenerationPlan {
  const { savepoint, job, run, sources, allowed } = options;
  const was = savepoint.plan as unknown as Plan;
  const shapes = stateShapes(job, run, sources);
  const differences = stateDifferences({ plan: was, stages: savepoint.tasks }, job.plan, shapes);
  const stateFault = differencesFault(differences, job.plan.job, allowed);
  const faults = differences.otherJob === null ? stageFaults(options, was, shapes) : [];
  return {
    differences,
    fault: joined(job.plan.job, stateFault, faults),
    originOf: taskOrigins(options),
  };
}

/** With what each task of a generation begins; null: as in a new job. */
export function taskOrigins(options: Omit<GenerationOptions, 'allowed'>): GenerationPlan['originOf'] {
  return (stage, partition) => originOf(options, stage, partition);
}

/** Tasks of a generation of a job and what they may have written: those of older ones are shut out before a new one. */
export function generationTasks(plan: Plan, run: RunIdentity, sources: SourceTopics): FencedTask[] {
  return plan.stages.flatMap((stage) => {
    const topics = [...stageOutputs(plan, stage, run).map(({ topic }) => topic), ...writerTopics(plan, stage, run)];
    return Array.from({ length: stageTaskCount(plan, stage, sources) }, (_, partition) => ({
      identity: { ...run, stage: stage.id, partition },
      commitTopic: commitTopic(run, stage.id),
      topics,
    }));
  });
}

function originOf(
  { savepoint, job, run, sources }: Omit<GenerationOptions, 'allowed'>,
  id: string,
  partition: number,
): TaskOrigin | null {
  const stage = job.plan.stages.find((one) => one.id === id);
  invariant(stage !== undefined, `job ${run.job} has no stage '${id}'`);
  const tasks = savepoint.tasks.filter((task) => task.stage === id).sort((a, b) => a.partition - b.partition);
  if (tasks.length === 0) return null;
  const part = (task: SavepointTask) => originPart(savepoint, task);
  if (stage.input.kind === 'exchange') {
    const partitions = stageTaskCount(job.plan, stage, sources);
    return { savepoint: savepoint.id, parts: tasks.map(part), partitions };
  }
  const own = tasks.filter((task) => task.partition === partition);
  return { savepoint: savepoint.id, parts: own.map(part), partitions: null };
}

function originPart(savepoint: Savepoint, task: SavepointTask): OriginPart {
  const { manifest: name, entry, chainHash, digest, sizeBytes, inputs, watermarkMs, clockMs } = task;
  const identity = savepointTask(savepoint, task);
  return { identity, checkpoint: { name, entry, chainHash, digest, sizeBytes }, inputs, watermarkMs, clockMs };
}

interface StageFault {
  readonly message: string;
  readonly remedy: string;
}

function stageFaults(options: GenerationOptions, was: Plan, shapes: readonly StateShape[]): StageFault[] {
  const { savepoint, job } = options;
  return job.plan.stages.flatMap((stage): StageFault[] => {
    const before = was.stages.find(({ id }) => id === stage.id);
    const tasks = savepoint.tasks.filter((task) => task.stage === stage.id);
    if (before === undefined || tasks.length === 0) return [];
    const keyed = shapes.filter((shape) => shape.stage === stage.id && shape.table !== null);
    const operators = [...new Set(keyed.map(({ operator }) => operator))].join(', ');
    if (before.input.kind !== stage.input.kind && keyed.length > 0) return [readsOtherwise(stage, operators)];
    const fixed = shapes.filter(({ stage: of, movable }) => of === stage.id && !movable);
    const unmoved = fixed.map(({ operator, stateId }) => ({
      message: `${operator}: state '${stateId}' cannot be spread over tasks anew`,
      remedy: 'give the operator another id and allow dropped state',
    }));
    if (stage.input.kind === 'exchange') return unmoved;
    return [...unmoved, ...sourceFaults(options, was, before, stage, operators)];
  });
}

function sourceFaults(
  { savepoint, job, run, sources }: GenerationOptions,
  was: Plan,
  before: StagePlan,
  stage: StagePlan,
  operators: string,
): StageFault[] {
  const tasks = savepoint.tasks.filter((task) => task.stage === stage.id).length;
  const now = stageTaskCount(job.plan, stage, sources);
  const topic = inputTopic(job.plan, run, stage);
  if (before.input.kind === 'source' && sourceOf(was, before).topic !== topic) {
    const message = `stage '${stage.id}' reads topic '${topic}', and read '${sourceOf(was, before).topic}': offsets of the one mean nothing in the other`;
    return [{ message, remedy: 'give the source of the other topic another id' }];
  }
  if (now < tasks) {
    const message = `topic '${topic}' has ${now} partitions and had ${tasks}`;
    return [{ message, remedy: 'restore the topic: partitions that are gone were not read to their ends' }];
  }
  if (now === tasks || operators === '') return [];
  const message = `topic '${topic}' has grown from ${tasks} to ${now} partitions, and ${operators} keep state by the partitions of their source: keys have moved between them`;
  return [
    { message, remedy: 'leave partitionedBy out, so that the job exchanges by key, and give the job another name' },
  ];
}

function readsOtherwise({ id, input }: StagePlan, operators: string): StageFault {
  const [now, before] = input.kind === 'source' ? ['its source', 'an exchange'] : ['an exchange', 'its source'];
  return {
    message: `stage '${id}' reads ${now} now and read ${before}: ${operators} keep state by other keys than before`,
    remedy: 'declare partitionedBy of the source as it was; or give these operators other ids and allow dropped state',
  };
}

function joined(job: string, states: StreamError | null, faults: readonly StageFault[]): StreamError | null {
  if (faults.length === 0) return states;
  const messages = [...(states === null ? [] : [states.message]), ...faults.map(({ message }) => message)];
  const remedies = new Set([...(states === null ? [] : [states.remedy]), ...faults.map(({ remedy }) => remedy)]);
  const message = `job ${job} cannot go on from the savepoint: ${messages.join('; ')}`;
  return new StreamError('version-mismatch', message, [...remedies].join('; '));
}
