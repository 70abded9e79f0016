// Owns the entry of a commit log: its fields, its bytes and the chain over them. The chain hash of entry n is
// H(chain hash of n-1, bytes of n as written) and travels in the header `chain-hash`, so unknown fields of a newer
// version take part. Does not read or write logs.

import { hash } from 'node:crypto';
import type { InputPosition } from '#checkpoint/contract.ts';
import type { StagedBatch } from '#runtime/log/contract.ts';
import { RecordBatchBuilder, type RecordWalker } from '#runtime/log/record-batch.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { EntryOrigin } from '#runtime/task/origin.ts';
import type { VersionParts } from '#runtime/task/task-version.ts';

export const CHAIN_HASH_HEADER = 'chain-hash';

/** The chain hash before entry 0. */
export const CHAIN_START = '0'.repeat(32);

export interface Genesis {
  /** Partitions of every topic the task reads or writes; a change stops the job. */
  readonly partitionCounts: Readonly<Record<string, number>>;
  /** How many tasks write the exchange this task reads; 0 when it reads a source. */
  readonly writers: number;
}

export interface Entry {
  readonly kind: 'genesis' | 'commit' | 'handover';
  readonly number: number;
  readonly generation: number;
  readonly version: string;
  readonly inputs: readonly InputPosition[];
  readonly clockMs: number;
  /** The source was idle when the entry began, since this moment of the clock. */
  readonly idle?: { readonly sinceMs: number };
  /** Behind the clock's timers the watermark was lifted there, to close what is open. */
  readonly drain?: { readonly watermarkMs: number };
  readonly timersFired: { readonly clock: number; readonly event: number };
  /** Ids of schemas that the registry said do not exist, ascending. */
  readonly schemaMisses?: readonly number[];
  /** Order-free hash over all records of the entry's transaction but the entry itself. */
  readonly outputHash: string;
  readonly outputRecords: number;
  /** Further records of the transaction, outside of hash and count: what the outside world refused. */
  readonly outsideRecords?: number;
  /** A durable checkpoint of an earlier entry. */
  readonly checkpoint?: { readonly name: string; readonly entry: number };
  /** Files of the checkpoint store that may be deleted once this entry is committed. */
  readonly dead?: readonly string[];
  /** The task's part of this savepoint: its state behind the entry, and nothing that was sent behind a marker. */
  readonly savepoint?: string;
  readonly genesis?: Genesis;
  /** Of a genesis whose state is that of a savepoint. */
  readonly origin?: EntryOrigin;
  /** Of its version, where one begins: genesis and handover. */
  readonly parts?: VersionParts;
  readonly handover?: { readonly from: string; readonly to: string; readonly checkpoint: string };
}

/** The entry by which another version goes on behind `last`, from the checkpoint there. */
export function handoverEntry(
  last: Entry,
  now: Pick<Entry, 'version' | 'clockMs' | 'outputHash' | 'parts'> & { readonly checkpoint: string },
): Entry {
  const { version, clockMs, outputHash, checkpoint, parts } = now;
  return {
    kind: 'handover',
    number: last.number + 1,
    generation: last.generation,
    version,
    inputs: last.inputs,
    clockMs,
    timersFired: { clock: 0, event: 0 },
    outputHash,
    outputRecords: 0,
    ...(parts === undefined ? {} : { parts }),
    handover: { from: last.version, to: version, checkpoint },
  };
}

/** An entry as it stands in the log. */
export interface WrittenEntry {
  readonly entry: Entry;
  readonly bytes: Buffer;
  readonly chainHash: string;
}

export function chainHash(previous: string, bytes: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from(previous, 'hex'), bytes]), 'hex').slice(0, 32);
}

/** Seals an entry: its bytes and its place in the chain. */
export function writeEntry(entry: Entry, previousChainHash: string): WrittenEntry {
  const bytes = Buffer.from(JSON.stringify(entry));
  return { entry, bytes, chainHash: chainHash(previousChainHash, bytes) };
}

/** The one-record batch that carries an entry into its commit log. */
export function entryBatch(written: WrittenEntry, topic: string, partition: number): StagedBatch {
  const builder = new RecordBatchBuilder(topic, partition, written.bytes.length + 256);
  builder.append(written.entry.clockMs, null, 0, 0, written.bytes, 0, written.bytes.length, [
    { key: CHAIN_HASH_HEADER, value: Buffer.from(written.chainHash) },
  ]);
  return builder.finish();
}

/** Reads the walker's current record as an entry; its bytes are copied. Error: commit-log-corrupt. */
export function readEntry(walker: RecordWalker, where: string): WrittenEntry {
  const remedy =
    'the commit log was written by something else or damaged; restore it, or start the job under another namespace';
  if (walker.valueStart < 0) throw new StreamError('commit-log-corrupt', `${where}: an entry without value`, remedy);
  const bytes = Buffer.from(walker.bytes.subarray(walker.valueStart, walker.valueEnd));
  const header = walker.headers().find((candidate) => candidate.key === CHAIN_HASH_HEADER);
  if (!header) throw new StreamError('commit-log-corrupt', `${where}: an entry without chain hash`, remedy);
  let entry: Entry;
  try {
    entry = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new StreamError('commit-log-corrupt', `${where}: an entry that is not JSON`, remedy, { cause });
  }
  if (!Number.isSafeInteger(entry.number) || !['genesis', 'commit', 'handover'].includes(entry.kind)) {
    throw new StreamError('commit-log-corrupt', `${where}: an entry of unknown shape`, remedy);
  }
  return { entry, bytes, chainHash: Buffer.from(header.value).toString('latin1') };
}
