// Owns asking brokers for offsets by place and time: grouped by leader, asked again while leaders move, in order.

import type { OffsetQuery, OffsetSpec } from '#runtime/log/contract.ts';
import { errorName, UNKNOWN_TOPIC_OR_PARTITION } from '#runtime/log/kafka/broker-error.ts';
import { type Cluster, topicUnknown, unavailable } from '#runtime/log/kafka/cluster.ts';
import { EARLIEST, LATEST, listOffsetsRequest, type OffsetAsked } from '#runtime/log/kafka/wire/list-offsets.ts';
import { StreamError } from '#runtime/std/errors.ts';

interface Asked extends OffsetAsked {
  readonly index: number;
  readonly readCommitted: boolean;
}

/** One request to one leader: a partition at most once. */
interface Group {
  readonly leader: number;
  readonly readCommitted: boolean;
  readonly asked: Asked[];
  readonly names: Set<string>;
}

const PAUSE_MS = 50;
const RETRIED = new Set(['log-unavailable', 'log-timeout', 'log-protocol']);

/**
 * In the order asked. By time it is Kafka's own answer: it counts markers and aborted records (time-search.ts does not),
 * and is -1 when nothing is that young. Errors: topic-unknown, log-unavailable, log-timeout.
 */
export async function listOffsets(cluster: Cluster, queries: readonly OffsetQuery[]): Promise<bigint[]> {
  const { clock, requestTimeoutMs } = cluster.options;
  const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
  const offsets = new Array<bigint>(queries.length).fill(-1n);
  let left: Asked[] = queries.map(({ topic, partition, at }, index) => ({
    topic,
    partition,
    index,
    timestamp: timestampOf(at),
    readCommitted: at === 'last-stable',
  }));
  for (let attempt = 0; left.length > 0; attempt++) {
    if (attempt > 0) await cluster.pause(PAUSE_MS * Math.min(attempt, 10));
    const failure = { error: null as StreamError | null };
    const again: Asked[] = [];
    const leaders = await cluster.leaders(left);
    await Promise.all(groups(left, leaders).map((group) => ask(cluster, group, offsets, again, failure)));
    left = again;
    if (left.length === 0) break;
    cluster.forget(left.map(({ topic }) => topic));
    if (clock.monotonicMs() > deadlineMs) throw failure.error ?? unavailable('offsets could not be listed');
  }
  return offsets;
}

function timestampOf(at: OffsetSpec): bigint {
  if (typeof at === 'object') return BigInt(at.timestampMs);
  return at === 'earliest' ? EARLIEST : LATEST;
}

function groups(asked: readonly Asked[], leaders: readonly number[]): Group[] {
  const result: Group[] = [];
  for (let i = 0; i < asked.length; i++) {
    const one = asked[i];
    const name = `${one.partition} ${one.topic}`;
    const fits = (group: Group) =>
      group.leader === leaders[i] && group.readCommitted === one.readCommitted && !group.names.has(name);
    let group = result.find(fits);
    if (group === undefined) {
      group = { leader: leaders[i], readCommitted: one.readCommitted, asked: [], names: new Set() };
      result.push(group);
    }
    group.asked.push(one);
    group.names.add(name);
  }
  return result;
}

async function ask(
  cluster: Cluster,
  group: Group,
  offsets: bigint[],
  again: Asked[],
  failure: { error: StreamError | null },
): Promise<void> {
  const waiting = new Map(group.asked.map((one) => [`${one.partition} ${one.topic}`, one]));
  try {
    const connection = await cluster.shared(group.leader);
    const answers = await connection.request(listOffsetsRequest(group.readCommitted, group.asked));
    for (const { topic, partition, error, offset } of answers) {
      const name = `${partition} ${topic}`;
      const one = waiting.get(name);
      if (one === undefined) continue;
      if (error === 0) {
        offsets[one.index] = offset;
        waiting.delete(name);
      } else {
        const what = `offsets of ${topic}/${partition}: ${errorName(error)}`;
        failure.error = error === UNKNOWN_TOPIC_OR_PARTITION ? topicUnknown(topic) : unavailable(what);
      }
    }
  } catch (error) {
    if (!(error instanceof StreamError) || !RETRIED.has(error.code)) throw error;
    failure.error = error;
  }
  again.push(...waiting.values());
}
