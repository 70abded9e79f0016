// Owns what a transaction's end leaves in the partitions: where the marker of one is missing, and writing it. The
// leaders are asked, not the coordinator: it believes that its markers were written.

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
import {
  commitMarkersRequest,
  describeProducersRequest,
  type OpenTransaction,
  type PartitionError,
} from '#runtime/log/kafka/wire/producers.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** Markers follow their transaction within 35 ms; 130 ms were seen right after a broker's start. */
const MARKER_LAG_MAX_MS = 1_000;

const ENDED = new Set([NONE, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED]);

export class Markers {
  readonly #cluster: Cluster;
  readonly #connect: (nodeId: number) => Promise<Connection>;

  constructor(cluster: Cluster, connect: (nodeId: number) => Promise<Connection>) {
    this.#cluster = cluster;
    this.#connect = connect;
  }

  /** Where the producer id has a transaction open and keeps it: markers that are only late are waited for. */
  async missing(partitions: readonly TopicPartition[], producerId: bigint): Promise<readonly OpenTransaction[]> {
    const open = await this.#open(partitions, producerId);
    if (open.length === 0) return open;
    await this.#cluster.pause(MARKER_LAG_MAX_MS);
    return this.#open(open, producerId);
  }

  async #open(partitions: readonly TopicPartition[], producerId: bigint): Promise<readonly OpenTransaction[]> {
    const answers = await this.#ask(partitions, (connection, asked) =>
      connection.request(describeProducersRequest(asked, producerId)),
    );
    const refused = answers.find(({ error }) => error !== NONE);
    if (refused !== undefined) throw failed('DescribeProducers', refused);
    return answers.flatMap(({ open }) => open ?? []);
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
