// Owns the dead letter of what a receiver did not take: the sample or rollup row as JSON, and headers that say where it
// came from, who refused it and why (CONTRACT section 3). Sends nothing.

import { JsonRowEncoder } from '#operators/formats/json-rows.ts';
import { writeSample } from '#operators/formats/json-sample.ts';
import { canonicalText, parseCanonical, seriesJson } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { type OutgoingSamples, WHOLE } from '#operators/sinks/outgoing-samples.ts';
import type { RecordHeader } from '#runtime/log/record-batch.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { ROLLUP_VALUES } from '#runtime/task/contract.ts';

export interface RefusedRow {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly timestampMs: number;
  readonly origin: { readonly partition: number; readonly offset: number };
  /** Names of the refused series when others of the row were taken, else null. */
  readonly path: string | null;
}

/** The row that these refused items are of. */
export function refusedRow(queue: OutgoingSamples, keys: SeriesTable, items: readonly number[]): RefusedRow {
  const [first] = items;
  const row = queue.row[first];
  const origin = { partition: queue.originPartition[row], offset: queue.originOffset[row] };
  const slot = queue.key[first];
  if (queue.part[first] === WHOLE) {
    const out = new ByteWriter(512);
    writeSample(out, keys.jsonBytes(slot), queue.timestampMs[first], queue.value, first);
    const key = Buffer.from(keys.canonicalBytes(slot));
    return { key, value: out.toBytes(), timestampMs: Math.max(0, queue.timestampMs[first]), origin, path: null };
  }
  const all = itemsOf(queue, first);
  const { labels, metricName } = parseCanonical(keys.canonicalBytes(slot).toString());
  const at = metricName.lastIndexOf(':');
  const [name, resolution] = [metricName.slice(0, at), metricName.slice(at + 1)];
  const names = items.map((item) => `${metricName}:${ROLLUP_VALUES[queue.part[item]]}`);
  return {
    key: Buffer.from(canonicalText(name, labels)),
    value: rowJson(queue, all, seriesJson({ metricName: name, labels }), resolution),
    timestampMs: Math.max(0, queue.timestampMs[first] - 1),
    origin,
    path: items.length === all.length ? null : names.join(', '),
  };
}

/** Every item of the row of an item: they stand side by side. */
function itemsOf(queue: OutgoingSamples, item: number): number[] {
  const row = queue.row[item];
  const items: number[] = [];
  for (let at = item; at >= 0 && queue.row[at] === row; at--) items.unshift(at);
  for (let at = item + 1; at < queue.count && queue.row[at] === row; at++) items.push(at);
  return items;
}

function rowJson(queue: OutgoingSamples, items: readonly number[], series: string, resolution: string): Buffer {
  const row = queue.row[items[0]];
  const values = ROLLUP_VALUES.map((_, part) => items.find((item) => queue.part[item] === part));
  const [count, sum, min, max, avg, p50, p95, p99] = values.map((item) =>
    item === undefined ? Number.NaN : queue.value[item],
  );
  const out = new ByteWriter(1_024);
  const rows = new JsonRowEncoder(resolution);
  const [from, to] = [queue.windowStartMs[row], queue.timestampMs[items[0]]];
  const { [row]: run } = queue.run;
  const { [row]: revision } = queue.revision;
  rows.encode(out, Buffer.from(series), from, to, count, sum, min, max, avg, p50, p95, p99, run, revision);
  return out.toBytes();
}

export interface RefusalOrigin {
  readonly sourceTopic: string;
  readonly partition: number;
  readonly offset: number;
  /** Name of the receiver. */
  readonly target: string;
}

export interface RefusalReason {
  readonly code: string;
  readonly message: string;
  readonly path: string | null;
}

/** The message last: it is the only one that takes no part in a hash. */
export function refusalHeaders(origin: RefusalOrigin, { code, message, path }: RefusalReason): RecordHeader[] {
  const headers = [
    ['source-topic', origin.sourceTopic],
    ['source-partition', String(origin.partition)],
    ['source-offset', String(origin.offset)],
    ['target', origin.target],
    ['error-code', code],
    ...(path === null ? [] : [['error-path', path]]),
    ['error-message', message],
  ];
  return headers.map(([key, value]) => ({ key, value: Buffer.from(value) }));
}
