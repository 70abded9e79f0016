// Owns what a stage sends to a time-series database: samples, and rollup rows as one sample per number, encoded as
// Prometheus remote write 1.0. Sends nothing itself: it is the outbox of a delivery. Invariant: samples keep the order of
// the rows they came with; the same samples give the same bytes.

import {
  encodeSeriesLabels,
  encodeSharedLabels,
  type SharedLabels,
  writeNamedSeries,
  writeSeries,
} from '#operators/formats/remote-write-encoder.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { parseCanonical, type Series } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { OutgoingSamples, WHOLE } from '#operators/sinks/outgoing-samples.ts';
import { refusalHeaders, refusedRow } from '#operators/sinks/refused-row.ts';
import type { Outbox, OutsideOutput, Refusal } from '#runtime/effect/contract.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';
import { compressSnappy } from '#runtime/std/snappy.ts';
import { type Batch, type Operator, type OperatorContext, ROLLUP_VALUES } from '#runtime/task/contract.ts';

export interface RemoteWriteSinkOptions {
  readonly id: string;
  /** Name of the receiver, for dead letters. */
  readonly target: string;
  readonly keys: SeriesTable;
  /** `prometheus`: what its data model cannot name is a dead letter, because some receivers drop it without a word. */
  readonly names: 'any' | 'prometheus';
  readonly sourceTopic: string;
  readonly deadLetterTopic: string;
  readonly sinkIndex: number;
  /** Samples of one request at most. @default 5,000 */
  readonly requestSamplesMax?: number | undefined;
  /** Bytes of one request at most, before compression; one sample may exceed it. @default 1 MiB */
  readonly requestBytesMax?: number | undefined;
  /** Bytes at which an entry ends, about. @default 8 MiB */
  readonly queueBytesMax?: number | undefined;
}

const REQUEST_SAMPLES_MAX = 5_000;
const REQUEST_BYTES_MAX = 1 << 20;
const QUEUE_BYTES_MAX = 8 << 20;
/** A sample without its labels, and what stands around both. */
const SAMPLE_BYTES = 48;
const PARTS = ROLLUP_VALUES.length;
const ENDINGS = ROLLUP_VALUES.map((name) => Buffer.from(`:${name}`));
const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** What is kept of a series while its slot lives. */
interface Outgoing {
  readonly name: Buffer;
  /** Of samples: all labels. */
  readonly whole: Buffer | null;
  /** Of rollup rows: those that the series of its numbers share. */
  readonly shared: SharedLabels | null;
  /** Bytes of a request that a sample of it takes, about. */
  readonly sizeBytes: number;
  /** Why it cannot be sent, null when it can. */
  readonly fault: string | null;
}

/** Counts `samples-out`, `not-finite`, and what its delivery counts. */
export class RemoteWriteSink extends Untimed implements Operator, Outbox {
  readonly id: string;
  readonly #options: RemoteWriteSinkOptions;
  readonly #queue = new OutgoingSamples();
  readonly #scratch = new ByteWriter(1 << 16);
  readonly #refusals = new Map<number, Refusal>();
  #series: (Outgoing | undefined)[] = [];
  #takesRows = false;
  /** By slot: the filling of the queue that mentions it last. */
  #mentioned = new Int32Array(1_024);
  #filling = 1;
  #queueBytes = 0;
  #context: OperatorContext | null = null;

  constructor(options: RemoteWriteSinkOptions) {
    super();
    this.id = options.id;
    this.#options = options;
    options.keys.onEvict((slots) => {
      for (const slot of slots) this.#series[slot] = undefined;
    });
  }

  open(context: OperatorContext): void {
    this.#context = context;
  }

