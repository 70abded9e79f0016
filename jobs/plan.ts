// Owns what a compiled job is: plain JSON data. Everything in a Plan decides output, so its text is part of the job's
// version; what does not (intervals, budgets, parallelism) stands in JobSettings. User functions live beside it by id.

import type { KeyedFunctions, KeyedStepPlan } from '#jobs/keyed-plan.ts';
import type { InfluxPrecision } from '#operators/formats/influx-value.ts';
import type { RecordFormatName } from '#operators/formats/record-format.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';
import type { SampleFormatName } from '#operators/formats/sample-format.ts';
import type { SchemaClient, SchemaTrouble } from '#operators/formats/schema-registry.ts';
import type { ProcessCallbacks, StateDescriptor } from '#operators/process/contract.ts';
import type { RecordMetadata } from '#operators/sources/records-source.ts';
import type { Receiver } from '#runtime/effect/contract.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { TaskOptions } from '#runtime/task/task-environment.ts';

/** Why a sample has the same task at every moment of its life, or null when it does not and keyBy must exchange. */
export type PartitionedBy = 'series' | 'producer';
export type BadRecordPolicy = 'dead-letter' | 'skip' | 'fail';

export interface SourceFields {
  readonly id: string;
  readonly topic: string;
  readonly start: 'earliest' | 'latest' | { readonly timestampMs: number };
  readonly outOfOrdernessMs: number;
  readonly idlenessMs: number;
  readonly maxSkewMs: number;
  readonly badRecords: BadRecordPolicy;
  /** Live series or other keys per task at most. */
  readonly seriesMax: number;
  /** Event time after which an unused key may be forgotten. */
  readonly keyTtlMs: number;
  readonly deadLetterTopic: string;
  /** Group under which consumed offsets are published; absent: that of the job. */
  readonly consumerGroup?: string;
}

export interface SamplesPlan extends SourceFields {
  readonly kind: 'samples';
  readonly format: SampleFormatName;
  /** Absent: no Avro records without a schema id; the format's unit. */
  readonly avroSchema?: unknown;
  readonly influxPrecision?: InfluxPrecision;
  /** Whether Avro records with a schema id are read. */
  readonly registry?: true;
  readonly partitionedBy: PartitionedBy | null;
  readonly lateTopic: string;
}

/** Records of any shape. */
export interface RecordsPlan extends SourceFields {
  readonly kind: 'records';
  readonly format: RecordFormatName;
  /** Of Avro only; with a registry how its records come, else as they were written. */
  readonly avroSchema?: unknown;
  /** Whether Avro records name their schemas. */
  readonly registry?: true;
  readonly partitionedBy: 'producer' | null;
  /** Whether functions of the job make the record and its event time. */
  readonly reads: boolean;
  readonly timestamps: boolean;
}

/** Rollup rows, read back from a topic. */
export interface RowsPlan extends SourceFields {
  readonly kind: 'rows';
  readonly partitionedBy: null;
  /** Absent: JSON. */
  readonly format?: RowFormatName;
}

/** What a job reads. */
export type SourcePlan = SamplesPlan | RecordsPlan | RowsPlan;

/** The key of a sample: its series, or its metric name with some of its labels; of a record what a function names. */
export type KeyPlan = 'series' | { readonly labels: readonly string[] } | { readonly function: string };

export type StepPlan =
  | { readonly kind: 'map'; readonly id: string; readonly input: string }
  | { readonly kind: 'filter'; readonly id: string; readonly input: string }
  | TransformStepPlan
  | LocalKeyStepPlan
  | ProcessStepPlan
  | SideStepPlan
  | ExchangeStepPlan
  | WindowStepPlan
  | TopicStepPlan
  | RemoteWriteStepPlan
  | KeyedStepPlan;

/** map, filter and flatMap that give records of any shape. */
export interface TransformStepPlan {
  readonly kind: 'transform';
  readonly id: string;
  readonly input: string;
  readonly function: 'map' | 'filter' | 'flatMap';
}

/** keyBy with a function where the source is trusted to be partitioned so. */
export interface LocalKeyStepPlan {
  readonly kind: 'key';
  readonly id: string;
  readonly input: string;
}

export interface ProcessStepPlan {
  readonly kind: 'process';
  readonly id: string;
  readonly input: string;
  /** By name. */
  readonly states: Readonly<Record<string, StatePlan>>;
  readonly sides: readonly string[];
}

export interface StatePlan {
  readonly kind: 'value' | 'list' | 'map' | 'aggregating';
  readonly codec: string;
  readonly schemaVersion: number;
  /** Null: for ever. */
  readonly ttlMs: number | null;
  readonly ttlUpdate: 'write' | 'read-and-write';
}

