// Owns what a compiled job is: plain JSON data. Everything in a Plan decides output, so its text is part of the job's
// version; what does not (intervals, budgets, parallelism) stands in JobSettings. User functions live beside it by id.

import { invariant } from '#runtime/std/errors.ts';
import type { TaskOptions } from '#runtime/task/task-environment.ts';

/** Why a sample has the same task at every moment of its life, or null when it does not and keyBy must exchange. */
export type PartitionedBy = 'series' | 'producer';
export type BadRecordPolicy = 'dead-letter' | 'skip' | 'fail';

export interface SamplesPlan {
  readonly kind: 'samples';
  readonly id: string;
  readonly topic: string;
  readonly format: 'json';
  readonly partitionedBy: PartitionedBy | null;
  readonly start: 'earliest' | 'latest' | { readonly timestampMs: number };
  readonly outOfOrdernessMs: number;
  readonly idlenessMs: number;
  readonly maxSkewMs: number;
  readonly badRecords: BadRecordPolicy;
  /** Live series per task at most. */
  readonly seriesMax: number;
  /** Event time after which an unused key may be forgotten. */
  readonly keyTtlMs: number;
  readonly lateTopic: string;
  readonly deadLetterTopic: string;
}

/** What a job reads. */
export type SourcePlan = SamplesPlan;

/** The key of a sample: its series, or its metric name with some of its labels. */
export type KeyPlan = 'series' | { readonly labels: readonly string[] };

export type StepPlan =
  | { readonly kind: 'map'; readonly id: string; readonly input: string }
  | { readonly kind: 'filter'; readonly id: string; readonly input: string }
  | ExchangeStepPlan
  | WindowStepPlan
  | TopicStepPlan;

/** keyBy at the end of a stage: re-keys and writes the exchange topic of stage `to`. */
export interface ExchangeStepPlan {
  readonly kind: 'exchange';
  readonly id: string;
  readonly input: string;
  readonly key: KeyPlan;
  readonly to: string;
}

export interface WindowStepPlan {
  readonly kind: 'window';
  readonly id: string;
  readonly input: string;
  readonly sizeMs: number;
  readonly allowedLatenessMs: number;
  readonly aggregate: 'stats' | 'mergedStats';
}

export interface TopicStepPlan {
  readonly kind: 'topic';
  readonly id: string;
  readonly input: string;
  readonly topic: string;
  /** Partition count when it is created; null: that of the source. */
  readonly partitions: number | null;
}

export interface StagePlan {
  readonly id: string;
  /** What the stage reads: a source by its id; an exchange is named after the stage that reads it, `from` writes it. */
  readonly input:
    | { readonly kind: 'source'; readonly source: string }
    | { readonly kind: 'exchange'; readonly from: string };
  /** Number of tasks; null: the partition count of the topic of its source. */
  readonly partitions: number | null;
  /** In plan order: a step stands behind its input; timers of the same time fire in this order. */
  readonly steps: readonly StepPlan[];
}

export interface Plan {
  readonly format: 1;
  readonly job: string;
  /** In the order they were named; each is read by one stage. */
  readonly sources: readonly SourcePlan[];
  /** How often an exchange writer without data tells its watermark. */
  readonly watermarkIntervalMs: number;
  /** In the order of the dataflow. */
  readonly stages: readonly StagePlan[];
}

/** How a job runs, without a say in what it puts out. */
export interface JobSettings extends TaskOptions {
  /** Slots its tasks are spread over. */
  readonly parallelism: number;
}

/** A sample as functions of a job see it. Labels have no empty values. */
export interface Sample {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Event time, milliseconds since the epoch. */
  readonly timestamp: number;
  readonly value: number;
}

export type MapFunction = (sample: Sample) => Sample;
export type FilterFunction = (sample: Sample) => boolean;

/** The functions of a job by the id of their step. */
export interface JobFunctions {
  readonly map: ReadonlyMap<string, MapFunction>;
  readonly filter: ReadonlyMap<string, FilterFunction>;
}

export interface CompiledJob {
  readonly plan: Plan;
  readonly settings: JobSettings;
  readonly functions: JobFunctions;
}

/** The source that a stage reads, or that stands before its exchange. */
export function sourceOf(plan: Plan, stage: StagePlan): SourcePlan {
  let first = stage;
  while (first.input.kind === 'exchange') first = stageOf(plan, first.input.from);
  const { source: id } = first.input;
  const source = plan.sources.find((candidate) => candidate.id === id);
  invariant(source !== undefined, `job '${plan.job}' has no source '${id}'`);
  return source;
}

export function stageOf(plan: Plan, id: string): StagePlan {
  const stage = plan.stages.find((candidate) => candidate.id === id);
  invariant(stage !== undefined, `job '${plan.job}' has no stage '${id}'`);
  return stage;
}
