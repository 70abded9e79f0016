// Owns removing records below an offset: each partition asked of its leader, asked again while leaders move. kafkajs does
// this only for topics that it looked up before, and with three requests for one.

import type { TopicPartition } from '#runtime/log/contract.ts';
import { errorName, OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION } from '#runtime/log/kafka/broker-error.ts';
import { type Cluster, topicUnknown, unavailable } from '#runtime/log/kafka/cluster.ts';
import { deleteRecordsRequest } from '#runtime/log/kafka/wire/delete-records.ts';
import { StreamError } from '#runtime/std/errors.ts';

type Cut = TopicPartition & { readonly before: bigint };

const PAUSE_MS = 50;
const AUTHORIZATION_FAILED = 29;
const RETRIED = new Set(['log-unavailable', 'log-timeout', 'log-protocol']);

/** Errors: topic-unknown, offset-out-of-range (the cut lies beyond the end), log-unsupported (no right to), log-unavailable. */
export async function cutRecords(cluster: Cluster, cuts: readonly Cut[]): Promise<void> {
  const { clock, requestTimeoutMs } = cluster.options;
  const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
  let left = [...cuts];
  for (let attempt = 0; left.length > 0; attempt++) {
    if (attempt > 0) await cluster.pause(PAUSE_MS * Math.min(attempt, 10));
    const leaders = await cluster.leaders(left);
    const byLeader = Map.groupBy(left, (cut) => leaders[left.indexOf(cut)]);
    const failures: StreamError[] = [];
    const again = await Promise.all(Array.from(byLeader, ([leader, own]) => ask(cluster, leader, own, failures)));
    left = again.flat();
    if (left.length === 0) return;
    cluster.forget(left.map(({ topic }) => topic));
    if (clock.monotonicMs() > deadlineMs) throw failures[0] ?? unavailable('records could not be deleted');
  }
}

/** The cuts that are not done. */
async function ask(cluster: Cluster, leader: number, cuts: readonly Cut[], failures: StreamError[]): Promise<Cut[]> {
  const waiting = new Set(cuts);
  try {
    const connection = await cluster.shared(leader);
    const answers = await connection.request(deleteRecordsRequest(cuts, cluster.options.requestTimeoutMs));
    for (const { topic, partition, error } of answers) {
      const cut = cuts.find((one) => one.topic === topic && one.partition === partition);
      if (cut === undefined) continue;
      if (error === 0) waiting.delete(cut);
      else failures.push(failureOf(cut, error));
    }
  } catch (error) {
    if (!(error instanceof StreamError) || !RETRIED.has(error.code)) throw error;
    failures.push(error);
  }
  return [...waiting];
}

function failureOf({ topic, partition, before }: Cut, error: number): StreamError {
  const what = `records of ${topic}/${partition} below ${before}: ${errorName(error)}`;
  if (error === OFFSET_OUT_OF_RANGE) {
    throw new StreamError('offset-out-of-range', what, 'nothing was deleted: the partition ends before that offset');
  }
  if (error === AUTHORIZATION_FAILED) {
    throw new StreamError('log-unsupported', what, `give this user the right to delete records of topic '${topic}'`);
  }
  return error === UNKNOWN_TOPIC_OR_PARTITION ? topicUnknown(topic, partition) : unavailable(what);
}
