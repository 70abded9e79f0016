// Owns what every job is told to be: the fold of the control log's records about it, and how a configuration file and a
// change become the next record. Pure. Invariant: every record carries the whole of it, with a revision that is higher
// than that of the one before; the last one counts.

import type { ControlRecord } from '#runtime/control/control-log.ts';

export type WantedState = 'RUNNING' | 'PAUSED' | 'STOPPED' | 'CANCELED';

/** What may be changed while a job runs. */
export interface WantedSettings {
  readonly parallelism: number;
  readonly commitIntervalMs: number;
  readonly checkpointIntervalMs: number;
}

/** Of a version: job (module, plan, options), Millrace, major of Node. */
export interface WantedParts {
  readonly job: string;
  readonly engine: string;
  readonly node: number;
}

export interface WantedJob {
  readonly kind: 'job-wanted';
  readonly job: string;
  /** 1 at first; the job's ETag is made of it. */
  readonly revision: number;
  readonly state: WantedState;
  readonly settings: WantedSettings;
  /** What the configuration file said when it was last taken: what it says anew wins, once. */
  readonly configured: WantedSettings;
  readonly generation: number;
  /** How many tasks each stage has; absent before it was prepared. */
  readonly tasks?: Readonly<Record<string, number>>;
  /** Hash of the bundle of its module; absent before it was prepared. */
  readonly bundle?: string;
  /** What its module is given. */
  readonly options?: Readonly<Record<string, unknown>> | null;
  /** Hash of what decides its output, where it was known. */
  readonly version: string | null;
  readonly modulePath: string;
  /** What the version is made of, where it was known. */
  readonly parts?: WantedParts;
  /** Id of the savepoint that the generation began with; absent: with nothing. */
  readonly savepoint?: string | null;
  /** States of operators that the version has no more are left behind. */
  readonly allowDroppedState?: boolean;
  /** The version was deployed, and counts until the configuration file names another module than it did then. */
  readonly deployed?: boolean;
  /** Hash of what the configuration file named when it was last looked at; null: it does not have the job. */
  readonly configuredModule?: string | null;
  /** How the module was called by whoever deployed it. */
  readonly module?: string;
  /** Of the operation that made it so; null: the configuration file. */
  readonly requestId: string | null;
  readonly atMs: number;
}

/** What of it is not given stays. */
export interface WantedChange {
  readonly state?: WantedState;
  readonly version?: string | null;
  readonly modulePath?: string;
  readonly tasks?: Readonly<Record<string, number>>;
  readonly bundle?: string;
  readonly options?: Readonly<Record<string, unknown>> | null;
  readonly settings?: Partial<WantedSettings>;
  readonly generation?: number;
  readonly parts?: WantedParts;
  readonly savepoint?: string | null;
  readonly allowDroppedState?: boolean;
  readonly deployed?: boolean;
  readonly configuredModule?: string | null;
  readonly module?: string;
}

/** The last word on every job. */
export function wantedJobs(records: readonly ControlRecord[]): ReadonlyMap<string, WantedJob> {
  const jobs = new Map<string, WantedJob>();
  for (const record of records) if (record.kind === 'job-wanted') jobs.set(record.job, record);
  return jobs;
}

/** What follows from a change; fields of newer versions stay. */
export function changed(
  from: WantedJob,
  change: WantedChange,
  { requestId, atMs }: Pick<WantedJob, 'requestId' | 'atMs'>,
): WantedJob {
  const settings = { ...from.settings, ...change.settings };
  return { ...from, ...change, settings, revision: from.revision + 1, requestId, atMs };
}

export interface ConfiguredJob {
  readonly job: string;
  readonly modulePath: string;
  readonly settings: WantedSettings;
  readonly atMs: number;
}

/**
 * What a job is told to be when a process starts whose configuration file names it: as the file says at first, and from
 * then on only where the file says something else than before. `known` itself when nothing follows.
 */
export function configured(known: WantedJob | undefined, file: ConfiguredJob): WantedJob {
  const { atMs, job, modulePath, settings } = file;
  if (known === undefined) {
    const first = { revision: 1, state: 'RUNNING', generation: 0, version: null, requestId: null } as const;
    return { kind: 'job-wanted', job, ...first, settings, configured: settings, modulePath, atMs };
  }
  const names = Object.keys(settings) as (keyof WantedSettings)[];
  const anew = names.filter((name) => settings[name] !== known.configured[name]);
  if (anew.length === 0 && modulePath === known.modulePath) return known;
  const change = { modulePath, settings: Object.fromEntries(anew.map((name) => [name, settings[name]])) };
  return { ...changed(known, change, { requestId: null, atMs }), configured: settings };
}
