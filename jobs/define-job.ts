// Owns the definition of a job as its author writes it. Runs nothing: `build` is called by the compiler.

import type { Duration, SourceDescription } from '#jobs/descriptions.ts';
import type { SampleStream } from '#jobs/graph.ts';

interface JobFields {
  /** `[a-z0-9-]{1,64}`, unique in the installation; topics and checkpoints carry it. */
  readonly name: string;
  /** Partitions of the topics between stages. @default the partition count of the source */
  readonly exchangePartitions?: number | undefined;
  /** How often a stage without data tells its watermark to the next. @default '1s', minimum '10ms' */
  readonly watermarkInterval?: Duration | undefined;
  /** Output becomes visible after this at the latest. @default '200ms' */
  readonly commitInterval?: Duration | undefined;
  /** @default '60s' */
  readonly checkpointInterval?: Duration | undefined;
}

/** A job that reads one source. */
export interface JobSpec extends JobFields {
  readonly source: SourceDescription;
  /** Writes the dataflow down; called at least once, must do nothing else. */
  readonly build: (stream: SampleStream) => void;
}

/** A job that reads several; the name of a source is its id unless it has one of its own. */
export interface SourcesJobSpec<Name extends string = string> extends JobFields {
  readonly sources: Readonly<Record<Name, SourceDescription>>;
  /** As in JobSpec, with the stream of each source under its name. */
  readonly build: (streams: Readonly<Record<Name, SampleStream>>) => void;
}

/** What a job module exports as its default, or a function of its options that returns one. */
export interface JobDefinition {
  readonly kind: 'millrace-job';
  readonly spec: JobSpec | SourcesJobSpec;
}

/** Defines a job. Faults are found by the compiler, all at once: error job-invalid. */
export function defineJob(spec: JobSpec): JobDefinition;
export function defineJob<Name extends string>(spec: SourcesJobSpec<Name>): JobDefinition;
export function defineJob(spec: JobSpec | SourcesJobSpec): JobDefinition {
  return { kind: 'millrace-job', spec };
}
