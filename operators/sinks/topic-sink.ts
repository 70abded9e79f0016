// Owns turning window results into rollup rows of a topic: JSON of CONTRACT section 5 or another format, keyed and
// partitioned by the canonical series. Keeps nothing. Invariant: a result gives exactly one record, in the order results
// come, and says no number that is not the one of the contract: a sum of finite samples beyond 1.8e308 is null in JSON,
// as its avg, Infinity in other formats, and counted.

import { JsonRowEncoder } from '#operators/formats/json-rows.ts';
import { type RollupRow, type RowEncoder, type RowFormatName, rowEncoder } from '#operators/formats/row-encoder.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { quantile } from '#operators/sketch/quantile.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';
import { partitionOf } from '#runtime/std/murmur2.ts';
import type { Batch, KeyTable, Operator, OperatorContext, StatsColumns } from '#runtime/task/contract.ts';

export interface TopicSinkOptions {
  readonly id: string;
  readonly sinkIndex: number;
  readonly topic: string;
  /** Size of the windows in words, such as `1m`. */
  readonly resolution: string;
  readonly keys: KeyTable;
  /** 0 for the live run, higher for backfills. @default 0 */
  readonly run?: number | undefined;
  /** How rows are written. @default 'json' */
  readonly format?: RowFormatName | undefined;
}

/** Counts `rows`, and `sum-overflow`: rows whose sum is beyond the range of numbers. */
export class TopicSink extends Untimed implements Operator {
  readonly id: string;
  readonly #sinkIndex: number;
  readonly #topic: string;
  readonly #keys: KeyTable;
  readonly #run: number;
  readonly #rows: JsonRowEncoder;
  /** Null: rows are JSON. */
  readonly #others: RowEncoder | null;
  readonly #row: RollupRow = {
    windowStartMs: 0,
    windowEndMs: 0,
    count: 0,
    sum: 0,
    min: 0,
    max: 0,
    avg: 0,
    p50: 0,
    p95: 0,
    p99: 0,
    run: 0,
    revision: 0,
  };
  readonly #out = new ByteWriter(4096);
  #context: OperatorContext | null = null;
  #partitionCount = 0;

  constructor(options: TopicSinkOptions) {
    super();
    this.id = options.id;
    this.#sinkIndex = options.sinkIndex;
    this.#topic = options.topic;
    this.#keys = options.keys;
    this.#run = options.run ?? 0;
    this.#rows = new JsonRowEncoder(options.resolution);
    const { format = 'json', keys, resolution } = options;
    this.#others = format === 'json' ? null : rowEncoder(format, resolution, keys);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#partitionCount = context.partitionCount(this.#topic);
  }

  process(batch: Batch): void {
    const stats = batch.stats;
    invariant(stats !== null && this.#context !== null, `sink '${this.id}' takes window results`);
    const { output } = this.#context;
    const out = this.#out;
    const keys = this.#keys;
    let overflowed = 0;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.key[i];
      const sum = stats.sum[i];
      // Infinity or NaN.
      if (sum - sum !== 0) overflowed++;
      out.clear();
      if (this.#others === null) this.#writeJson(stats, i, slot);
      else this.#others.encode(out, slot, this.#rowOf(stats, i));
      // Kafka takes no record timestamp before 1970.
      const timestampMs = Math.max(0, batch.timestampMs[i]);
      const partition = partitionOf(keys.hash(slot), this.#partitionCount);
      const key = keys.canonicalBytes(slot);
      output.append(this.#sinkIndex, this.#topic, partition, timestampMs, key, out.bytes, 0, out.length);
    }
    this.#context.count('rows', batch.count);
    if (overflowed > 0) this.#context.count('sum-overflow', overflowed);
  }

  #writeJson(stats: StatsColumns, i: number, slot: number): void {
    const count = stats.count[i];
    const sum = stats.sum[i];
    const min = stats.min[i];
    const max = stats.max[i];
    const { sketch } = stats;
    const at = stats.sketchStart[i];
    const pairs = stats.sketchLength[i];
    this.#rows.encode(
      this.#out,
      this.#keys.jsonBytes(slot),
      stats.windowStartMs[i],
      stats.windowEndMs[i],
      count,
      sum,
      min,
      max,
      sum / count,
      quantile(0.5, count, sketch, at, pairs, min, max),
      quantile(0.95, count, sketch, at, pairs, min, max),
      quantile(0.99, count, sketch, at, pairs, min, max),
      this.#run,
      stats.revision[i],
    );
  }

  #rowOf(stats: StatsColumns, i: number): RollupRow {
    const row = this.#row;
    const { sketch } = stats;
    const at = stats.sketchStart[i];
    const pairs = stats.sketchLength[i];
    row.windowStartMs = stats.windowStartMs[i];
    row.windowEndMs = stats.windowEndMs[i];
    row.count = stats.count[i];
    row.sum = stats.sum[i];
    row.min = stats.min[i];
    row.max = stats.max[i];
    row.avg = row.sum / row.count;
    row.p50 = quantile(0.5, row.count, sketch, at, pairs, row.min, row.max);
    row.p95 = quantile(0.95, row.count, sketch, at, pairs, row.min, row.max);
    row.p99 = quantile(0.99, row.count, sketch, at, pairs, row.min, row.max);
    row.run = this.#run;
    row.revision = stats.revision[i];
    return row;
  }
}
