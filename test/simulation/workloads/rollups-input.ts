// Owns the samples that rollups are fed and the moments at which they reach the log, by nobody's hand but the world's:
// whatever happens to the job's processes, producers go on.

import { BROKEN_RECORDS, BROKEN_SAMPLES } from '#test/integration/oracle/broken-records.ts';
import { partitionOfKey } from '#test/integration/oracle/placement.ts';
import { Random as OracleRandom } from '#test/integration/oracle/random.ts';
import { type SampleValue, sampleText } from '#test/integration/oracle/sample-text.ts';
import { makeSeries, type SeriesShape } from '#test/integration/oracle/series-universe.ts';
import { Placement } from '#test/simulation/oracle/placement.ts';
import type { Arrival, Feed } from '#test/simulation/workloads/contract.ts';
import { TopicWriter } from '#test/simulation/workloads/topic-writer.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { World } from '#test/simulation/world/world.ts';
import { record } from '#test/suites/log/bytes.ts';

const DAY_MS = 86_400_000;
/** The midnight that began the world's day. */
const MIDNIGHT_MS = Math.floor(WORLD_EPOCH_MS / DAY_MS) * DAY_MS;

export const SAMPLES = 'samples';

/** Without exchange the source says that a series stays on its partition. */
export type RollupsShape = 'exchange' | 'producer' | 'series';

export interface RollupsFeedOptions {
  readonly seed: number;
  readonly shape: RollupsShape;
  readonly sourcePartitions: number;
  readonly orderly: boolean;
  readonly outOfOrdernessMs: number;
  readonly input: InputShape;
}

export interface InputShape {
  readonly wallMs: number;
  readonly eventSpanMs: number;
  readonly appends: number;
  readonly recordsMax: number;
  readonly seriesCount: number;
  /** Series that come together in one record, now and then: their windows fire in several parts. */
  readonly crowd: number;
  readonly outOfOrderShare: number;
  readonly lateShare: number;
  readonly futureShare: number;
  readonly brokenShare: number;
  readonly notFiniteShare: number;
  readonly arrayShare: number;
  /** Longest silence of a partition, milliseconds; 0: none. */
  readonly pauseMs: number;
  readonly gaps: boolean;
  /** Share of appends by transactional producers, and for how long they stay open at most. */
  readonly transactionShare: number;
  readonly openMs: number;
}

export function drawRollupsInput(random: Random, orderly: boolean): InputShape {
  return {
    wallMs: random.range(4_000, 20_000),
    eventSpanMs: random.pick([180_000, 1_200_000, 5_400_000]),
    appends: random.range(20, 80),
    recordsMax: random.pick([1, 4, 8]),
    seriesCount: random.range(3, 8),
    crowd: random.chance(0.06) ? random.range(300, 700) : 0,
    outOfOrderShare: random.pick([0, 0.2, 0.6]),
    lateShare: orderly ? 0 : random.pick([0, 0.05, 0.2]),
    futureShare: orderly ? 0 : random.pick([0, 0, 0.02]),
    brokenShare: random.pick([0, 0.03, 0.1]),
    notFiniteShare: random.pick([0, 0.03]),
    arrayShare: random.pick([0, 0.1, 0.4]),
    pauseMs: orderly ? 0 : random.pick([0, 8_000]),
    gaps: random.chance(0.3),
    transactionShare: random.pick([0, 0, 0.2]),
    openMs: orderly ? 2_000 : 8_000,
  };
}

interface Series {
  readonly shape: SeriesShape;
  /** Part of the run in which it sends, so that keys come, go and come again. */
  readonly from: number;
  readonly to: number;
  readonly partition: number;
}

export class RollupsInput implements Feed {
  readonly #writer: TopicWriter;
  readonly #options: RollupsFeedOptions;
  readonly #random: Random;
  readonly #texts: OracleRandom;
  readonly #series: readonly Series[];
  readonly #startMs: number;
  readonly #placement = new Placement();

  constructor(world: World, options: RollupsFeedOptions, random: Random) {
    const { input, seed, shape, sourcePartitions } = options;
    this.#writer = new TopicWriter(world);
    this.#options = options;
    this.#random = random;
    this.#texts = new OracleRandom(seed);
    this.#startMs = MIDNIGHT_MS - Math.floor(input.eventSpanMs * random.float());
    this.#series = makeSeries(39, this.#texts)
      .slice(0, input.seriesCount)
      .map((one, i) => ({
        shape: one,
        from: random.chance(0.5) ? 0 : random.float() * 0.6,
        to: random.chance(0.5) ? 1 : random.between(0.5, 1),
        partition:
          shape === 'series' ? partitionOfKey(Buffer.from(one.canonical), sourcePartitions) : i % sourcePartitions,
      }));
  }

  get arrivals(): readonly Arrival[] {
    return this.#writer.arrivals;
  }

  get lastMs(): number {
    return this.#writer.lastMs;
  }

