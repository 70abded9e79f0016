// Owns feeding streams of JSON records to the log: when which partition gets how many, how far their event times are
// apart from the order they come in, which of them are broken. What a record says is the workload's.

import type { Arrival, Feed } from '#test/simulation/workloads/contract.ts';
import { TopicWriter } from '#test/simulation/workloads/topic-writer.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { World } from '#test/simulation/world/world.ts';
import { record } from '#test/suites/log/bytes.ts';

const BROKEN = ['', '{', 'null and more', '{"at":"soon"}', '{"at":1.5}', '[]', '{"at":9e15}'];

export interface FeedShape {
  readonly wallMs: number;
  readonly eventSpanMs: number;
  readonly appends: number;
  readonly recordsMax: number;
  /** Event times are multiples of it: where it is large many fall together, or upon a bound. */
  readonly grainMs: number;
  readonly outOfOrderShare: number;
  readonly lateShare: number;
  readonly lateMaxMs: number;
  readonly futureShare: number;
  readonly brokenShare: number;
  /** Longest silence of a partition; 0: none. */
  readonly pauseMs: number;
  readonly gaps: boolean;
  readonly transactionShare: number;
  readonly openMs: number;
}

export function drawFeed(random: Random, orderly: boolean, eventSpansMs: readonly number[]): FeedShape {
  return {
    wallMs: random.range(4_000, 15_000),
    eventSpanMs: random.pick(eventSpansMs),
    appends: random.range(20, 60),
    recordsMax: random.pick([1, 4, 8]),
    grainMs: random.pick([1, 1_000]),
    outOfOrderShare: random.pick([0, 0.2, 0.6]),
    lateShare: orderly ? 0 : random.pick([0, 0.05, 0.2]),
    lateMaxMs: random.pick([30_000, 300_000]),
    futureShare: orderly ? 0 : random.pick([0, 0, 0.02]),
    brokenShare: random.pick([0, 0.03, 0.1]),
    pauseMs: orderly ? 0 : random.pick([0, 8_000]),
    gaps: random.chance(0.3),
    transactionShare: random.pick([0, 0, 0.2]),
    openMs: orderly ? 2_000 : 8_000,
  };
}

export interface FedStream {
  readonly topic: string;
  readonly partitions: number;
  /** How often it is chosen beside the others. @default 1 */
  readonly weight?: number;
  /** What the record of an event time says; its `at` is that time. */
  record(atMs: number, partition: number, random: Random): object;
}

export interface RecordFeedOptions {
  readonly shape: FeedShape;
  readonly orderly: boolean;
  readonly outOfOrdernessMs: number;
  readonly streams: readonly FedStream[];
  /** @default what is no record of any job */
  readonly broken?: readonly string[];
}

interface FedPartition {
  readonly stream: FedStream;
  readonly partition: number;
  readonly silentFromMs: number;
  readonly silentToMs: number;
}

export class RecordFeed implements Feed {
  readonly #writer: TopicWriter;
  readonly #options: RecordFeedOptions;
  readonly #random: Random;
  readonly #startMs: number;

  constructor(world: World, options: RecordFeedOptions, random: Random) {
    this.#writer = new TopicWriter(world);
    this.#options = options;
    this.#random = random;
    this.#startMs = WORLD_EPOCH_MS - Math.floor(options.shape.eventSpanMs * random.float());
  }

  get arrivals(): readonly Arrival[] {
    return this.#writer.arrivals;
  }

  get lastMs(): number {
    return this.#writer.lastMs;
  }

  schedule(): void {
    const { orderly, shape, streams } = this.#options;
    const random = this.#random;
    const places = streams.flatMap((stream) =>
      Array.from({ length: stream.partitions }, (_, at) => this.#place(stream, at)),
    );
    const chosen = places.flatMap((place) => new Array<FedPartition>(place.stream.weight ?? 1).fill(place));
    for (let i = 0; i < shape.appends; i++) {
      const progress = i / shape.appends;
      const atMs = Math.floor(progress * shape.wallMs);
      const place = random.pick(chosen);
      if (atMs < place.silentFromMs || atMs >= place.silentToMs) this.#appendAt(atMs, place, progress);
    }
    // All end together, so that nobody holds the watermark long before idleness.
    if (orderly) for (const place of places) this.#appendAt(shape.wallMs, place, 1);
  }

  #place(stream: FedStream, partition: number): FedPartition {
    const { pauseMs, wallMs } = this.#options.shape;
    const silentFromMs = this.#random.float() * wallMs;
    return { stream, partition, silentFromMs, silentToMs: silentFromMs + this.#random.float() * pauseMs };
  }

  #appendAt(atMs: number, { partition, stream }: FedPartition, progress: number): void {
    const { shape } = this.#options;
    const random = this.#random;
    const values = Array.from({ length: random.range(1, shape.recordsMax) }, () => {
      if (random.chance(shape.brokenShare)) return random.pick(this.#options.broken ?? BROKEN);
      const shiftedMs = this.#eventMs(progress) + this.#shiftMs();
      const eventMs = shiftedMs - (shiftedMs % shape.grainMs);
      return JSON.stringify({ ...stream.record(eventMs, partition, random), at: eventMs });
    });
    const manner = {
      gap: shape.gaps && random.chance(0.1) ? random.range(1, 9) : 0,
      openMs: random.chance(shape.transactionShare) ? random.int(shape.openMs) : 0,
      commit: random.chance(0.8),
    };
    const timestampMs = this.#eventMs(progress);
    this.#writer.appendAt(atMs, stream.topic, partition, manner, () =>
      values.map((value) => record(value, { timestampMs })),
    );
  }

  #eventMs(progress: number): number {
    return this.#startMs + Math.floor(progress * this.#options.shape.eventSpanMs);
  }

  #shiftMs(): number {
    const { outOfOrdernessMs, shape } = this.#options;
    const random = this.#random;
    if (random.chance(shape.lateShare)) return -random.int(shape.lateMaxMs);
    if (random.chance(shape.futureShare)) return random.pick([20_000, 86_400_000]);
    return random.chance(shape.outOfOrderShare) ? -random.int(outOfOrdernessMs + 1) : 0;
  }
}
