// Owns the tie between a log and a checkpoint store: both carry one installation id from the first start on, and a
// process whose store does not fit the log refuses to start (ARCHITECTURE §3, genesis).

import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { ControlLog } from '#runtime/control/control-log.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface InstallationParts {
  readonly control: ControlLog;
  readonly store: CheckpointStore;
  readonly namespace: string;
  readonly nowMs: number;
  /** A fresh id, used when this is the first start. */
  readonly freshId: string;
}

/** The installation id; writes it on the first start. Error: installation-mismatch. */
export async function claimInstallation(parts: InstallationParts): Promise<string> {
  const { control, store, namespace } = parts;
  const inLog = control.installationId;
  const inStore = await store.readInstallation();
  if (inLog !== null && inStore === inLog) return inLog;
  if (inLog !== null) {
    const has = inStore === null ? 'has none' : `is that of installation ${inStore}`;
    throw new StreamError(
      'installation-mismatch',
      `namespace '${namespace}' of this log belongs to installation ${inLog}, but the checkpoint store ${has}`,
      'give the process the checkpoint store it ran with, or another namespace (MILLRACE_NAMESPACE) for a second installation',
    );
  }
  if (inStore !== null && control.records.some((record) => record.kind === 'job-began')) {
    throw new StreamError(
      'installation-mismatch',
      `the control log of namespace '${namespace}' lost the id of installation ${inStore}`,
      'restore the control topic, or start with an empty checkpoint store under another namespace',
    );
  }
  // The store first: a crash between leaves an id in the store and none in the log, which the next start completes.
  const id = inStore ?? parts.freshId;
  if (inStore === null) await store.writeInstallation(id);
  await control.append({ kind: 'installation', installationId: id, atMs: parts.nowMs });
  return id;
}
