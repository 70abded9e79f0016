// Owns the slow truth about a remote-write request: the npm package's snappy, fields as arrays, labels as text. Shares
// no code with the decoder.

import { uncompressSync } from 'snappy';
import { type Field, fieldsOf } from '#test/operators/formats/protobuf-bytes.ts';
import { type ReferenceResult, seriesText } from '#test/operators/formats/reference-decoder.ts';

const SIZE_MAX = 32 * 1024 * 1024;

export function referenceRemoteWrite(record: Buffer, skewLimitMs: number): ReferenceResult {
  const result: ReferenceResult = { rows: [], notFinite: 0, faults: [] };
  const message = unpacked(record);
  if (message === null) return refused('snappy-invalid');
  try {
    if (fieldsOf(message).some((field) => isBytes(field, 5))) throw new RangeError('a 2.0 request');
    const seriesFields = fieldsOf(message).filter((field) => isBytes(field, 1));
    for (const [i, field] of seriesFields.entries()) {
      takeSeries(fieldsOf(field.bytes), `$.timeseries[${i}]`, skewLimitMs, result);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return refused('protobuf-invalid');
  }
  return result;
}

function refused(code: string): ReferenceResult {
  return { rows: [], notFinite: 0, faults: [`${code} $`] };
}

function unpacked(record: Buffer): Buffer | null {
  if (record.length === 0) return null;
  let size = 0n;
  for (const [i, byte] of record.subarray(0, 5).entries()) {
    size |= BigInt(byte & 127) << BigInt(7 * i);
    if (byte < 128) break;
  }
  if (size > SIZE_MAX) return null;
  try {
    return uncompressSync(record, { asBuffer: true, copyOutputData: true }) as Buffer;
  } catch {
    return null;
  }
}

function isBytes(field: Field, number: number): boolean {
  return field.number === number && field.wire === 2;
}

function takeSeries(fields: Field[], path: string, skewLimitMs: number, result: ReferenceResult): void {
  const labels = fields.filter((field) => isBytes(field, 1)).map((field) => labelOf(fieldsOf(field.bytes)));
  const samples = fields.filter((field) => isBytes(field, 2)).map((field) => fieldsOf(field.bytes));
  const bad = samples.length === 0 ? null : labelFault(labels);
  if (bad !== null) result.faults.push(`sample-invalid ${path}${bad}`);
  if (fields.some((field) => isBytes(field, 4))) result.faults.push(`sample-invalid ${path}.histograms`);
  if (samples.length === 0 || bad !== null) return;
  const texts = labels.map(([name, value]) => [name.toString(), value.toString()] as [string, string]);
  const name = texts.find(([label]) => label === '__name__')?.[1] ?? '';
  const series = seriesText(
    name,
    texts.filter(([label, value]) => label !== '__name__' && value !== ''),
  );
  for (const [i, sample] of samples.entries()) {
    const value = sample.findLast((field) => field.number === 1 && field.wire === 1)?.bytes.readDoubleLE() ?? 0;
    const raw = sample.findLast((field) => field.number === 2 && field.wire === 0)?.varint ?? 0n;
    const timestamp = BigInt.asIntN(64, raw);
    const at = `${path}.samples[${i}].timestamp`;
    if (timestamp > 8640000000000000n || timestamp < -8640000000000000n) result.faults.push(`sample-invalid ${at}`);
    else if (timestamp > BigInt(skewLimitMs)) result.faults.push(`timestamp-ahead ${at}`);
    else if (Number.isFinite(value)) result.rows.push({ series, timestampMs: Number(timestamp), value });
    else result.notFinite++;
  }
}

function labelOf(fields: Field[]): [name: Buffer, value: Buffer] {
  const last = (number: number) => fields.findLast((field) => isBytes(field, number))?.bytes ?? Buffer.alloc(0);
  return [last(1), last(2)];
}

function isText(bytes: Buffer): boolean {
  return Buffer.compare(Buffer.from(bytes.toString()), bytes) === 0;
}

/** Path of what is wrong, behind that of the series. */
export function labelFault(labels: [name: Buffer, value: Buffer][]): string | null {
  if (labels.length >= 256) return '.labels';
  const seen = new Set<string>();
  for (const [name, value] of labels) {
    if (!isText(name)) return '.labels';
    const path = /^[a-z_]\w*$/i.test(name.toString())
      ? `.labels.${name}`
      : `.labels[${JSON.stringify(name.toString())}]`;
    if (!isText(value) || seen.has(name.toString())) return path;
    seen.add(name.toString());
  }
  const metricName = labels.find(([name]) => name.toString() === '__name__')?.[1];
  if (metricName === undefined || metricName.length === 0) return '.labels.__name__';
  if (seen.has('')) return '.labels';
  return labels.filter(([, value]) => value.length > 0).length > 65 ? '.labels' : null;
}
