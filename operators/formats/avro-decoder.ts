// Owns turning Avro records into rows: the fields of a sample in binary, by the configured schema or by the one whose id
// stands in front (Confluent framing: 0, id). Invariant: raw bytes of a name and labels that became a slot are not looked
// at again; a record whose schema is not known yet leaves nothing and says so.

import { AvroReader } from '#operators/formats/avro-reader.ts';
import { LABELS, METRIC_NAME, type SamplePlan, TIMESTAMP, VALUE } from '#operators/formats/avro-sample-plan.ts';
import type { AvroNode } from '#operators/formats/avro-schema.ts';
import { isTimestamp } from '#operators/formats/json-sample-scanner.ts';
import { utf8Text } from '#operators/formats/label-set.ts';
import { finishHash, hashRange } from '#operators/formats/raw-series-cache.ts';
import { BoundRecord } from '#operators/formats/record-scratch.ts';
import {
  type RecordOrigin,
  type RecordOutcome,
  RecordRefusal,
  type SampleDecoder,
  type SampleDecoderOptions,
} from '#operators/formats/sample-decoder.ts';
import { SampleRows, UNKNOWN_SERIES } from '#operators/formats/sample-rows.ts';
import type { SchemaLookup } from '#operators/formats/schema-lookup.ts';
import { NAN_HIGH, NAN_LOW, STALE_HIGH, STALE_LOW } from '#operators/formats/special-values.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import type { Batch } from '#runtime/task/contract.ts';

const FRAME_BYTES = 5;
/** Labels of a sample that are read; more are refused, however many of them are empty. */
const LABELS_READ_MAX = 256;

export interface AvroDecoderOptions extends SampleDecoderOptions {
  /** How records without a frame are read; null: they are faults. */
  readonly plan: SamplePlan | null;
  /** Null: nothing has a frame. */
  readonly lookup: SchemaLookup | null;
}

export class AvroDecoder implements SampleDecoder {
  readonly #rows: SampleRows;
  readonly #plan: SamplePlan | null;
  readonly #lookup: SchemaLookup | null;
  readonly #reader = new AvroReader();
  readonly #bound = new BoundRecord();
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Of the sample at hand; starts are -1 for null. */
  #nameStart = -1;
  #nameEnd = -1;
  #labelsStart = -1;
  #labelsEnd = -1;
  #labelsNode: AvroNode | null = null;
  #timestampMs = Number.NaN;
  #value = 0;
  /** Of a NaN: its bits. */
  #valueHigh = 0;
  #valueLow = 0;

  constructor(options: AvroDecoderOptions) {
    this.#rows = new SampleRows(options);
    this.#plan = options.plan;
    this.#lookup = options.lookup;
  }

  get outcome(): RecordOutcome {
    return this.#rows;
  }

  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void {
    const rows = this.#rows;
    rows.begin(origin, batch);
    const from = this.#bound.bind(bytes, start, end);
    this.#bytes = this.#bound.bytes;
    this.#view = this.#bound.view;
    try {
      this.#record(from, from + end - start);
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      rows.discard(error);
    }
    rows.settle(this.#view);
    this.#bound.release();
  }

  #record(start: number, end: number): void {
    if (this.#lookup === null || this.#bytes[start] !== 0 || end - start < FRAME_BYTES) {
      if (this.#plan === null) throw new RecordRefusal('avro-invalid', 'does not begin with 0 and a schema id');
      this.#samples(this.#plan, start, end);
      return;
    }
    const id = this.#bytes.readInt32BE(start + 1);
    const found = this.#lookup.get(id);
    if (found === 'pending') {
      this.#rows.waitsFor = id;
      return;
    }
    if (found === 'missing')
      throw new RecordRefusal('schema-unknown', `names schema ${id}, which the registry does not have`);
    if ('problem' in found) throw new RecordRefusal('schema-mismatch', `names schema ${id}, which ${found.problem}`);
    const { plan } = found;
    if (typeof plan === 'string') throw new RecordRefusal('schema-mismatch', `names schema ${id}: ${plan}`);
    this.#samples(plan, start + FRAME_BYTES, end);
  }

  #samples(plan: SamplePlan, start: number, end: number): void {
    const reader = this.#reader;
    reader.bind(this.#bytes, this.#view, start, end);
    this.#rows.hasParts = plan.isArray;
    if (!plan.isArray) this.#sample(plan, -1);
    else {
      let index = 0;
      for (let count = reader.blockCount(); count > 0; count = reader.blockCount()) {
        const { blockEnd } = reader;
        for (let i = 0; i < count; i++) this.#sample(plan, index++);
        reader.endBlock(blockEnd);
      }
    }
    if (reader.at !== end)
      throw new RecordRefusal('avro-invalid', `is no such Avro value: ${end - reader.at} bytes are left`);
  }

  #sample(plan: SamplePlan, index: number): void {
    const reader = this.#reader;
    const { steps } = plan;
    this.#nameStart = this.#nameEnd = this.#labelsStart = this.#labelsEnd = -1;
    for (let i = 0; i < steps.length; i++) {
      const { node, use } = steps[i];
      const type = node.kind === 'union' ? reader.branch(node) : node;
      switch (use) {
        case METRIC_NAME:
          if (type.kind === 'null') break;
          this.#nameEnd = reader.dataEnd();
          this.#nameStart = reader.at;
          reader.at = this.#nameEnd;
          break;
        case TIMESTAMP:
          this.#timestampMs = type.kind === 'null' ? Number.NaN : reader.long();
          break;
        case VALUE:
          this.#value = this.#number(type);
          break;
        case LABELS:
          if (type.kind === 'null') break;
          this.#labelsStart = reader.at;
          this.#labelsNode = type;
          reader.skip(type);
          this.#labelsEnd = reader.at;
          break;
        default:
          reader.skip(type);
      }
    }
    this.#take(index);
  }

