// Owns what the task and the operators know of state and checkpoints. State is a set of pages: (state id, page number)
// → canonical bytes. Nothing here knows what is in a page.

import type { PageSwap } from '#checkpoint/page-swap.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';

/**
 * One named piece of an operator's state. Pages are numbered by the owner (non-negative safe integers, as sparse as it
 * likes). The same logical content must give the same bytes whatever the history: digests compare them.
 */
export interface PagedState {
  /** `<operator id>/<name>`, unique within the task. */
  readonly stateId: string;
  /** Raised when the layout of a page changes; restore refuses a version it was not written with. */
  readonly schemaVersion: number;
  /** Writes the page's canonical bytes; writes nothing when the page holds nothing. Must not change the state. */
  writePage(page: number, out: ByteWriter): void;
  /** Restores one page into empty state; called in ascending order of pages, unless it takes them `inAnyOrder`. */
  readPage(page: number, input: ByteReader): void;
  /** Its pages may be restored in any order, and need not all be in memory at a time. */
  readonly inAnyOrder?: boolean;
  /** Whether pages of another schema can be read. @default none can */
  readsSchema?(version: number): boolean;
  /** As readPage, of such a schema; what it reads counts as changed. */
  readOlderPage?(page: number, input: ByteReader, version: number): void;
  /**
   * Of a table of keys: takes from the pages of another task's table, ascending, the keys that belong here, and notes where
   * they are. Called once for each task that keys come from, before the states that are kept by them.
   */
  adoptKeys?(pages: Iterable<AdoptedPage>, keys: MovedKeys): void;
  /** Takes from a page of another task's state what belongs here; changes this state as any change does. */
  adoptPage?(page: AdoptedPage, keys: MovedKeys): void;
  /** Nothing of it moves when keys are spread over tasks anew: it begins empty, and that is right. @default false */
  readonly beginsAnew?: boolean;
}

export interface AdoptedPage {
  readonly page: number;
  readonly input: ByteReader;
  /** Schema version it was written with. */
  readonly version: number;
}

/** Where keys of another task's table went, while its state moves. A state without either way to be adopted cannot. */
export interface MovedKeys {
  /** Whether a key of this hash (murmur2) belongs here. */
  belongs(hash: number): boolean;
  place(from: number, to: number): void;
  /** Slot here of a slot there; -1: the key belongs to another task. */
  slotOf(from: number): number;
}

/**
 * Says which pages change. The owner calls `touch(page)` BEFORE it changes a page for the first time in an epoch (the
 * page may have to be copied for a snapshot in progress). Hot loops keep the epoch per page and compare:
 * `if (pageEpoch[p] !== tracker.epoch) { tracker.touch(page); pageEpoch[p] = tracker.epoch }`.
 * Epochs grow from 1; keep 0 for "never".
 */
export interface PageTracker {
  readonly epoch: number;
  touch(page: number): void;
}

/** What of the keyed state of a task lies where. Bytes in memory are estimated. */
export interface SwapStatus {
  /** Of all tasks of the slot. */
  readonly budgetBytes: number;
  readonly pagesInMemory: number;
  readonly bytesInMemory: number;
  /** Outside memory, whether in it too or not. */
  readonly pagesSwapped: number;
  readonly bytesSwapped: number;
  /** Uses of pages that were in memory, and of pages that had to come back. */
  readonly hits: number;
  readonly misses: number;
}

/**
 * How a value becomes bytes. Equal values give equal bytes, and what is read back cannot be told from what was written:
 * when a value leaves memory and comes back depends on the memory of the machine, and nothing else may.
 */
export interface ValueCodec<V> {
  readonly schemaVersion: number;
  /** What a state keeps of a value it is given: refuses what it cannot hold, copies what may change under it. */
  own?(value: V): V;
  write(value: V, out: ByteWriter): void;
  read(input: ByteReader): V;
  /** What reads values of another schema version; null: nothing does. @default nothing */
  readOlder?(schemaVersion: number): ((input: ByteReader) => V) | null;
}

/** What reads values that were written under a schema version; null: `codec` cannot. */
export function readerOf<V>(codec: ValueCodec<V>, schemaVersion: number): ((input: ByteReader) => V) | null {
  if (schemaVersion === codec.schemaVersion) return (input) => codec.read(input);
  return codec.readOlder?.(schemaVersion) ?? null;
}

