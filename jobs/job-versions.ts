// Owns which versions of a job there were: a fold of what the control log says that it was told to be. Pure.

import type { ControlRecord } from '#runtime/control/control-log.ts';
import type { WantedJob } from '#runtime/control/desired-state.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface JobVersion {
  readonly version: string;
  /** As it was told then. */
  readonly wanted: WantedJob;
  /** When it began to count. */
  readonly atMs: number;
}

/** Shorter ones could mean anything. */
const PREFIX_MIN = 4;

/** The newest first: the one that counts. One that counted twice with another in between is there twice. */
export function jobVersions(records: readonly ControlRecord[], job: string): readonly JobVersion[] {
  const versions: JobVersion[] = [];
  for (const record of records) {
    if (record.kind !== 'job-wanted' || record.job !== job || record.version === null) continue;
    const { atMs, version } = record;
    const last = versions.at(-1);
    if (last?.version === version) versions[versions.length - 1] = { ...last, wanted: record };
    else versions.push({ version, wanted: record, atMs });
  }
  return versions.reverse();
}

/** The newest one that is called so; it may be shortened. Error: version-unknown. */
export function versionNamed(versions: readonly JobVersion[], job: string, name: string): JobVersion {
  const found = versions.filter(
    ({ version }) => version === name || (name.length >= PREFIX_MIN && version.startsWith(name)),
  );
  if (new Set(found.map(({ version }) => version)).size === 1) return found[0];
  const what = found.length === 0 ? `has no version '${name}'` : `has more than one version that begins with '${name}'`;
  throw new StreamError('version-unknown', `job ${job} ${what}`, `name one of: millrace versions ${job}`);
}
