// Owns what a parsed JSON value means as a sample, in full and with reasons: the slow way for what the scanner does not
// take, and the encoder of one sample. Invariant: says yes exactly where CONTRACT's sample format does.

import { NUMBER_BYTES_MAX, writeNumber } from '#operators/formats/json-number-text.ts';
import { isTimestamp, TIMESTAMP_MAX_MS } from '#operators/formats/json-sample-scanner.ts';
import type { SampleFault } from '#operators/formats/sample-decoder.ts';
import { isStaleMarker } from '#operators/formats/special-values.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

export interface JsonSample {
  readonly canonical: string;
  readonly timestampMs: number;
  /** NaN for a stale marker. */
  readonly value: number;
  readonly isStale: boolean;
}

/** The sample that a parsed JSON value stands for. `at` is the value's own path. Labels may be left out. */
export function readSample(parsed: unknown, at: string): JsonSample | SampleFault {
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) {
    return invalid(at, 'must be an object with metric_name, timestamp, value and labels');
  }
  const { metric_name, timestamp, value, labels } = parsed as Record<string, unknown>;
  if (timestamp === undefined) return invalid(`${at}.timestamp`, 'is missing');
  if (typeof timestamp !== 'number' || !isTimestamp(timestamp)) {
    return invalid(`${at}.timestamp`, `must be whole milliseconds within ±${TIMESTAMP_MAX_MS}`);
  }
  const number = readValue(value);
  if (number === null) {
    const problem = value === undefined ? 'is missing' : 'must be a number, "NaN", "+Inf", "-Inf" or null';
    return invalid(`${at}.value`, problem);
  }
  const canonical = canonicalSeries(metric_name, labels);
  if (typeof canonical !== 'string') return invalid(`${at}.${canonical.path}`, canonical.message);
  return { canonical, timestampMs: timestamp + 0, value: number, isStale: value === null };
}

function readValue(value: unknown): number | null {
  if (typeof value === 'number') return value;
  if (value === 'NaN' || value === null) return Number.NaN;
  if (value === '+Inf') return Number.POSITIVE_INFINITY;
  if (value === '-Inf') return Number.NEGATIVE_INFINITY;
  return null;
}

function invalid(path: string, message: string): SampleFault {
  return { code: 'sample-invalid', message, path };
}

/**
 * Appends one sample as JSON: metric_name, timestamp, value, labels. `seriesJson` is the key table's `jsonBytes` of the
 * series, the value stands in a column. NaN, stale markers and infinite values are written as the format spells them.
 */
export function writeSample(
  out: ByteWriter,
  seriesJson: Uint8Array,
  timestampMs: number,
  values: Float64Array,
  at: number,
): void {
  const value = values[at];
  const labelsAt = labelsOffset(seriesJson);
  out.ensure(seriesJson.length + 2 * NUMBER_BYTES_MAX + 64);
  out.u8(0x7b);
  out.raw(seriesJson, 0, labelsAt);
  out.length += out.bytes.write(',"timestamp":', out.length, 'latin1');
  out.length = writeNumber(out.bytes, out.length, timestampMs);
  out.length += out.bytes.write(',"value":', out.length, 'latin1');
  if (Number.isFinite(value)) out.length = writeNumber(out.bytes, out.length, value);
  else {
    out.length += out.bytes.write(specialText(values, at), out.length, 'latin1');
  }
  out.raw(seriesJson, labelsAt);
  out.u8(0x7d);
}

function specialText(values: Float64Array, at: number): string {
  if (!Number.isNaN(values[at])) return values[at] > 0 ? '"+Inf"' : '"-Inf"';
  return isStaleMarker(values, at) ? 'null' : '"NaN"';
}

// The metric name comes first and is a string: the first match outside of it is behind its closing quote.
function labelsOffset(seriesJson: Uint8Array): number {
  let p = '"metric_name":"'.length;
  for (; seriesJson[p] !== 0x22; p++) if (seriesJson[p] === 0x5c) p++;
  invariant(seriesJson[p + 1] === 0x2c, 'the JSON of a series lacks its labels');
  return p + 1;
}
