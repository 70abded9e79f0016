// Owns the slow truth about Avro samples: values read by the JSON of the schema with BigInt integers, into Maps. Shares no
// code with the decoder.

import { hasHalfPair, type ReferenceResult, seriesText } from '#test/operators/formats/reference-decoder.ts';

export type Schema = string | readonly Schema[] | { readonly [key: string]: unknown };
export type AvroValue = bigint | number | boolean | null | Buffer | AvroValue[] | Map<string, AvroValue> | Entries;

/** A map with its entries as they came. */
export class Entries {
  readonly list: [Buffer, AvroValue][] = [];
}

class Cursor {
  at = 0;
  items: number;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.items = bytes.length + 65_536;
  }

  take(size: number): Buffer {
    if (size < 0 || size > this.bytes.length - this.at) throw new RangeError('ends');
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  long(): bigint {
    let value = 0n;
    for (let i = 0n; ; i++) {
      if (i > 9n) throw new RangeError('long integer');
      const byte = this.take(1)[0];
      if (i === 9n && byte > 1) throw new RangeError('long integer');
      value |= BigInt(byte & 127) << (7n * i);
      if (byte < 128) break;
    }
    return (value >> 1n) ^ -(value & 1n);
  }

  data(): Buffer {
    const size = this.long();
    if (size < 0n || size > BigInt(this.bytes.length)) throw new RangeError('bad length');
    return this.take(Number(size));
  }

  blocks(item: () => void): void {
    for (;;) {
      let count = this.long();
      let stop = -1;
      if (count === 0n) return;
      if (count < 0n) {
        count = -count;
        const size = this.long();
        if (size < 0n || size > BigInt(this.bytes.length - this.at)) throw new RangeError('bad block size');
        stop = this.at + Number(size);
      }
      if (count > BigInt(this.items)) throw new RangeError('too many items');
      this.items -= Number(count);
      for (; count > 0n; count--) item();
      if (stop >= 0 && stop !== this.at) throw new RangeError('wrong block size');
    }
  }
}

function read(cursor: Cursor, schema: Schema, names: Map<string, Schema>, depth: number): AvroValue {
  if (depth > 33) throw new RangeError('too deep');
  const inner = (of: unknown) => read(cursor, of as Schema, names, depth + 1);
  if (Array.isArray(schema)) {
    const branch = cursor.long();
    if (branch < 0n || branch >= BigInt(schema.length)) throw new RangeError('no such branch');
    return inner(schema[Number(branch)]);
  }
  const type = typeof schema === 'string' ? schema : ((schema as { type: string }).type as string);
  const parts = schema as { readonly [key: string]: unknown };
  if (names.has(type) && typeof schema === 'string') return read(cursor, names.get(type)!, names, depth);
  if (type === 'null') return null;
  if (type === 'boolean') return cursor.take(1)[0] !== 0;
  if (type === 'int' || type === 'long' || type === 'enum') return cursor.long();
  if (type === 'float') return cursor.take(4).readFloatLE();
  if (type === 'double') return cursor.take(8).readDoubleLE();
  if (type === 'string' || type === 'bytes') return cursor.data();
  if (type === 'fixed') return cursor.take(parts['size'] as number);
  if (type === 'array') {
    const list: AvroValue[] = [];
    cursor.blocks(() => list.push(inner(parts['items'])));
    return list;
  }
  if (type === 'map') {
    const entries = new Entries();
    cursor.blocks(() => entries.list.push([cursor.data(), inner(parts['values'])]));
    return entries;
  }
  names.set(parts['name'] as string, schema);
  const fields = parts['fields'] as { readonly name: string; readonly type: Schema }[];
  return new Map(fields.map((field) => [field.name, inner(field.type)]));
}

/** The one value that the bytes hold. Throws RangeError when they hold no such value, or more. */
export function readAvroValue(record: Buffer, schema: Schema): AvroValue {
  const cursor = new Cursor(record);
  const value = read(cursor, schema, new Map(), 0);
  if (cursor.at !== record.length) throw new RangeError('bytes left');
  return value;
}

export function isText(bytes: Buffer): boolean {
  return Buffer.compare(Buffer.from(bytes.toString()), bytes) === 0;
}

export function referenceAvro(record: Buffer, schema: Schema, skewLimitMs: number): ReferenceResult {
  const result: ReferenceResult = { rows: [], notFinite: 0, faults: [] };
  let value: AvroValue;
  try {
    value = readAvroValue(record, schema);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    result.faults.push('avro-invalid $');
    return result;
  }
  const parts = Array.isArray(value) ? value.map((part, i) => [part, `$[${i}]`] as const) : ([[value, '$']] as const);
  for (const [part, path] of parts) take(part as Map<string, AvroValue>, path, skewLimitMs, result);
  return result;
}

function take(sample: Map<string, AvroValue>, path: string, skewLimitMs: number, result: ReferenceResult): void {
  const timestamp = sample.get('timestamp') as bigint | null;
  const value = sample.get('value') as bigint | number | null;
  if (timestamp === null || timestamp > 8640000000000000n || timestamp < -8640000000000000n) {
    result.faults.push(`sample-invalid ${path}.timestamp`);
    return;
  }
  const entries = sample.get('labels') as Entries | null | undefined;
  const series = seriesOf(sample.get('metric_name') as Buffer | null, entries?.list ?? []);
  if (series.startsWith('.')) result.faults.push(`sample-invalid ${path}${series}`);
  else if (timestamp > BigInt(skewLimitMs)) result.faults.push(`timestamp-ahead ${path}.timestamp`);
  else if (value === null || !Number.isFinite(Number(value))) result.notFinite++;
  else result.rows.push({ series, timestampMs: Number(timestamp), value: Number(value) });
}

/** Text of the series, or a path with a dot in front. */
function seriesOf(name: Buffer | null, list: [Buffer, AvroValue][]): string {
  if (name === null || !isText(name)) return '.metric_name';
  if (list.length > 256 || list.some(([key, value]) => !isText(key) || (value !== null && !isText(value as Buffer)))) {
    return '.labels';
  }
  if (name.length === 0 || hasHalfPair(name.toString())) return '.metric_name';
  const labels = new Map(
    list.map(([key, value]) => [key.toString(), value === null ? '' : (value as Buffer).toString()]),
  );
  if (labels.has('')) return '.labels';
  if ((labels.get('__name__') ?? '') !== '') return '.labels.__name__';
  const kept = [...labels].filter(([, value]) => value !== '');
  return kept.length > 64 ? '.labels' : seriesText(name.toString(), kept);
}
