// Owns moving leaders while everything runs: each partition that is drawn gets another of its replicas as its preferred
// one, and the preferred ones are elected. Topics of Kafka itself count, so coordinators move, too.

import { body, int32, RawConnection, type RawPartition, text } from '#test/harness/kafka-raw-wire.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { Random } from '#test/integration/oracle/random.ts';
import type { ClusterView } from './cluster-view.ts';

const TIMEOUT_MS = 30_000;
const ELECTION_NOT_NEEDED = 84;

export interface LeaderMoves {
  readonly seed: number;
  /** Of the partitions. */
  readonly share: number;
}

export async function moveLeaders(view: ClusterView, { seed, share }: LeaderMoves): Promise<void> {
  const random = new Random(seed);
  const { topics } = await view.describe();
  const drawn = [...topics]
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([topic, partitions]) => ({ topic, moved: partitions.filter(() => random.chance(share)) }))
    .filter(({ moved }) => moved.length > 0);
  const admin = kafkaJs(view.addresses).admin();
  await admin.connect();
  try {
    const replicas = ({ leader, inSync, replicas: all }: RawPartition) => {
      const next = random.pick(inSync.filter((node) => node !== leader).toSorted());
      return next === undefined ? [...all] : [next, ...all.filter((node) => node !== next)];
    };
    await admin.alterPartitionReassignments({
      topics: drawn.map(({ moved, topic }) => ({
        topic,
        partitionAssignment: moved.map((partition) => ({ partition: partition.index, replicas: replicas(partition) })),
      })),
      timeout: TIMEOUT_MS,
    });
  } finally {
    await admin.disconnect();
  }
  await elect(view.addresses[0], drawn);
}

/** ElectLeaders v0, which knows preferred ones only. */
async function elect(
  address: string,
  topics: readonly { readonly topic: string; readonly moved: readonly RawPartition[] }[],
): Promise<void> {
  const asked = topics.map(({ moved, topic }) =>
    body(text(topic), int32(moved.length), ...moved.map(({ index }) => int32(index))),
  );
  const connection = new RawConnection(address);
  try {
    const payload = body(int32(topics.length), ...asked, int32(TIMEOUT_MS));
    const answer = await connection.request(43, 0, payload, TIMEOUT_MS * 2);
    answer.int32();
    for (let left = answer.int32(); left > 0; left--) {
      const topic = answer.text();
      for (let more = answer.int32(); more > 0; more--) {
        const partition = answer.int32();
        const error = answer.int16();
        const message = answer.text();
        if (error !== 0 && error !== ELECTION_NOT_NEEDED)
          throw new Error(`${topic}-${partition}: no leader elected: error ${error} ${message}`);
      }
    }
  } finally {
    connection.close();
  }
}
