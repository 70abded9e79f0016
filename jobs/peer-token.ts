// Owns the secret by which processes of one installation know each other: made once, and kept in the control log, which
// only they can read.

import { randomBytes } from 'node:crypto';
import type { ControlAppender, ControlRecord } from '#runtime/control/control-log.ts';

/** Null while it is not known. */
export function peerTokenOf(records: readonly ControlRecord[]): string | null {
  const record = records.findLast(({ kind }) => kind === 'peer-token');
  return record?.kind === 'peer-token' ? record.token : null;
}

export async function ensurePeerToken(control: ControlAppender, nowMs: number): Promise<void> {
  if (peerTokenOf(control.records) !== null) return;
  await control.append({ kind: 'peer-token', token: randomBytes(32).toString('hex'), atMs: nowMs });
}
