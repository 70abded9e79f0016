// Owns what the leaders of partitions know and do about the ends of transactions: where one is open, and writing its
// marker. They are asked, not the coordinator: it believes that its markers were written. What to do is decided elsewhere.

import type { TopicPartition } from '#runtime/log/contract.ts';
import {
  CLUSTER_AUTHORIZATION_FAILED,
  errorName,
  INVALID_PRODUCER_EPOCH,
  NONE,
  PRODUCER_FENCED,
} from '#runtime/log/kafka/broker-error.ts';
import type { Cluster } from '#runtime/log/kafka/cluster.ts';
import type { Connection } from '#runtime/log/kafka/connection.ts';
import type { WrittenPartition } from '#runtime/log/kafka/transaction-ends.ts';
import { LATEST, listOffsetsRequest } from '#runtime/log/kafka/wire/list-offsets.ts';
import {
  commitMarkersRequest,
  describeProducersRequest,
  type OpenTransaction,
  type PartitionError,
} from '#runtime/log/kafka/wire/producers.ts';
import { StreamError } from '#runtime/std/errors.ts';

const ENDED = new Set([NONE, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED]);

export class Markers {
  readonly #cluster: Cluster;
  readonly #connect: (nodeId: number) => Promise<Connection>;

  constructor(cluster: Cluster, connect: (nodeId: number) => Promise<Connection>) {
    this.#cluster = cluster;
    this.#connect = connect;
  }

  /** Where the producer id has a transaction open now. */
  async open(partitions: readonly TopicPartition[], producerId: bigint): Promise<readonly OpenTransaction[]> {
    const answers = await this.#ask(partitions, (connection, asked) =>
      connection.request(describeProducersRequest(asked, producerId)),
    );
    const refused = answers.find(({ error }) => error !== NONE);
    if (refused !== undefined) throw failed('DescribeProducers', refused);
    return answers.flatMap(({ open }) => open ?? []);
  }

  /** Those whose last record is not below the last stable offset, or whose leader does not say. */
  async unreadable(written: readonly WrittenPartition[]): Promise<readonly WrittenPartition[]> {
    const last = new Map<string, WrittenPartition>();
    for (const one of written) {
      const name = `${one.partition} ${one.topic}`;
      if ((last.get(name)?.lastOffset ?? -1n) < one.lastOffset) last.set(name, one);
    }
    const asked = [...last.values()].map((one) => ({ ...one, timestamp: LATEST }));
    const answers = await this.#ask(asked, async (connection, own) => [
      ...(await connection.request(listOffsetsRequest(true, own))),
    ]);
    for (const { topic, partition, error, offset } of answers) {
      const name = `${partition} ${topic}`;
      if (error !== NONE) this.#cluster.forget([topic]);
      else if (offset > (last.get(name)?.lastOffset ?? offset)) last.delete(name);
    }
    return [...last.values()];
  }

  /**
   * Ends these as committed; false when this client may not. A partition with a newer epoch refuses, rightly: that
   * writer has looked after them before.
   */
  async commit(open: readonly OpenTransaction[]): Promise<boolean> {
    const answers = await this.#ask(open, (connection, asked) => connection.request(commitMarkersRequest(asked)));
    if (answers.some(({ error }) => error === CLUSTER_AUTHORIZATION_FAILED)) return false;
    const refused = answers.find(({ error }) => !ENDED.has(error));
    if (refused !== undefined) throw failed('WriteTxnMarkers', refused);
    return true;
  }

  async #ask<P extends TopicPartition, A>(
    partitions: readonly P[],
    ask: (connection: Connection, asked: readonly P[]) => Promise<A[]>,
  ): Promise<A[]> {
    const leaders = await this.#cluster.leaders(partitions);
    const byLeader = Map.groupBy(partitions, (_, index) => leaders[index]);
    const answers: A[] = [];
    for (const [leader, asked] of byLeader) answers.push(...(await ask(await this.#connect(leader), asked)));
    return answers;
  }
}

function failed(request: string, { topic, partition, error }: PartitionError): StreamError {
  const message = `${request} of ${topic}/${partition}: ${errorName(error)}`;
  return new StreamError('log-protocol', message, 'check the broker logs and the rights of this client');
}
