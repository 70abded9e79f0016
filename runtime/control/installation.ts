// Owns the tie between a log and a checkpoint store: both carry one installation id from the first start on, and a
// process whose store does not fit the log refuses to start (ARCHITECTURE §3, genesis).

import type { CheckpointStore } from '#checkpoint/contract.ts';
import { type ControlAppender, type ControlRecord, controlTopic } from '#runtime/control/control-log.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface InstallationParts {
  readonly control: ControlAppender;
  readonly store: CheckpointStore;
  readonly names: InstallationNames;
  readonly nowMs: number;
  /** A fresh id, used when this is the first start. */
  readonly freshId: string;
}

export interface InstallationNames {
  readonly namespace: string;
  /** Where the checkpoint store is, for messages. */
  readonly storeName: string;
}

/**
 * Compares what log and store say, before anything is fenced: a stranger must not disturb the rightful owner.
 * The id both carry, or null when this may be a first start. Error: installation-mismatch.
 */
export function checkInstallation(
  records: readonly ControlRecord[],
  inStore: string | null,
  { namespace, storeName }: InstallationNames,
): string | null {
  const record = records.find((candidate) => candidate.kind === 'installation');
  const inLog = record?.kind === 'installation' ? record.installationId : null;
  if (inLog !== null && inStore === inLog) return inLog;
  if (inLog !== null) {
    const has = inStore === null ? 'has none' : `is that of ${inStore}`;
    throw new StreamError(
      'installation-mismatch',
      `namespace '${namespace}' of this log belongs to installation ${inLog}, but the checkpoint store ${storeName} ${has}`,
      'give the process the checkpoint store it ran with; a second installation needs another namespace (MILLRACE_NAMESPACE)',
    );
  }
  if (inStore !== null && records.some((candidate) => candidate.kind === 'job-began')) {
    throw new StreamError(
      'installation-mismatch',
      `the control log of namespace '${namespace}' lost the id of installation ${inStore}`,
      `restore topic '${controlTopic(namespace)}' from a backup, or begin anew with another namespace, an empty checkpoint store and other output topics`,
    );
  }
  return null;
}

/** The installation id; writes it on the first start. Error: installation-mismatch. */
export async function claimInstallation(parts: InstallationParts): Promise<string> {
  const { control, store, names } = parts;
  const inStore = await store.readInstallation();
  const known = checkInstallation(control.records, inStore, names);
  if (known !== null) return known;
  // The store first: a crash between leaves an id in the store and none in the log, which the next start completes.
  const id = inStore ?? parts.freshId;
  if (inStore === null) await store.writeInstallation(id);
  await control.append({ kind: 'installation', installationId: id, atMs: parts.nowMs });
  return id;
}
