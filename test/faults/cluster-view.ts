// Owns who leads which partition now, as any broker that answers says: shared by whatever talks to leaders while they
// move, stop and come back. Asks again only when told that what it knows is wrong; one question at a time.

import { setTimeout as sleep } from 'node:timers/promises';
import { describeCluster, type RawCluster } from '#test/harness/kafka-raw-wire.ts';
import { until } from '#test/integration/oracle/until.ts';

const ASK_AGAIN_MS = 50;

export class ClusterView {
  readonly addresses: readonly string[];
  #cluster: RawCluster | null = null;
  #asking: Promise<void> | null = null;

  constructor(addresses: readonly string[]) {
    this.addresses = addresses;
  }

  /** Where requests for a partition go; null while nobody is known to lead it. */
  leader(topic: string, partition: number): string | null {
    const { brokers, topics } = this.#cluster ?? { brokers: new Map<number, string>(), topics: new Map() };
    return brokers.get(topics.get(topic)?.[partition]?.leader ?? -1) ?? null;
  }

  /** Asks anew, a moment later: what is known was wrong. Never rejects. */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  /** What some broker says now; throws when none answers. */
  async describe(): Promise<RawCluster> {
    let fault: unknown = new Error('there are no brokers');
    for (const address of this.addresses) {
      try {
        return await describeCluster(address, null);
      } catch (error) {
        fault = error;
      }
    }
    throw fault;
  }

  /** Waits until every replica of every partition is in sync and led: until then no other broker may go. */
  async whole(timeoutMs: number): Promise<void> {
    let missing = 'no broker answers';
    const done = async () => {
      const views = await Promise.all(this.addresses.map((address) => describeCluster(address, null))).catch(() => []);
      if (views.length === 0) return false;
      const behind = views.flatMap(({ topics }) =>
        [...topics].flatMap(([topic, partitions]) =>
          partitions.flatMap(({ index, inSync, leader, replicas }) =>
            leader >= 0 && inSync.length === replicas.length ? [] : [`${topic}-${index}`],
          ),
        ),
      );
      missing = `${behind.length} behind: ${behind.slice(0, 5).join()}`;
      return behind.length === 0 && views.every(({ brokers }) => brokers.size === this.addresses.length);
    };
    await until(done, 'all replicas to be in sync', timeoutMs, () => missing);
  }

  async #ask(): Promise<void> {
    await sleep(ASK_AGAIN_MS);
    this.#cluster = await this.describe().catch(() => this.#cluster);
  }
}