/** One value per key slot. */
export interface ValueStore<V> {
  /** Number of keys that have a value. */
  readonly size: number;
  /** The value, to be read only; undefined when the key has none. */
  get(slot: number): V | undefined;
  has(slot: number): boolean;
  /** The value, to be changed in place before the next call on this store. */
  change(slot: number): V | undefined;
  set(slot: number, value: V): void;
  /** True when the key had a value. */
  delete(slot: number): boolean;
  /** Slots that have a value, ascending. */
  slots(): IterableIterator<number>;
  /** Slots and their values, to be read only, ascending by slot: the way to look at all of a state larger than memory. */
  entries(): IterableIterator<readonly [slot: number, value: V]>;
}

export interface StateRegistry {
  /** Called in `open`, before restore. Ids must be unique. */
  register(state: PagedState): PageTracker;
  /** Where pages of keyed state go when memory is short; absent or null: all state stays in memory. */
  readonly swap?: PageSwap | null;
}

/** What an operator library needs to read and write: the rest of the task's memory at an entry, kept in the manifest. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Which task a checkpoint belongs to; the directory name in the store. */
export interface TaskIdentity {
  readonly namespace: string;
  readonly job: string;
  readonly run: string;
  readonly generation: number;
  readonly stage: string;
  readonly partition: number;
}

export interface InputPosition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  /** Offset up to which the input was consumed, as decimal text. */
  readonly endOffset: string;
}

/** What the task says about the moment it captures. */
export interface CheckpointMoment {
  readonly entry: number;
  readonly chainHash: string;
  readonly version: string;
  readonly inputs: readonly InputPosition[];
  readonly clockMs: number;
  readonly watermarkMs: number;
  /** Task-level memory that is not pages: watermark contributions, exchange send times, … */
  readonly task: Json;
}

/** One segment file as a manifest names it. */
export interface CheckpointSegment {
  readonly name: string;
  readonly lengthBytes: number;
  /** Of the whole file, lower-case hex. */
  readonly sha256: string;
  /** Page records in the file. */
  readonly records: number;
  /** Which records are the state: `all`, or base64 of a bitmap, record i in bit i % 8 (least first) of byte i / 8. */
  readonly live: string;
}

/** A checkpoint as written to `<entry>-<attempt>.manifest.json`. checkpoint/README.md describes every field. */
export interface CheckpointManifest extends CheckpointMoment {
  readonly format: 1;
  readonly identity: TaskIdentity;
  readonly attempt: string;
  /** Offset of the entry in the task's commit log, decimal text. */
  readonly entryOffset: string;
  readonly createdMs: number;
  readonly schemaVersions: Readonly<Record<string, number>>;
  readonly segments: readonly CheckpointSegment[];
  /** Order-free digest over all pages of the state. */
  readonly digest: string;
}

