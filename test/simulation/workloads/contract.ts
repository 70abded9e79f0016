// Owns what the simulation and a workload know of each other. A workload is a job with its knobs, the input it is fed
// and the oracles that know what it means; whatever holds for every job is judged elsewhere (judgement.ts).

import type { CompiledJob, JobSettings } from '#jobs/plan.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import type { Coverage } from '#test/simulation/coverage.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import type { CommittedEntry } from '#test/simulation/oracle/commit-chain.ts';
import type { EntryOf, Placement } from '#test/simulation/oracle/placement.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { Inhabitant, World } from '#test/simulation/world/world.ts';

/** What a seed has drawn for whatever workload it has. */
export interface Draw {
  readonly seed: number;
  readonly random: Random;
  /** Every record is within its bound, no source pauses, no clock jumps: nothing may be late. */
  readonly orderly: boolean;
  /** Clocks of processes may be an hour off, or jump so far. */
  readonly clockJumps: boolean;
  readonly settings: Partial<JobSettings>;
}

/** A workload as one seed has it. Drawing it runs nothing. */
export interface Workload {
  readonly name: string;
  /** Which of its kinds it is, for the counters. */
  readonly shape: string;
  readonly job: CompiledJob;
  /** Versions that may take its place, each that of the one before. */
  readonly upgrades: readonly (() => CompiledJob)[];
  /** Partitions of the topics that the job reads. */
  readonly sources: Readonly<Record<string, number>>;
  /** Time left alone after which everything must have been put out; null: it never need. */
  readonly closingMs: number | null;
  /** Bytes of keyed state that a slot may have in memory, the rest lies outside; null: it may have all. */
  readonly memoryBytes: number | null;
  /** Bytes that may be put out in one entry beyond `commitBytesMax`; null: any number. */
  readonly burstBytesMax: number | null;
  /** Pages that may change between two checkpoints: where a snapshot may hold hardly one, each goes into a file. */
  readonly pagesMax: number;
  /** Begins its part of a world whose topics exist. */
  begin(world: World, random: Random): Scene;
}

/** A workload's part of one world. */
export interface Scene {
  readonly feed: Feed;
  /** What the job's tasks reach outside of the log, from a process; `isOwner`: whether that owns the tasks now. */
  connect?(inhabitant: Inhabitant, isOwner: () => boolean): CompiledJob['connect'];
  /** Faults of its own end. */
  heal?(): void;
  /** Whether the job has given away everything it was fed, as far as the scene can see. @default true */
  drained?(): boolean;
  /** What was put out is what the entries' inputs mean. Throws a Violation. */
  judge(evidence: Evidence): void;
}

/** What producers write, whatever happens to the job's processes. */
export interface Feed {
  /** Virtual time of the last append. */
  readonly lastMs: number;
  readonly arrivals: readonly Arrival[];
  /** Lets every append happen in its time. */
  schedule(): void;
}

/** When and where offsets of a source were written. */
export interface Arrival {
  readonly topic: string;
  readonly partition: number;
  readonly atMs: number;
  readonly endOffset: number;
}

/** What a finished run left in the logs of one generation. */
export interface Evidence {
  readonly world: World;
  readonly coverage: Coverage;
  readonly tasks: readonly TaskEvidence[];
  /** Which entry of which task committed a transaction. */
  readonly entryOf: EntryOf;
  readonly placement: Placement;
  /** It came to its end, and was the last: whatever was due was put out. */
  readonly complete: boolean;
  /** It was left alone for `closingMs` as well. */
  readonly closed: boolean;
  /** Committed records that these tasks brought to a topic, all partitions. */
  output(topic: string): readonly ArchivedRecord[];
  /** Those, and what others brought whose state the tasks have. */
  lineage(topic: string): readonly ArchivedRecord[];
  /** Null: no version of the job that ran writes or reads it. */
  partitionCount(topic: string): number | null;
}

export interface TaskEvidence {
  /** `stage/partition` */
  readonly name: string;
  readonly plan: TaskPlan;
  readonly chain: readonly CommittedEntry[];
  /** Committed records of what the task reads. */
  readonly input: readonly ArchivedRecord[];
  /** With what it began; null: with nothing. */
  readonly origin: TaskOriginEvidence | null;
}

/** Tasks of an older generation whose keys a task may have, as they were at an entry. */
export interface TaskOriginEvidence {
  readonly parts: readonly { readonly task: TaskEvidence; readonly entry: number }[];
  /** Null: all keys of its parts are the task's; else those that belong to its partition of so many. */
  readonly partitions: number | null;
  readonly partition: number;
  /** Committed records that those brought up to there, and those before them. */
  output(topic: string): readonly ArchivedRecord[];
}
