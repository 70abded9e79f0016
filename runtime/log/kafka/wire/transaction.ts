// Owns the requests of a transactional producer except Produce: InitProducerId v4, AddPartitionsToTxn v3, EndTxn in
// version 5 (transaction.version 2: the epoch changes with every transaction) or 3, and DescribeTransactions v0.

import type { TopicPartition } from '#runtime/log/contract.ts';
import {
  compactPartitions,
  type WireReader,
  type WireRequest,
  type WireWriter,
} from '#runtime/log/kafka/wire/codec.ts';

/** Who a producer is to the brokers. */
export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly epoch: number;
}

export interface IdentityAnswer {
  readonly error: number;
  readonly identity: ProducerIdentity;
}

export const NOBODY: ProducerIdentity = { producerId: -1n, epoch: -1 };

export function initProducerIdRequest(
  transactionalId: string,
  timeoutMs: number,
  own: ProducerIdentity,
): WireRequest<IdentityAnswer> {
  return {
    name: 'InitProducerId',
    apiKey: 22,
    version: 4,
    flexible: true,
    encode(out: WireWriter) {
      out.compactText(transactionalId);
      out.i32(timeoutMs);
      out.i64(own.producerId);
      out.i16(own.epoch);
      out.tags();
    },
    decode(input: WireReader): IdentityAnswer {
      input.i32();
      const error = input.i16();
      return { error, identity: { producerId: input.i64(), epoch: input.i16() } };
    },
  };
}

/** Answers the worst error of all partitions. */
export function addPartitionsRequest(
  transactionalId: string,
  own: ProducerIdentity,
  partitions: readonly TopicPartition[],
): WireRequest<{ readonly error: number; readonly count: number }> {
  return {
    name: 'AddPartitionsToTxn',
    apiKey: 24,
    version: 3,
    flexible: true,
    encode(out: WireWriter) {
      out.compactText(transactionalId);
      out.i64(own.producerId);
      out.i16(own.epoch);
      compactPartitions(out, partitions);
      out.tags();
    },
    decode(input: WireReader) {
      input.i32();
      let error = 0;
      let count = 0;
      for (let topics = input.compactCount(); topics > 0; topics--) {
        input.compactText();
        for (let left = input.compactCount(); left > 0; left--) {
          input.i32();
          const one = input.i16();
          // OPERATION_NOT_ATTEMPTED (55) only says that another partition of the request failed.
          if (one !== 0 && (error === 0 || error === 55)) error = one;
          count++;
          input.tags();
        }
        input.tags();
      }
      return { error, count };
    },
  };
}

/** Version 5 answers the identity for the next transaction; with version 3 it stays `own`. */
export function endTransactionRequest(
  version: 3 | 5,
  transactionalId: string,
  own: ProducerIdentity,
  commit: boolean,
): WireRequest<IdentityAnswer> {
  return {
    name: commit ? 'EndTxn(commit)' : 'EndTxn(abort)',
    apiKey: 26,
    version,
    flexible: true,
    encode(out: WireWriter) {
      out.compactText(transactionalId);
      out.i64(own.producerId);
      out.i16(own.epoch);
      out.i8(commit ? 1 : 0);
      out.tags();
    },
    decode(input: WireReader): IdentityAnswer {
      input.i32();
      const error = input.i16();
      const identity = version === 5 ? { producerId: input.i64(), epoch: input.i16() } : own;
      return { error, identity };
    },
  };
}

export interface TransactionState {
  readonly error: number;
  /** Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead, PrepareEpochFence. */
  readonly state: string;
  readonly producerId: bigint;
  readonly epoch: number;
  readonly startMs: bigint;
}

export function isSameState(one: TransactionState, other: TransactionState): boolean {
  const { error, state, producerId, epoch, startMs } = other;
  const sameProducer = one.producerId === producerId && one.epoch === epoch;
  return one.error === error && one.state === state && sameProducer && one.startMs === startMs;
}

/** What the coordinator knows of an id: its last transaction, until the id is initialised again. */
export function describeTransactionRequest(transactionalId: string): WireRequest<TransactionState> {
  return {
    name: 'DescribeTransactions',
    apiKey: 65,
    version: 0,
    flexible: true,
    encode(out: WireWriter) {
      out.compactCount(1);
      out.compactText(transactionalId);
      out.tags();
    },
    decode(input: WireReader): TransactionState {
      input.i32();
      input.compactCount();
      const error = input.i16();
      input.compactText();
      const state = input.compactText() ?? '';
      input.i32();
      const startMs = input.i64();
      return { error, state, startMs, producerId: input.i64(), epoch: input.i16() };
    },
  };
}