  schedule(): void {
    const { input, sourcePartitions, orderly } = this.#options;
    const random = this.#random;
    const silent = Array.from({ length: sourcePartitions }, () => {
      const fromMs = random.float() * input.wallMs;
      return { fromMs, toMs: fromMs + random.float() * input.pauseMs };
    });
    for (let i = 0; i < input.appends; i++) {
      const progress = i / input.appends;
      const atMs = Math.floor(progress * input.wallMs);
      const partition = random.int(sourcePartitions);
      if (atMs >= silent[partition].fromMs && atMs < silent[partition].toMs) continue;
      this.#appendAt(atMs, partition, progress);
    }
    // Both end together, so that nobody holds the watermark long before idleness.
    for (let partition = 0; orderly && partition < sourcePartitions; partition++) {
      this.#appendAt(input.wallMs, partition, 1);
    }
  }

  #appendAt(atMs: number, partition: number, progress: number): void {
    const { input } = this.#options;
    const random = this.#random;
    const count = random.range(1, input.recordsMax);
    const values: (Buffer | null)[] = [];
    for (let i = 0; i < count; i++) {
      const value = this.#value(partition, progress);
      if (value !== undefined) values.push(value);
    }
    if (values.length === 0) return;
    const gap = input.gaps && random.chance(0.1) ? random.range(1, 9) : 0;
    const openMs = random.chance(input.transactionShare) ? random.int(input.openMs) : 0;
    const commit = random.chance(0.8);
    this.#writer.appendAt(atMs, SAMPLES, partition, { gap, openMs, commit }, () =>
      values.map((value) => record(value, { timestampMs: this.#eventMs(progress) })),
    );
  }

  #eventMs(progress: number): number {
    return this.#startMs + Math.floor(progress * this.#options.input.eventSpanMs);
  }

  #value(partition: number, progress: number): Buffer | null | undefined {
    const { arrayShare, brokenShare, crowd } = this.#options.input;
    const random = this.#random;
    const alive = this.#alive(partition, progress);
    if (alive.length === 0) return undefined;
    if (crowd > 0 && random.chance(0.1)) return this.#crowd(partition, progress);
    const broken = random.chance(brokenShare);
    const breakage = { series: alive[0], timestampMs: this.#eventMs(progress), random: this.#texts };
    if (random.chance(arrayShare)) {
      const texts = Array.from({ length: random.range(1, 5) }, () => this.#sample(random.pick(alive), progress));
      if (broken) texts.splice(random.int(texts.length + 1), 0, random.pick(Object.values(BROKEN_SAMPLES))(breakage));
      return Buffer.from(`[${texts.join(',')}]`);
    }
    if (!broken) return Buffer.from(this.#sample(random.pick(alive), progress));
    if (random.chance(0.5)) return Buffer.from(random.pick(Object.values(BROKEN_SAMPLES))(breakage));
    return random.pick(Object.values(BROKEN_RECORDS))(breakage);
  }

  /** One record with a sample of each of many series. */
  #crowd(partition: number, progress: number): Buffer {
    const { input, shape, sourcePartitions } = this.#options;
    const timestamp = this.#eventMs(progress);
    const samples: object[] = [];
    for (let i = 0; i < input.crowd; i++) {
      const labels = { one: `of-${i}` };
      const canonical = `crowd{one="of-${i}"}`;
      const home = shape === 'series' ? this.#placement.of(canonical, sourcePartitions) : i % sourcePartitions;
      if (shape !== 'exchange' && home !== partition) continue;
      samples.push({ metric_name: 'crowd', timestamp, value: this.#random.int(1000) / 64, labels });
    }
    return Buffer.from(JSON.stringify(samples));
  }

  #alive(partition: number, progress: number): SeriesShape[] {
    const anywhere = this.#options.shape === 'exchange';
    return this.#series
      .filter((one) => progress >= one.from && progress <= one.to && (anywhere || one.partition === partition))
      .map((one) => one.shape);
  }

  #sample(series: SeriesShape, progress: number): string {
    const { input, shape } = this.#options;
    const nowMs = this.#eventMs(progress);
    const random = this.#random;
    // Where several writers meet the order of folding is theirs: exact values have one sum.
    const value: SampleValue = random.chance(input.notFiniteShare)
      ? random.pick(['NaN', '+Inf', '-Inf', null])
      : series.next(this.#texts, shape === 'exchange');
    return sampleText(series, nowMs + this.#shiftMs(nowMs), value, this.#texts);
  }

  #shiftMs(nowMs: number): number {
    const { input, outOfOrdernessMs } = this.#options;
    const random = this.#random;
    if (random.chance(input.lateShare)) return -random.int(random.pick([60_000, 900_000]));
    if (random.chance(input.futureShare)) return random.pick([120_000, DAY_MS]);
    if (!random.chance(input.outOfOrderShare)) return 0;
    // The last millisecond of a window and the first of the next are where windowing goes wrong.
    const sinceMinuteMs = nowMs % 60_000;
    if (sinceMinuteMs < outOfOrdernessMs && random.chance(0.3)) return -sinceMinuteMs - random.int(2);
    return -random.int(outOfOrdernessMs + 1);
  }
}
