// Owns the definition of a job as its author writes it. Runs nothing: `build` is called by the compiler.

import type { Duration, SourceDescription } from '#jobs/descriptions.ts';
import type { StreamOf } from '#jobs/graph.ts';

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
  /**
   * For modules that export a function: says that no function of the job knows its options. Those that do not show in the
   * plan, such as addresses and credentials, may change then also after a crash. @default false
   */
  readonly optionsInPlan?: boolean | undefined;
}

/** A job that reads one source. */
export interface JobSpec<Source extends SourceDescription = SourceDescription> extends JobFields {
  readonly source: Source;
  /** Writes the dataflow down; called at least once, must do nothing else. */
  readonly build: (stream: StreamOf<Source>) => void;
}

/** A job that reads several; the name of a source is its id unless it has one of its own. */
export interface SourcesJobSpec<Sources extends NamedSources = NamedSources> extends JobFields {
  readonly sources: Sources;
  /** As in JobSpec, with the stream of each source under its name. */
  readonly build: (streams: { readonly [Name in keyof Sources]: StreamOf<Sources[Name]> }) => void;
}

type NamedSources = Readonly<Record<string, SourceDescription>>;

interface AnyFields extends JobFields {
  readonly build: (streams: never) => void;
}

/** As the compiler takes it: what `build` is given depends on the sources. */
export type AnyJobSpec =
  | (AnyFields & { readonly source: SourceDescription })
  | (AnyFields & { readonly sources: NamedSources });

/** What a job module exports as its default, or a function of its options that returns one. */
export interface JobDefinition {
  readonly kind: 'millrace-job';
  readonly spec: AnyJobSpec;
}

/** Defines a job. Faults are found by the compiler, all at once: error job-invalid. */
export function defineJob<Source extends SourceDescription>(spec: JobSpec<Source>): JobDefinition;
export function defineJob<Sources extends NamedSources>(spec: SourcesJobSpec<Sources>): JobDefinition;
export function defineJob(spec: AnyJobSpec): JobDefinition {
  return { kind: 'millrace-job', spec };
}
