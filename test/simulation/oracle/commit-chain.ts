// Owns the verdict on a task's commit log: one chain of entries from 0, each number once, nothing going back, each
// entry telling how many records its transaction brought.

import { hash } from 'node:crypto';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { require } from '#test/simulation/oracle/violation.ts';

export interface CommittedEntry {
  readonly number: number;
  readonly kind: 'genesis' | 'commit' | 'handover';
  readonly version: string;
  readonly clockMs: number;
  readonly idleSinceMs: number | null;
  /** Offset of the input up to which the entry consumed. */
  readonly endOffset: number;
  readonly outputRecords: number;
  /** Records that something outside of the log decided. */
  readonly outsideRecords: number;
  /** Firings of timers. */
  readonly firings: number;
  readonly clockFirings: number;
  readonly chainHash: string;
  readonly dead: readonly string[];
  readonly checkpoint: string | null;
  /** That it was cut for. */
  readonly savepoint: string | null;
  readonly offset: number;
  readonly transaction: string;
  readonly bytes: Buffer;
}

/** Reads and judges the committed records of one task's commit log. */
export function readChain(records: readonly ArchivedRecord[], task: string): CommittedEntry[] {
  const entries: CommittedEntry[] = [];
  let chain = '0'.repeat(32);
  for (const record of records) {
    const bytes = record.value ?? Buffer.alloc(0);
    const fields = JSON.parse(bytes.toString());
    const before = entries.at(-1);
    const where = () => `${task}: entry ${fields.number} at offset ${record.offset} behind entry ${before?.number}`;
    require(fields.number === entries.length, 'commit-log', where);
    chain = hash('sha256', Buffer.concat([Buffer.from(chain, 'hex'), bytes])).slice(0, 32);
    require(record.headers.get('chain-hash')?.toString() === chain, 'commit-log', () => `${where()}: wrong chain hash`);
    require((entries.length === 0) === (fields.kind === 'genesis'), 'commit-log', () => `${where()}: ${fields.kind}`);
    require(record.transaction !== null, 'commit-log', () => `${where()}: outside a transaction`);
    const entry: CommittedEntry = {
      number: fields.number,
      kind: fields.kind,
      version: fields.version,
      clockMs: fields.clockMs,
      idleSinceMs: fields.idle?.sinceMs ?? null,
      endOffset: Number(fields.inputs[0].endOffset),
      outputRecords: fields.outputRecords,
      outsideRecords: fields.outsideRecords ?? 0,
      firings: fields.timersFired.event,
      clockFirings: fields.timersFired.clock,
      chainHash: chain,
      dead: fields.dead ?? [],
      checkpoint: fields.checkpoint?.name ?? null,
      savepoint: fields.savepoint ?? null,
      offset: record.offset,
      transaction: String(record.transaction),
      bytes,
    };
    if (before !== undefined) {
      const isSame = entry.version === before.version || entry.kind === 'handover';
      require(isSame, 'commit-log', () =>
        `${where()}: by ${entry.version}, behind ${before.version} without a handover`);
      require(entry.endOffset >= before.endOffset, 'commit-log', () => `${where()}: its input goes back`);
      require(entry.clockMs >= before.clockMs, 'commit-log', () => `${where()}: its clock goes back`);
    }
    entries.push(entry);
  }
  return entries;
}

/** Every committed record that is no entry belongs to the transaction of one entry, which counts it. */
export function judgeTransactions(
  chains: ReadonlyMap<string, readonly CommittedEntry[]>,
  outputs: Iterable<ArchivedRecord>,
): void {
  const owners = new Map<string, { readonly task: string; readonly entry: CommittedEntry; records: number }>();
  for (const [task, entries] of chains) {
    for (const entry of entries) {
      const twin = owners.get(entry.transaction);
      require(twin === undefined, 'commit-log', () =>
        `${task}: entries ${twin?.entry.number} and ${entry.number} share a transaction`);
      owners.set(entry.transaction, { task, entry, records: 0 });
    }
  }
  for (const record of outputs) {
    const owner = owners.get(String(record.transaction));
    const where = () => `${record.topic}/${record.partition} offset ${record.offset}`;
    require(owner !== undefined, 'commit-log', () => `${where()} was committed without an entry`);
    if (owner !== undefined) owner.records++;
  }
  for (const { task, entry, records } of owners.values()) {
    const told = entry.outputRecords + entry.outsideRecords;
    const text = () => `${task}: entry ${entry.number} tells ${told} records and brought ${records}`;
    require(told === records, 'commit-log', text);
  }
}
