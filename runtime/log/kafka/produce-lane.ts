// Owns sending the batches of one transaction to one leader: at most one batch of a partition per request, at most five
// requests on their way, every answer checked against what was sent. Reports, and leaves the consequences to the writer.

import type { StagedBatch } from '#runtime/log/contract.ts';
import {
  errorName,
  INVALID_RECORD,
  INVALID_TIMESTAMP,
  isRetriedInPlace,
  MESSAGE_TOO_LARGE,
  NONE,
  RECORD_LIST_TOO_LARGE,
} from '#runtime/log/kafka/broker-error.ts';
import type { Connection } from '#runtime/log/kafka/connection.ts';
import type { WrittenPartition } from '#runtime/log/kafka/transaction-ends.ts';
import { type ProducedPartition, produceRequest } from '#runtime/log/kafka/wire/produce.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export interface Lane {
  readonly transactionalId: string;
  readonly version: 8 | 12;
  readonly timeoutMs: number;
  readonly retryMs: number;
  pause(attempt: number): Promise<void>;
  monotonicMs(): number;
  readonly entry: StagedBatch;
  /** Set when the entry's answer is there. */
  entryOffset: bigint;
  /** One for each batch that was taken. */
  readonly taken: WrittenPartition[];
}

export interface ProduceFailure {
  /** Error of the broker, 0 when there is none. */
  readonly error: number;
  readonly detail: string;
  /** Whether every request of the lane has its answer. */
  readonly answered: boolean;
  /** An error that the same records would meet again. */
  readonly final: StreamError | null;
  /** What broke the conversation. */
  readonly cause: unknown;
}

/** What the same records would meet again. */
const FINAL = new Set([MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_TIMESTAMP, INVALID_RECORD]);
const IN_FLIGHT_MAX = 5;
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;

/** Spreads batches over requests, keeping the order within each partition. */
export function laneOf(batches: readonly StagedBatch[]): StagedBatch[][] {
  const requests: StagedBatch[][] = [];
  const sizes: number[] = [];
  const nextOf = new Map<string, number>();
  for (const batch of batches) {
    const name = `${batch.partition} ${batch.topic}`;
    let index = nextOf.get(name) ?? 0;
    while (index < requests.length && sizes[index] + batch.bytes.length > REQUEST_BYTES_MAX) index++;
    if (index >= requests.length) {
      index = requests.length;
      requests.push([]);
      sizes.push(0);
    }
    requests[index].push(batch);
    sizes[index] += batch.bytes.length;
    nextOf.set(name, index + 1);
  }
  return requests;
}

/** Sends all requests; null when every batch was taken. Never rejects for a fault of the world. */
export async function produceLane(
  lane: Lane,
  connect: () => Promise<Connection>,
  requests: readonly (readonly StagedBatch[])[],
): Promise<ProduceFailure | null> {
  const onTheirWay: Promise<ProduceFailure | null>[] = [];
  let failure: ProduceFailure | null = null;
  try {
    const connection = await connect();
    for (const request of requests) {
      if (onTheirWay.length >= IN_FLIGHT_MAX) failure ??= (await onTheirWay.shift()) ?? null;
      if (failure !== null) break;
      // Sending again is only safe when no later batch of the partition is on its way.
      onTheirWay.push(produce(lane, connection, request, requests.length === 1));
    }
  } catch (cause) {
    failure = broken(cause);
  }
  let answered = failure?.answered ?? true;
  for (const outcome of await Promise.all(onTheirWay)) {
    failure ??= outcome;
    if (outcome !== null && !outcome.answered) answered = false;
  }
  return failure === null ? null : { ...failure, answered };
}

async function produce(
  lane: Lane,
  connection: Connection,
  batches: readonly StagedBatch[],
  again: boolean,
): Promise<ProduceFailure | null> {
  const deadlineMs = lane.monotonicMs() + lane.retryMs;
  let left = batches;
  try {
    for (let attempt = 0; ; attempt++) {
      const request = produceRequest(lane.version, lane.transactionalId, lane.timeoutMs, left);
      const results = await connection.request(request);
      const refused: ProducedPartition[] = [];
      const missing = new Set(left);
      for (const result of results) {
        const batch = left.find((one) => one.partition === result.partition && one.topic === result.topic);
        if (batch === undefined) continue;
        missing.delete(batch);
        if (result.error !== NONE) {
          refused.push(result);
          continue;
        }
        const { topic, partition, recordCount } = batch;
        lane.taken.push({ topic, partition, lastOffset: result.baseOffset + BigInt(recordCount - 1) });
        if (batch === lane.entry) lane.entryOffset = result.baseOffset;
      }
      if (missing.size > 0) return refusal(0, `the answer lacks ${missing.size} of ${left.length} partitions`, null);
      if (refused.length === 0) return null;
      const passing = refused.every(({ error }) => isRetriedInPlace(error));
      if (!again || !passing || lane.monotonicMs() > deadlineMs) return judged(refused, left);
      left = left.filter((one) =>
        refused.some(({ topic, partition }) => topic === one.topic && partition === one.partition),
      );
      await lane.pause(attempt);
    }
  } catch (cause) {
    return broken(cause);
  }
}

function judged(refused: readonly ProducedPartition[], batches: readonly StagedBatch[]): ProduceFailure {
  const worst = refused.find(({ error }) => FINAL.has(error)) ?? refused[0];
  const { topic, partition, error, message } = worst;
  const detail = `${topic}/${partition}${message === null ? '' : `: ${message}`}`;
  if (!FINAL.has(error)) return refusal(error, detail, null);
  const batch = batches.find((one) => one.topic === topic && one.partition === partition);
  invariant(batch !== undefined, 'a batch was refused that was not sent');
  const size = `a batch of ${batch.bytes.length} bytes with ${batch.recordCount} records`;
  const text = `${topic}/${partition} does not take ${size}: ${errorName(error)}${message === null ? '' : ` (${message})`}`;
  if (error === INVALID_TIMESTAMP || error === INVALID_RECORD) {
    const remedy = `compare message.timestamp.*.max.ms and cleanup.policy of topic '${topic}' with what is written`;
    return refusal(error, detail, new StreamError('record-refused', text, remedy));
  }
  return refusal(
    error,
    detail,
    new StreamError('record-too-large', text, `raise max.message.bytes of topic '${topic}'`),
  );
}

function refusal(error: number, detail: string, final: StreamError | null): ProduceFailure {
  return { error, detail, answered: true, final, cause: null };
}

function broken(cause: unknown): ProduceFailure {
  return { error: 0, detail: '', answered: false, final: null, cause };
}