/** A durable checkpoint that a committed entry may name. */
export interface CheckpointReference {
  readonly name: string;
  readonly entry: number;
  readonly chainHash: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** A snapshot under way. Pages are copied when they are touched, the rest by `advance`. */
export interface PendingCheckpoint {
  /** Serialises up to about `bytesMax` more; true when nothing is left. Synchronous. */
  advance(bytesMax: number): boolean;
  /** Bytes serialised and not yet written: beyond `snapshotBytesMax` the task waits for `writeSegments`. */
  readonly heldBytes: number;
  /** Of the files written for it so far. */
  readonly writtenBytes: number;
  /** Makes what was serialised so far durable; call again until `advance` returned true and this resolved after. */
  writeSegments(): Promise<void>;
  /**
   * Renames the manifest into place. Only after the entry is known to be committed, and everything is written. After a
   * failure it may be called again, or abandoned.
   */
  publish(entryOffset: bigint): Promise<CheckpointReference>;
  /** Gives up; its files stay as orphans. Touched pages count as changed for the next checkpoint. */
  abandon(): void;
}

/** How far a stored checkpoint may differ from the registered states. */
export interface StateFit {
  /** States that no operator has any more are dropped. @default they are refused */
  readonly allowDropped?: boolean;
  /** The state that holds the keys whose slots a state speaks of; null: it is not kept by key. @default none is */
  tableOf?(stateId: string): string | null;
}

/** A task's part of a savepoint, as the state of others begins with it. */
export interface AdoptedPart {
  readonly identity: TaskIdentity;
  readonly savepoint: string;
  /** Name of the manifest. */
  readonly manifest: string;
}

export interface Adoption {
  /** In the order in which their keys get their slots. */
  readonly parts: readonly AdoptedPart[];
  /** Which keys belong here: those whose hash is this partition; null: all. */
  readonly spread: { readonly partition: number; readonly partitions: number } | null;
  readonly fit: StateFit;
}

/** The checkpoints and the page set of one task, for one attempt. Knows no entry but what it is told. */
export interface TaskCheckpoints extends StateRegistry {
  /**
   * Restores the newest stored checkpoint that `accept` takes and whose files are whole; the manifest, or null when
   * there is none. Damaged ones are logged and passed over. `stored` says how many manifests the store held.
   */
  restore(
    accept: (manifest: CheckpointManifest) => boolean,
    fit?: StateFit,
  ): Promise<{
    readonly manifest: CheckpointManifest | null;
    readonly stored: number;
  }>;
  /**
   * Fills the empty state with what parts of a savepoint hold of this task's keys, part by part; after `restore` found
   * nothing. Errors: checkpoint-corrupt, version-mismatch, state-not-movable.
   */
  adopt(adoption: Adoption): Promise<void>;
  /** Captures the state as it is now. At most one may be pending. */
  capture(moment: CheckpointMoment): PendingCheckpoint;
  /** Order-free digest over all pages as they are now (synchronous; cost: the pages changed since the last call). */
  digest(): string;
  /** Of every registered state, by its id. */
  schemaVersions(): Readonly<Record<string, number>>;
  /** Number of bytes of the pages as last serialised. */
  readonly sizeBytes: number;
  /**
   * Lets pages leave memory until its budget holds; to be awaited between entries, never while an operator works.
   * Errors: disk-failed, state-corrupt.
   */
  relieve(): Promise<void>;
  /** Throws when state could not be read since the last `relieve`: what was computed since must not be committed. */
  requireSound(): void;
  /** What of keyed state is in memory; null when all of it always is. */
  memory(): SwapStatus | null;
  /** The attempt ends: gives up memory and what lies outside. Checkpoints stay. */
  close(): Promise<void>;
  /** Checkpoints that are kept, oldest first: `keep` newest of those whose chain is known to be committed. */
  kept(): readonly CheckpointReference[];
  /** Inputs and entry offset of the oldest kept checkpoint: logs may be trimmed below. Null when none is kept. */
  oldestKept(): CheckpointManifest | null;
  /**
   * Keeps a copy of a kept or published checkpoint as the task's part of a savepoint, durably. Errors of the store.
   */
  keepAs(savepoint: string, reference: CheckpointReference): Promise<void>;
  /** Tells that a committed entry names `reference`; older ones may become dead. */
  confirm(reference: CheckpointReference): void;
  /** File names that may be deleted once a committed entry lists them. */
  dead(): readonly string[];
  /** Deletes files that a committed entry listed. A missing file is no error. */
  deleteListed(files: readonly string[]): Promise<void>;
  /** Deletes files of this task that no kept manifest names. Only by the owner, after its first commit. */
  deleteOrphans(): Promise<void>;
}

/** Where checkpoints live. One directory of files per task; names are chosen so that no other attempt can use them. */
export interface CheckpointStore {
  /**
   * Meets at start what the first checkpoint would meet later. `token` is one that no other process uses. Errors:
   * directory-not-writable, store-refused.
   */
  requireWritable(token: string): Promise<void>;
  /** The installation this store belongs to, or null when it is new. */
  readInstallation(): Promise<string | null>;
  /** Writes it durably. Fails if there is another one. */
  writeInstallation(installationId: string): Promise<void>;
  /** What is there, whoever wrote it, and durable when it resolves. */
  list(task: TaskIdentity): Promise<string[]>;
  /** The whole file; `checkpoint-corrupt` when it is not there. */
  read(task: TaskIdentity, name: string): Promise<Uint8Array>;
  /** Durable when it resolves: temporary name, sync, rename, sync of the directory. Never replaces a file. */
  write(task: TaskIdentity, name: string, bytes: Uint8Array): Promise<void>;
  remove(task: TaskIdentity, names: readonly string[]): Promise<void>;
  /** The same file under the same name in another place, durably; nothing when it is there. Error: checkpoint-corrupt. */
  copy(from: TaskIdentity, to: TaskIdentity, name: string): Promise<void>;
}
