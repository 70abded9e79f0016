// Owns turning Influx line protocol into rows: every number and boolean of a line is a sample of the series
// `<measurement>_<field key>` with the tags as labels; strings are none and are passed over. Invariant: a broken line or
// field costs itself only; the raw bytes of a series and a field key that became a slot are not looked at again.

import { FIELD_INTS, InfluxLineScanner } from '#operators/formats/influx-line.ts';
import { type InfluxPrecision, InfluxValueReader, influxTimestampMs } from '#operators/formats/influx-value.ts';
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
import { canonicalSeries, METRIC_NAME_LABEL } from '#operators/series/canonical.ts';
import type { Batch } from '#runtime/task/contract.ts';

const QUOTE = 0x22;

export interface InfluxDecoderOptions extends SampleDecoderOptions {
  /** Unit of the timestamps. @default 'ns' */
  readonly precision?: InfluxPrecision;
}

/** What stands in front of the fields. */
interface Series {
  readonly measurement: string;
  readonly labels: Readonly<Record<string, string>>;
}

export class InfluxDecoder implements SampleDecoder {
  readonly #rows: SampleRows;
  readonly #precision: InfluxPrecision;
  readonly #line = new InfluxLineScanner();
  readonly #value = new InfluxValueReader();
  readonly #bound = new BoundRecord();
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Of the line at hand, once its raw bytes were looked at. */
  #series: Series | null = null;

  constructor(options: InfluxDecoderOptions) {
    this.#rows = new SampleRows(options);
    this.#precision = options.precision ?? 'ns';
  }

  get outcome(): RecordOutcome {
    return this.#rows;
  }

  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void {
    const rows = this.#rows;
    rows.begin(origin, batch);
    rows.hasParts = true;
    const from = this.#bound.bind(bytes, start, end);
    this.#bytes = this.#bound.bytes;
    this.#view = this.#bound.view;
    try {
      this.#lines(from, from + end - start, origin.timestampMs);
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      rows.discard(error);
    }
    rows.settle(this.#view);
    this.#bound.release();
  }

  #lines(start: number, end: number, recordTimestampMs: number): void {
    const line = this.#line;
    let index = 0;
    for (let at = start; at < end; at = line.next, index++) {
      const kind = line.scan(this.#bytes, at, end);
      if (kind === 'line') this.#take(index, recordTimestampMs);
      else if (kind === 'broken') this.#fault(index, line.problem);
    }
  }

  #take(index: number, recordTimestampMs: number): void {
    const line = this.#line;
    const rows = this.#rows;
    const { timestampStart, timestampEnd } = line;
    let timestampMs = recordTimestampMs;
    if (timestampEnd > timestampStart) {
      timestampMs = influxTimestampMs(this.#bytes, timestampStart, timestampEnd, this.#precision);
    }
    if (!(timestampMs <= rows.skewLimitMs)) {
      if (!rows.countsFaultOnly()) rows.timestampFault(timestampMs, `$.lines[${index}].timestamp`);
      return;
    }
    this.#series = null;
    for (let i = 0; i < line.fieldCount * FIELD_INTS; i += FIELD_INTS) {
      const valueStart = line.fields[i + 2];
      const valueEnd = line.fields[i + 3];
      if (valueEnd > valueStart && this.#bytes[valueStart] === QUOTE) continue;
      const series = this.#seriesOf(line.fields[i], line.fields[i + 1], index);
      if (series === UNKNOWN_SERIES) {
        if (this.#series === null) return;
        continue;
      }
      const value = this.#value.read(this.#bytes, valueStart, valueEnd);
      if (this.#value.ok) rows.append(series, timestampMs, value);
      else this.#fieldFault(index, line.fields[i], line.fields[i + 1], 'is no number, boolean or string');
    }
  }

  // Handle of the series with that field key. UNKNOWN_SERIES after a fault: of the whole line when `#series` is null.
  #seriesOf(keyStart: number, keyEnd: number, index: number): number {
    const view = this.#view;
    const { seriesStart, seriesEnd } = this.#line;
    const keySize = keyEnd - keyStart;
    const seriesSize = seriesEnd - seriesStart;
    const hash = finishHash(hashRange(view, keyStart, keyEnd), hashRange(view, seriesStart, seriesEnd));
    const slot = this.#rows.cache.find(view, keyStart, keySize, seriesStart, seriesSize, hash);
    if (slot >= 0) return slot;
    this.#series ??= this.#readSeries(seriesStart, seriesEnd, index);
    if (this.#series === null) return UNKNOWN_SERIES;
    const key = utf8Text(this.#bytes, keyStart, keyEnd);
    const canonical =
      key === null
        ? { message: 'has a key that is no valid UTF-8' }
        : canonicalSeries(`${this.#series.measurement}_${unescaped(key)}`, this.#series.labels);
    if (typeof canonical !== 'string') {
      this.#fieldFault(index, keyStart, keyEnd, canonical.message);
      return UNKNOWN_SERIES;
    }
    return this.#rows.seriesOf(canonical, view, keyStart, keySize, seriesStart, seriesSize, hash);
  }

  #readSeries(start: number, end: number, index: number): Series | null {
    const text = utf8Text(this.#bytes, start, end);
    const problem = text === null ? 'is no valid UTF-8' : '';
    if (text === null) return this.#fault(index, problem);
    const [measurement, ...tags] = splitTags(text);
    if (measurement === '') return this.#fault(index, 'has no measurement');
    const labels: Record<string, string> = Object.create(null);
    for (const tag of tags) {
      const equals = tag.search(/(?<!\\)=/);
      if (equals <= 0) return this.#fault(index, `has a tag without a key or a value: ${shown(tag)}`);
      const key = unescaped(tag.slice(0, equals));
      if (key in labels) return this.#fault(index, `has the tag ${shown(key)} twice`);
      if (key === METRIC_NAME_LABEL) return this.#fault(index, `has a tag named ${METRIC_NAME_LABEL}`);
      labels[key] = unescaped(tag.slice(equals + 1));
    }
    return { measurement: measurement.replace(/\\([, ])/g, '$1'), labels };
  }

  #fault(index: number, problem: string): null {
    if (!this.#rows.countsFaultOnly()) this.#rows.fault('line-invalid', problem, `$.lines[${index}]`);
    return null;
  }

  #fieldFault(index: number, keyStart: number, keyEnd: number, problem: string): void {
    if (this.#rows.countsFaultOnly()) return;
    const key = unescaped(this.#bytes.toString('utf8', keyStart, Math.min(keyEnd, keyStart + 64)));
    const path = /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    this.#rows.fault('sample-invalid', problem, `$.lines[${index}].fields${path}`);
  }
}

// At commas that no backslash stands before.
function splitTags(series: string): string[] {
  return series.split(/(?<!\\),/);
}

/** Tags and field keys escape comma, equals sign and space; a backslash before anything else is one. */
function unescaped(text: string): string {
  return text.includes('\\') ? text.replace(/\\([,= ])/g, '$1') : text;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
