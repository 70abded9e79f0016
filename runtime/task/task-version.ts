// Owns what a version of a job is made of, as entries and manifests carry it, and telling in words how two differ.

import type { CheckpointManifest } from '#checkpoint/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { CommitLogEntry } from '#runtime/task/commit-log.ts';
import type { Entry } from '#runtime/task/entry.ts';
import { type TaskPlan, taskName } from '#runtime/task/task-environment.ts';

/** What decides the version of a job, one by one: whoever is refused wants to know which of them differs. */
export interface VersionParts {
  /** Hash of the job: module, plan, options. */
  readonly job: string;
  /** Version of Millrace, operators included. */
  readonly engine: string;
  /** Major version of Node. */
  readonly node: number;
}

const DIVERGENT =
  'start with --accept-divergent-replay (rows already published may differ from the state that goes on from here)';

/** Entries behind `from` were written by another version, and nobody else can replay them. */
export function otherVersion(
  plan: TaskPlan,
  from: number,
  entries: readonly CommitLogEntry[],
  manifest: CheckpointManifest | null,
): StreamError {
  const last = entries[entries.length - 1].entry;
  const written = entries.findLast(({ entry }) => entry.kind === 'commit' && entry.version !== plan.version)?.entry;
  const version = written?.version ?? last.version;
  const parts = partsOf(version, entries, manifest);
  const now = plan.versionParts;
  const others = parts === null || now === undefined ? null : differences(parts, now);
  const what = others === null ? '' : ` (${others.join(', ')})`;
  const with_ = parts === null || others === null ? 'that version' : startedWith(parts, others);
  return new StreamError(
    'version-mismatch',
    `task ${taskName(plan.identity)}: entries ${from + 1} to ${last.number} were written by version ${version}${what}, this is ${plan.version}; they were not checkpointed by a clean stop`,
    `start once with ${with_} and stop it cleanly, or ${DIVERGENT}`,
  );
}

/** Only the version that wrote the last entry can replay up to it. */
export function replaysOnlyItsOwn(plan: TaskPlan, last: Entry): StreamError {
  return new StreamError(
    'version-mismatch',
    `task ${taskName(plan.identity)} is to replay only, but its last entry ${last.number} was written by version ${last.version}, this is ${plan.version}`,
    `replay with version ${last.version}`,
  );
}

/** What is known of a version that wrote entries of this log. */
function partsOf(
  version: string,
  entries: readonly CommitLogEntry[],
  manifest: CheckpointManifest | null,
): VersionParts | null {
  const said = entries.findLast(({ entry }) => entry.version === version && entry.parts !== undefined);
  if (said?.entry.parts !== undefined) return said.entry.parts;
  if (manifest?.version !== version) return null;
  return (manifest.task as { readonly parts?: VersionParts } | null)?.parts ?? null;
}

function differences(was: VersionParts, now: VersionParts): string[] {
  const found: string[] = [];
  if (was.engine !== now.engine) found.push(`by Millrace ${was.engine}, this is ${now.engine}`);
  if (was.node !== now.node) found.push(`on Node ${was.node}, this is ${now.node}`);
  if (was.job !== now.job) found.push('its module, plan or options were others');
  return found;
}

function startedWith(was: VersionParts, others: readonly string[]): string {
  const job = others.some((other) => other.startsWith('its')) ? 'the job as it was, ' : '';
  return `${job}Millrace ${was.engine} on Node ${was.node}`;
}
