// Owns writing rollup rows in formats other than JSON: Avro by a schema of our own, and remote-write requests with the
// eight series of a row. Knows no window and no topic. Invariant: a row's bytes depend on the row alone; what is kept by
// slot is dropped when the slot gets another series.

import { encodeSharedLabels, type SharedLabels, writeNamedSeries } from '#operators/formats/remote-write-encoder.ts';
import type { LabelPair } from '#operators/series/canonical.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { compressSnappy } from '#runtime/std/snappy.ts';
import { type KeyTable, ROLLUP_VALUES } from '#runtime/task/contract.ts';

export type RowFormatName = 'json' | 'avro' | 'remote-write';
export const ROW_FORMATS: readonly RowFormatName[] = ['json', 'avro', 'remote-write'];

/** A row beside its series; one object, filled anew for each. */
export interface RollupRow {
  windowStartMs: number;
  windowEndMs: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  avg: number;
  p50: number;
  p95: number;
  p99: number;
  run: number;
  revision: number;
}

export interface RowEncoder {
  /** Appends the row of the series in that slot. */
  encode(out: ByteWriter, slot: number, row: RollupRow): void;
}

/** What Avro rows are written with; register it where readers look. */
export const ROLLUP_ROW_SCHEMA = {
  type: 'record',
  name: 'RollupRow',
  namespace: 'millrace',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'labels', type: { type: 'map', values: 'string' } },
    { name: 'resolution', type: 'string' },
    { name: 'window_start', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'window_end', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'count', type: 'long' },
    { name: 'sum', type: 'double' },
    { name: 'min', type: 'double' },
    { name: 'max', type: 'double' },
    { name: 'avg', type: 'double' },
    { name: 'p50', type: 'double' },
    { name: 'p95', type: 'double' },
    { name: 'p99', type: 'double' },
    { name: 'run', type: 'int' },
    { name: 'revision', type: 'int' },
  ],
} as const;

/** What is made of a series once, by slot. A slot's canonical bytes are another object once it holds another series. */
class SeriesParts<T> {
  readonly #keys: KeyTable;
  readonly #make: (metricName: string, labels: readonly LabelPair[]) => T;
  readonly #of: (Uint8Array | undefined)[] = [];
  readonly #parts: T[] = [];

  constructor(keys: KeyTable, make: (metricName: string, labels: readonly LabelPair[]) => T) {
    this.#keys = keys;
    this.#make = make;
  }

  get(slot: number): T {
    const canonical = this.#keys.canonicalBytes(slot);
    if (this.#of[slot] !== canonical) {
      this.#of[slot] = canonical;
      this.#parts[slot] = this.#make(this.#keys.metricName(slot), this.#keys.labels(slot));
    }
    return this.#parts[slot];
  }
}

class AvroRowEncoder implements RowEncoder {
  readonly #series: SeriesParts<Buffer>;
  readonly #resolution: Buffer;

  constructor(resolution: string, keys: KeyTable) {
    this.#resolution = avroText(resolution);
    this.#series = new SeriesParts(keys, avroSeries);
  }

  encode(out: ByteWriter, slot: number, row: RollupRow): void {
    out.raw(this.#series.get(slot));
    out.raw(this.#resolution);
    out.varint(row.windowStartMs);
    out.varint(row.windowEndMs);
    out.varint(row.count);
    out.f64(row.sum);
    out.f64(row.min);
    out.f64(row.max);
    out.f64(row.avg);
    out.f64(row.p50);
    out.f64(row.p95);
    out.f64(row.p99);
    out.varint(row.run);
    out.varint(row.revision);
  }
}

function avroText(text: string): Buffer {
  const out = new ByteWriter(64);
  const bytes = Buffer.from(text);
  out.varint(bytes.length);
  out.raw(bytes);
  return out.toBytes();
}

// Metric name and labels, which stand side by side in the schema.
function avroSeries(metricName: string, labels: readonly LabelPair[]): Buffer {
  const out = new ByteWriter(256);
  out.raw(avroText(metricName));
  if (labels.length > 0) out.varint(labels.length);
  for (const [name, value] of labels) {
    out.raw(avroText(name));
    out.raw(avroText(value));
  }
  out.varint(0);
  return out.toBytes();
}

interface NamedLabels {
  readonly name: Buffer;
  readonly labels: SharedLabels;
}

/** Series `<metric>:<resolution>:<value>` at the window's end, eight of them in one request. */
class RemoteWriteRowEncoder implements RowEncoder {
  readonly #series: SeriesParts<NamedLabels>;
  readonly #endings: readonly Buffer[];
  readonly #timestampMs = new Float64Array(ROLLUP_VALUES.length);
  readonly #value = new Float64Array(ROLLUP_VALUES.length);
  readonly #request = new ByteWriter(4096);

  constructor(resolution: string, keys: KeyTable) {
    this.#endings = ROLLUP_VALUES.map((name) => Buffer.from(`:${resolution}:${name}`));
    this.#series = new SeriesParts(keys, (metricName, labels) => ({
      name: Buffer.from(metricName),
      labels: encodeSharedLabels(labels),
    }));
  }

  encode(out: ByteWriter, slot: number, row: RollupRow): void {
    const { labels, name } = this.#series.get(slot);
    const request = this.#request;
    request.clear();
    this.#timestampMs.fill(row.windowEndMs);
    for (let i = 0; i < ROLLUP_VALUES.length; i++) {
      this.#value[i] = row[ROLLUP_VALUES[i]];
      writeNamedSeries(request, labels, name, this.#endings[i], this.#timestampMs, this.#value, i, i + 1);
    }
    out.raw(compressSnappy(request.bytes, 0, request.length));
  }
}

/** The encoder of a format but JSON, which has one of its own. */
export function rowEncoder(format: Exclude<RowFormatName, 'json'>, resolution: string, keys: KeyTable): RowEncoder {
  return format === 'avro' ? new AvroRowEncoder(resolution, keys) : new RemoteWriteRowEncoder(resolution, keys);
}