  process(batch: Batch): void {
    invariant(this.#context !== null && batch.stats === null, `sink '${this.id}' takes samples or rollup rows`);
    const before = this.#queue.count;
    this.#takesRows = batch.rollups !== null;
    if (batch.rollups === null) this.#addSamples(batch);
    else this.#addRows(batch);
    this.tell('samples-out', this.#queue.count - before);
  }

  override usesKey(slot: number): boolean {
    return slot < this.#mentioned.length && this.#mentioned[slot] === this.#filling;
  }

  override wantsEntry(): boolean {
    return this.#queue.count > 0;
  }

  /** Counts something, for metrics; also for the delivery, which has no context of its own. */
  tell(counter: string, by: number): void {
    if (by > 0) this.#context?.count(counter, by);
  }

  get count(): number {
    return this.#queue.count;
  }

  get full(): boolean {
    return this.#queueBytes >= (this.#options.queueBytesMax ?? QUEUE_BYTES_MAX);
  }

  requestEnd(start: number): number {
    const { requestBytesMax = REQUEST_BYTES_MAX, requestSamplesMax = REQUEST_SAMPLES_MAX } = this.#options;
    const last = Math.min(this.#queue.count, start + requestSamplesMax);
    let sizeBytes = 0;
    let end = start;
    for (; end < last; end++) {
      sizeBytes += this.#seriesOf(this.#queue.key[end]).sizeBytes;
      if (sizeBytes > requestBytesMax && end > start) break;
    }
    return end;
  }

  encode(start: number, end: number): Uint8Array {
    const { key, part, timestampMs, value } = this.#queue;
    const out = this.#scratch;
    out.clear();
    for (let item = start; item < end; ) {
      const first = item;
      const slot = key[first];
      while (item < end && key[item] === slot && part[item] === part[first]) item++;
      const { name, shared, whole } = this.#seriesOf(slot);
      if (shared === null) writeSeries(out, whole!, timestampMs, value, first, item);
      else writeNamedSeries(out, shared, name, ENDINGS[part[first]], timestampMs, value, first, item);
    }
    return compressSnappy(out.bytes, 0, out.length);
  }

  refuse(index: number, reason: Refusal): void {
    this.#refusals.set(index, reason);
  }

  settle(output: OutsideOutput): void {
    const rows = new Map<number, number[]>();
    for (const item of this.#refusals.keys()) {
      const row = this.#queue.row[item];
      rows.set(row, [...(rows.get(row) ?? []), item]);
    }
    for (const items of rows.values()) this.#putOut(items, output);
    this.discard();
  }

  discard(): void {
    this.#queue.clear();
    this.#refusals.clear();
    this.#queueBytes = 0;
    this.#filling++;
  }

  #addSamples(batch: Batch): void {
    const queue = this.#queue;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.key[i];
      const { fault, sizeBytes } = this.#seriesOf(slot);
      queue.beginRow(batch.originPartition[i], batch.originOffset[i]);
      queue.add(slot, WHOLE, batch.timestampMs[i], batch.value, i);
      if (fault === null) {
        this.#mention(slot);
        this.#queueBytes += sizeBytes;
      } else this.#takeBack(1, fault);
    }
  }

  #addRows(batch: Batch): void {
    const queue = this.#queue;
    const rollups = batch.rollups!;
    const { values } = rollups;
    let notFinite = 0;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.key[i];
      const { fault, sizeBytes } = this.#seriesOf(slot);
      const row = queue.beginRow(batch.originPartition[i], batch.originOffset[i]);
      queue.windowStartMs[row] = rollups.windowStartMs[i];
      queue.run[row] = rollups.run[i];
      queue.revision[row] = rollups.revision[i];
      const before = queue.count;
      for (let part = 0; part < PARTS; part++) {
        const value = values[i * PARTS + part];
        // A sum may overflow, which JSON cannot say: NaN stands for whatever it was.
        if (!Number.isNaN(value)) queue.add(slot, part, rollups.windowEndMs[i], values, i * PARTS + part);
        else notFinite++;
      }
      const added = queue.count - before;
      if (fault === null) {
        this.#mention(slot);
        this.#queueBytes += added * sizeBytes;
      } else this.#takeBack(added, fault);
    }
    this.tell('not-finite', notFinite);
  }

  #mention(slot: number): void {
    if (slot >= this.#mentioned.length) {
      const next = new Int32Array(Math.max(slot + 1, this.#mentioned.length * 2));
      next.set(this.#mentioned);
      this.#mentioned = next;
    }
    this.#mentioned[slot] = this.#filling;
  }

  // The last row cannot be named: it is a dead letter, whatever the receiver would say.
  #takeBack(items: number, message: string): void {
    const { deadLetterTopic, sinkIndex, sourceTopic, target } = this.#options;
    const context = this.#context!;
    const { count } = this.#queue;
    const all = Array.from({ length: items }, (_, i) => count - items + i);
    const letter = refusedRow(this.#queue, this.#options.keys, all);
    const reason = { code: 'name-invalid', message, path: null };
    const headers = refusalHeaders({ sourceTopic, target, ...letter.origin }, reason);
    const partition = letter.origin.partition % context.partitionCount(deadLetterTopic);
    const { key, timestampMs, value } = letter;
    const hashed = headers.length - 1;
    context.output.append(
      sinkIndex,
      deadLetterTopic,
      partition,
      timestampMs,
      key,
      value,
      0,
      value.length,
      headers,
      hashed,
    );
    this.tell('dead-letter', 1);
    this.#queue.rows--;
    this.#queue.count -= items;
  }

  #putOut(items: readonly number[], output: OutsideOutput): void {
    const { deadLetterTopic, keys, sourceTopic, target } = this.#options;
    const letter = refusedRow(this.#queue, keys, items);
    const { message, status } = this.#refusals.get(items[0])!;
    const reason = { code: 'receiver-refused', message: `${status} ${message}`.trimEnd(), path: letter.path };
    const headers = refusalHeaders({ sourceTopic, target, ...letter.origin }, reason);
    const partition = letter.origin.partition % this.#context!.partitionCount(deadLetterTopic);
    output.append(deadLetterTopic, partition, letter.timestampMs, letter.key, letter.value, headers);
    this.tell('dead-letter', 1);
  }

  #seriesOf(slot: number): Outgoing {
    return this.#series[slot] ?? this.#makeSeries(slot);
  }

  #makeSeries(slot: number): Outgoing {
    const { keys, names } = this.#options;
    const series = parseCanonical(keys.canonicalBytes(slot).toString());
    const { labels, metricName } = series;
    const name = Buffer.from(metricName);
    const shared = this.#takesRows ? encodeSharedLabels(labels) : null;
    const whole = shared === null ? encodeSeriesLabels(metricName, labels) : null;
    const labelBytes = whole?.length ?? name.length + shared!.before.length + shared!.after.length;
    const made = { name, whole, shared, sizeBytes: labelBytes + SAMPLE_BYTES, fault: nameFault(series, names) };
    this.#series[slot] = made;
    return made;
  }
}

function nameFault({ labels, metricName }: Series, names: RemoteWriteSinkOptions['names']): string | null {
  if (names === 'any') return null;
  if (!METRIC_NAME.test(metricName)) return `Prometheus has no metric named '${metricName}'`;
  const label = labels.find(([name]) => !LABEL_NAME.test(name));
  return label === undefined ? null : `Prometheus has no label named '${label[0]}'`;
}