/** What a function sends aside. */
export interface SideStepPlan {
  readonly kind: 'side';
  readonly id: string;
  readonly input: string;
  readonly name: string;
}

/** keyBy at the end of a stage: re-keys and writes the exchange topic of stage `to`. */
export interface ExchangeStepPlan {
  readonly kind: 'exchange';
  readonly id: string;
  readonly input: string;
  /** Further steps of this stage whose output goes the same way. */
  readonly others?: readonly string[];
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
  /** Of records, not of rows: how they are written, and whether a function names their key. */
  readonly records?: { readonly format: RecordFormatName; readonly keyed: boolean; readonly avroSchema?: unknown };
  /** Of rows, when they are not JSON. */
  readonly rows?: { readonly format: RowFormatName };
}

/** What goes to a time-series database; how it is reached stands beside the plan. */
export interface RemoteWriteStepPlan extends RemoteWritePlan {
  readonly kind: 'remote-write';
  readonly id: string;
  readonly input: string;
}

export interface RemoteWritePlan {
  readonly target: string;
  /** Null: everything goes as it comes. */
  readonly hold: { readonly latenessMs: number; readonly corrections: 'wait' | 'drop' } | null;
  readonly names: 'any' | 'prometheus';
}

/** How a schema registry is reached; has no say in what is read. May hold credentials. */
export interface RegistryConnection {
  readonly url: string;
  /** Value of the header `authorization`. */
  readonly authorization: string | undefined;
}

/** Makes who fetches schemas for one task; it says when nobody answers. */
export type MakeSchemaClient = (connection: RegistryConnection, onTrouble: SchemaTrouble) => SchemaClient;

/** How a receiver is reached, and in what portions; has no say in what becomes of a row. May hold credentials. */
export interface TargetConnection {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly ca: string | null;
  readonly certificate: string | null;
  readonly key: string | null;
  readonly timeoutMs: number;
  readonly requestSamplesMax: number;
  readonly requestBytesMax: number;
  readonly queueBytesMax: number;
}

export interface StagePlan {
  readonly id: string;
  /** What the stage reads: a source by its id; an exchange is named after the stage that reads it, `from` writes it. */
  readonly input:
    | { readonly kind: 'source'; readonly source: string }
    | { readonly kind: 'exchange'; readonly from: string; readonly others?: readonly string[] };
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

export interface ReadFunctions {
  readonly read: ((value: unknown, metadata: RecordMetadata) => unknown) | null;
  readonly timestamp: ((record: unknown, metadata: RecordMetadata) => unknown) | null;
}

export interface ProcessFunctions {
  readonly callbacks: ProcessCallbacks;
  readonly states: ReadonlyMap<string, StateDescriptor>;
}

/** The functions of a job by the id of their step. */
export interface JobFunctions {
  readonly map: ReadonlyMap<string, MapFunction>;
  readonly filter: ReadonlyMap<string, FilterFunction>;
  /** map, filter and flatMap over records, keyBy, and keys of records that are sent. */
  readonly record: ReadonlyMap<string, (record: unknown) => unknown>;
  readonly process: ReadonlyMap<string, ProcessFunctions>;
  readonly source: ReadonlyMap<string, ReadFunctions>;
  readonly keyed: ReadonlyMap<string, KeyedFunctions>;
}

export interface CompiledJob {
  readonly plan: Plan;
  readonly settings: JobSettings;
  readonly functions: JobFunctions;
  /** By the id of the source. */
  readonly registries: ReadonlyMap<string, RegistryConnection>;
  /** @default by HTTP */
  readonly schemaClient?: MakeSchemaClient;
  /** By the id of their step. */
  readonly targets: ReadonlyMap<string, TargetConnection>;
  /** Makes the receiver of a target for one task. @default by HTTP */
  readonly connect?: (target: string, connection: TargetConnection) => Receiver;
  /** Whether all that the module's options decide stands in the plan: then they are no part of the version. */
  readonly optionsInPlan: boolean;
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

/** Stages that write what a stage reads, in the order of their writers' numbers; none for one that reads a source. */
export function writersOf(plan: Plan, stage: StagePlan): StagePlan[] {
  const { input } = stage;
  if (input.kind === 'source') return [];
  return [input.from, ...(input.others ?? [])].map((id) => stageOf(plan, id));
}

/** Whether samples of a stage can be too late for it. */
export function writesLate(stage: StagePlan): boolean {
  return stage.steps.some(
    (step) =>
      (step.kind === 'window' && step.aggregate === 'stats') || (step.kind === 'remote-write' && step.hold !== null),
  );
}

/** Whether something outside of the log takes what a stage gives, and may refuse it. */
export function writesOutside(stage: StagePlan): boolean {
  return stage.steps.some((step) => step.kind === 'remote-write');
}
