// Owns the definition of a job as its author writes it. Runs nothing: `build` is called by the compiler.

import type { Duration, SourceDescription } from '#jobs/descriptions.ts';
import type { SampleStream } from '#jobs/graph.ts';

export interface JobSpec {
  /** `[a-z0-9-]{1,64}`, unique in the installation; topics and checkpoints carry it. */
  readonly name: string;
  readonly source: SourceDescription;
  /** Writes the dataflow down; called at least once, must do nothing else. */
  readonly build: (stream: SampleStream) => void;
  /** Partitions of the topics between stages. @default the partition count of the source */
  readonly exchangePartitions?: number | undefined;
  /** How often a stage without data tells its watermark to the next. @default '1s', minimum '10ms' */
  readonly watermarkInterval?: Duration | undefined;
  /** Output becomes visible after this at the latest. @default '200ms' */
  readonly commitInterval?: Duration | undefined;
  /** @default '60s' */
  readonly checkpointInterval?: Duration | undefined;
}

/** What a job module exports as its default, or a function of its options that returns one. */
export interface JobDefinition {
  readonly kind: 'millrace-job';
  readonly spec: JobSpec;
}

/** Defines a job. Faults are found by the compiler, all at once: error job-invalid. */
export function defineJob(spec: JobSpec): JobDefinition {
  return { kind: 'millrace-job', spec };
}
