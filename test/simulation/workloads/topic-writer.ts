// Owns what producers outside of the job do to the log: plain batches, batches of transactional producers that stay open
// for a while, gaps as compaction leaves them. Remembers when what arrived.

import { stampBatch } from '#runtime/log/record-batch.ts';
import type { Arrival } from '#test/simulation/workloads/contract.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import type { World } from '#test/simulation/world/world.ts';
import { encodeBatch, type PlainRecord } from '#test/suites/log/bytes.ts';

export interface AppendManner {
  /** Offsets left out behind the batch. */
  readonly gap: number;
  /** How long a transaction stays open; 0: none. */
  readonly openMs: number;
  readonly commit: boolean;
}

export class TopicWriter {
  readonly arrivals: Arrival[] = [];
  /** Virtual time of the last append that was planned. */
  lastMs = 0;
  readonly #world: World;
  #producers = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Lets a batch be written at `atMs`; its records are asked for then. */
  appendAt(
    atMs: number,
    topic: string,
    partition: number,
    manner: AppendManner,
    records: () => readonly PlainRecord[],
  ): void {
    this.lastMs = Math.max(this.lastMs, atMs + manner.openMs);
    this.#world.scheduler.schedule(atMs, 'append', null, () => {
      const { bytes } = encodeBatch(topic, partition, [...records()]);
      if (manner.openMs > 0) this.#appendOpen(topic, partition, bytes, manner);
      else this.#append(topic, partition, bytes, manner.gap);
    });
  }

  #append(topic: string, partition: number, bytes: Buffer, gap: number): void {
    const { cluster, scheduler } = this.#world;
    const at = { topic, partition };
    if (cluster.partition(at) === null) return;
    cluster.append(at, bytes);
    this.arrivals.push({ topic, partition, atMs: scheduler.nowMs, endOffset: cluster.partition(at)!.end });
    if (gap > 0) cluster.leaveGap(at, gap);
  }

  /** By a transactional producer: until it is done nobody reads what lies behind. */
  #appendOpen(topic: string, partition: number, bytes: Buffer, { commit, openMs }: AppendManner): void {
    const { cluster, scheduler } = this.#world;
    const stored = cluster.partition({ topic, partition });
    if (stored === null) return;
    const producerId = ++this.#producers;
    stampBatch(bytes, BigInt(producerId), 0, 0);
    stored.produce(bytes);
    // What is aborted is nobody's to read.
    if (commit) this.arrivals.push({ topic, partition, atMs: scheduler.nowMs, endOffset: stored.end });
    scheduler.schedule(openMs, 'marker of a producer', null, () => {
      stored.writeMarker(producerId, 1, commit, WORLD_EPOCH_MS + Math.floor(scheduler.nowMs));
    });
  }
}
