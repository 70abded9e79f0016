// Owns what a slot is told, as plain data that crosses threads: where the log and the checkpoints are, and which jobs
// run with which version. Made by slot-threads.ts.

import type { MessagePort } from 'node:worker_threads';
import type { Savepoint } from '#checkpoint/savepoint.ts';
import type { JobConfiguration, LogConfiguration, StoreConfiguration } from '#jobs/configuration.ts';
import type { SourceTopics } from '#jobs/topics.ts';
import type { SharedPace } from '#runtime/task/commit-pace.ts';
import type { VersionParts } from '#runtime/task/task-version.ts';

export interface JobAssignment {
  readonly configuration: JobConfiguration;
  readonly version: string;
  readonly versionParts: VersionParts;
  readonly sources: SourceTopics;
  readonly generation: number;
  /** With what its tasks begin that have not begun; null: with nothing. */
  readonly origin: Savepoint | null;
  /** Partition counts of sources that have grown since the generation began, and are read as they were. */
  readonly asBegan?: Readonly<Record<string, number>>;
  /** Ids of the topics that the job began with. */
  readonly topicIds: Readonly<Record<string, string>>;
}

/** Everything a slot needs; `port` leads to the writer thread of the embedded log. */
export interface SlotSettings {
  readonly index: number;
  readonly namespace: string;
  readonly log: LogConfiguration;
  readonly port: MessagePort | null;
  readonly checkpoints: StoreConfiguration;
  /** Where keyed state lies that is not in memory, and how much of it this slot may have there. */
  readonly state: { readonly directory: string; readonly memoryBytes: number };
  readonly jobs: readonly JobAssignment[];
  /** The cap on transactions per second, which all slots keep together. */
  readonly pace: SharedPace;
  readonly logLevel: string;
  readonly pretty: boolean;
}