  #number(type: AvroNode): number {
    const reader = this.#reader;
    switch (type.kind) {
      case 'double':
        return this.#double(reader.take(8));
      case 'float':
        this.#valueHigh = NAN_HIGH;
        this.#valueLow = NAN_LOW;
        return reader.view.getFloat32(reader.take(4), true);
      case 'null':
        this.#valueHigh = STALE_HIGH;
        this.#valueLow = STALE_LOW;
        return Number.NaN;
      default:
        return reader.long();
    }
  }

  #double(at: number): number {
    const { view } = this.#reader;
    const value = view.getFloat64(at, true);
    if (Number.isNaN(value)) {
      this.#valueHigh = view.getUint32(at + 4, true);
      this.#valueLow = view.getUint32(at, true);
    }
    return value;
  }

  #take(index: number): void {
    const rows = this.#rows;
    const timestampMs = this.#timestampMs;
    if (!isTimestamp(timestampMs)) {
      if (rows.countsFaultOnly()) return;
      if (Number.isNaN(timestampMs)) rows.fault('sample-invalid', 'is missing', pathOf(index, 'timestamp'));
      else rows.timestampFault(timestampMs, pathOf(index, 'timestamp'));
      return;
    }
    const after = this.#reader.at;
    const series = this.#series(index);
    this.#reader.at = after;
    if (series === UNKNOWN_SERIES) return;
    if (timestampMs <= rows.skewLimitMs) {
      const value = this.#value;
      if (Number.isNaN(value)) rows.appendNaN(series, timestampMs, this.#valueHigh, this.#valueLow);
      else rows.append(series, timestampMs, value);
    } else if (!rows.countsFaultOnly()) rows.timestampFault(timestampMs, pathOf(index, 'timestamp'));
  }

  #series(index: number): number {
    const view = this.#view;
    const hasLabels = this.#labelsStart >= 0;
    const nameStart = this.#nameStart;
    const nameSize = this.#nameEnd - nameStart;
    const labelsStart = hasLabels ? this.#labelsStart : nameStart;
    const labelsSize = hasLabels ? this.#labelsEnd - labelsStart : 0;
    const isKept = nameStart >= 0;
    let hash = 0;
    if (isKept) {
      hash = finishHash(
        hashRange(view, nameStart, this.#nameEnd),
        hashRange(view, labelsStart, labelsStart + labelsSize),
      );
      const slot = this.#rows.cache.find(view, nameStart, nameSize, labelsStart, labelsSize, hash);
      if (slot >= 0) return slot;
    }
    const canonical = this.#canonical(index);
    if (canonical === null) return UNKNOWN_SERIES;
    return this.#rows.seriesOf(canonical, view, nameStart, nameSize, labelsStart, labelsSize, hash);
  }

  #canonical(index: number): string | null {
    if (this.#nameStart < 0) return this.#fault(index, 'metric_name', 'is missing');
    const metricName = utf8Text(this.#bytes, this.#nameStart, this.#nameEnd);
    if (metricName === null) return this.#fault(index, 'metric_name', 'is no valid UTF-8');
    const labels = this.#labelsStart < 0 ? undefined : this.#readLabels();
    if (typeof labels === 'string') return this.#fault(index, 'labels', labels);
    const canonical = canonicalSeries(metricName, labels);
    return typeof canonical === 'string' ? canonical : this.#fault(index, canonical.path, canonical.message);
  }

  // Of a name that comes twice the last value counts, as in JSON. A text tells what is wrong.
  #readLabels(): Readonly<Record<string, string>> | string {
    const reader = this.#reader;
    const values = this.#labelsNode!.children[0];
    const labels: Record<string, string> = Object.create(null);
    let left = LABELS_READ_MAX;
    reader.at = this.#labelsStart;
    for (;;) {
      // The blocks were walked before: these numbers are good.
      let count = reader.long();
      if (count === 0) return labels;
      if (count < 0) {
        count = -count;
        reader.long();
      }
      left -= count;
      if (left < 0) return `has more than ${LABELS_READ_MAX} labels`;
      for (; count > 0; count--) {
        const name = this.#text();
        const isNull = values.kind === 'union' && reader.branch(values).kind === 'null';
        const value = isNull || values.kind === 'null' ? '' : this.#text();
        if (name === null || value === null) return 'holds text that is no valid UTF-8';
        labels[name] = value;
      }
    }
  }

  #text(): string | null {
    const stop = this.#reader.dataEnd();
    const text = utf8Text(this.#bytes, this.#reader.at, stop);
    this.#reader.at = stop;
    return text;
  }

  #fault(index: number, field: string, message: string): null {
    if (!this.#rows.countsFaultOnly()) this.#rows.fault('sample-invalid', message, pathOf(index, field));
    return null;
  }
}

function pathOf(index: number, field: string): string {
  return index < 0 ? `$.${field}` : `$[${index}].${field}`;
}
