// Owns what clients and the writer thread say to each other over a MessagePort: one table of calls, an answer or a
// fault for each, and wakes. A transaction travels as one frame (transaction-frame.ts), transferred there and back.

import type { TopicDescription, TopicPartition, TopicSpec } from '#runtime/log/contract.ts';
import type { RoomReport } from '#runtime/log/embedded/disk-room.ts';
import type { RetentionPolicy } from '#runtime/log/embedded/retention.ts';
import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export interface TransactCall {
  readonly transactionalId: string;
  readonly instance: number;
  /** The frame's storage; comes back with the answer. */
  readonly storage: ArrayBuffer;
  readonly frameBytes: number;
  /** Where each batch of the frame goes; the last is the entry. */
  readonly targets: readonly TopicPartition[];
  readonly expectedEntryOffset: bigint;
}

export interface SubscribeCall extends TopicPartition {
  /** Chosen by the client; wakes carry it. */
  readonly handle: number;
  readonly topicId: string;
}

/** What a reader needs to read a partition's files by itself. */
export interface PartitionAccess {
  /** Directory of the segments, relative to the log's. */
  readonly path: string;
  readonly shared: SharedArrayBuffer;
}

export interface SegmentDescription {
  readonly baseOffset: bigint;
  readonly maxTimestampMs: number;
}

export interface PartitionOutline {
  readonly path: string;
  readonly logStart: bigint;
  readonly end: bigint;
  readonly segments: readonly SegmentDescription[];
}

export interface PublishedOffsets {
  readonly group: string;
  readonly offsets: readonly (TopicPartition & { readonly offset: bigint })[];
}

export interface Calls {
  identity(argument: null): string;
  describeTopics(topics: readonly string[]): (TopicDescription | null)[];
  describeConfig(topic: string): Readonly<Record<string, string>>;
  createTopics(specs: readonly TopicSpec[]): null;
  createPartitions(argument: { readonly topic: string; readonly partitionCount: number }): null;
  deleteTopics(topics: readonly string[]): null;
  listTopics(argument: null): string[];
  outline(at: TopicPartition): PartitionOutline;
  deleteRecords(cuts: readonly (TopicPartition & { readonly before: bigint })[]): null;
  publishOffsets(argument: PublishedOffsets): null;
  /** The instance of the id from now on; every other is shut out. */
  fence(transactionalId: string): number;
  initialiseAgain(argument: { readonly transactionalId: string; readonly instance: number }): number;
  /** The entry's offset. */
  transact(call: TransactCall): bigint;
  subscribe(call: SubscribeCall): PartitionAccess;
  unsubscribe(handle: number): null;
}

export type CallName = keyof Calls;

export type Request = {
  readonly [K in CallName]: { readonly id: number; readonly call: K; readonly argument: Parameters<Calls[K]>[0] };
}[CallName];

export interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

export type Answer =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown; readonly storage: ArrayBuffer | null }
  | { readonly kind: 'failed'; readonly id: number; readonly fault: Fault; readonly storage: ArrayBuffer | null }
  | { readonly kind: 'wake'; readonly handles: readonly number[] };

/** From the main thread that owns the writer thread. */
export type ControlRequest =
  | { readonly kind: 'attach'; readonly port: import('node:worker_threads').MessagePort }
  | { readonly kind: 'retain'; readonly nowMs: number; readonly policy: RetentionPolicy | null }
  | { readonly kind: 'close' };

export type ControlAnswer =
  | { readonly kind: 'opened' }
  | { readonly kind: 'refused'; readonly fault: Fault }
  | { readonly kind: 'note'; readonly message: string }
  | { readonly kind: 'room'; readonly report: RoomReport }
  | { readonly kind: 'broken'; readonly fault: Fault }
  | { readonly kind: 'closed'; readonly fault: Fault | null };

export function toFault(error: StreamError): Fault {
  return { code: error.code, message: error.message, remedy: error.remedy };
}

export function fromFault(fault: Fault): StreamError {
  return new StreamError(fault.code, fault.message, fault.remedy);
}
