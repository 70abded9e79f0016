// Owns what goes into and comes out of the topics of a driven job: values to bytes as its source reads them, bytes back
// to values as its sinks write them. Knows the plan of the job, nothing of tasks.

import type { Plan, SourcePlan } from '#jobs/plan.ts';
import { AvroRecord } from '#operators/formats/avro-record.ts';
import type { AvroSchema } from '#operators/formats/avro-schema.ts';
import { type RecordFormatName, recordFormat } from '#operators/formats/record-format.ts';
import { ROLLUP_ROW_SCHEMA, type RowFormatName } from '#operators/formats/row-encoder.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';
import type { DriverRecord, SendOptions } from '#test/harness/driver.ts';
import type { SimulatedTopic } from '#test/simulation/world/log-cluster.ts';
import { bodyOf } from '#test/suites/log/bytes.ts';

/** How the value of a record is read. */
export type ReadValue = (bytes: Buffer) => unknown;

const asJson: ReadValue = (bytes) => JSON.parse(bytes.toString());
const asText: ReadValue = (bytes) => bytes.toString();
const asBytes: ReadValue = (bytes) => Buffer.from(bytes);

/** By topic, how what the job writes is read. */
export function outputReaders(plan: Plan): ReadonlyMap<string, ReadValue> {
  const readers = new Map<string, ReadValue>();
  for (const source of plan.sources) {
    if (source.kind === 'samples') readers.set(source.lateTopic, asJson);
    readers.set(source.deadLetterTopic, isText(source) ? asText : asBytes);
  }
  for (const { steps } of plan.stages) {
    for (const step of steps) {
      if (step.kind !== 'topic') continue;
      if (step.records === undefined) readers.set(step.topic, rowReader(step.rows?.format ?? 'json'));
      else {
        const format = recordFormat(step.records.format, step.records.avroSchema);
        readers.set(step.topic, (bytes) => format.decode(bytes, 0, bytes.length));
      }
    }
  }
  return readers;
}

function rowReader(format: RowFormatName): ReadValue {
  if (format !== 'avro') return format === 'json' ? asJson : asBytes;
  const avro = recordFormat('avro', ROLLUP_ROW_SCHEMA);
  return (bytes) => avro.decode(bytes, 0, bytes.length);
}

/** Whether what cannot be read is a text that people can. */
function isText({ format = 'json' }: SourcePlan): boolean {
  return ['json', 'text', 'influx', 'auto'].includes(format);
}

/** One record as a producer would write it. Error: record-refused. */
export function recordBatch(
  source: SourcePlan,
  partitionCount: number,
  value: unknown,
  options: SendOptions & { readonly timestampMs: number; readonly schema: SchemaChoice | null },
): { readonly partition: number; readonly bytes: Buffer } {
  const { schema, timestampMs } = options;
  const given = source.kind === 'samples' ? completed(value, timestampMs) : value;
  const bytes = valueBytes(source, given, schema);
  const key = options.key === undefined ? keyOf(source, given) : options.key;
  const keyBytes = key === null ? null : Buffer.from(key);
  const partition = options.partition ?? (keyBytes === null ? 0 : partitionOf(murmur2(keyBytes), partitionCount));
  const builder = new RecordBatchBuilder(source.topic, partition, (bytes?.length ?? 0) + 256);
  builder.append(timestampMs, keyBytes, 0, keyBytes?.length ?? 0, bytes, 0, bytes?.length ?? 0);
  return { partition, bytes: Buffer.from(builder.finish().bytes) };
}

/** A schema of the registry that a record is written with. */
interface SchemaChoice {
  readonly id: number;
  readonly schema: AvroSchema;
}

function valueBytes(source: SourcePlan, value: unknown, schema: SchemaChoice | null): Buffer | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (schema !== null && (source.kind === 'rows' || source.registry !== true)) {
    const remedy = "leave schemaId out, or say registry: '…' of its source";
    throw new StreamError('record-refused', `topic ${source.topic} takes no schema ids`, remedy);
  }
  const format = schema === null ? formatOf(source, value) : 'avro';
  const out = new ByteWriter(256);
  try {
    if (schema === null)
      recordFormat(format, source.kind === 'rows' ? ROLLUP_ROW_SCHEMA : source.avroSchema).encode(value, out);
    else {
      out.u8(0);
      out.u32(schema.id);
      new AvroRecord(schema.schema).encode(value, out);
    }
  } catch (cause) {
    throw new StreamError(
      'record-refused',
      `topic ${source.topic} takes ${format}: ${(cause as Error).message}`,
      'send what its source reads, or the bytes as they are in a Buffer',
      { cause },
    );
  }
  return Buffer.from(out.bytes.subarray(0, out.length));
}

function formatOf(source: SourcePlan, value: unknown): RecordFormatName {
  if (source.kind !== 'rows' && source.format === 'avro' && source.avroSchema === undefined) {
    const remedy = 'say with which schema of the registry: { schemaId: 1 }';
    throw new StreamError('record-refused', `topic ${source.topic} takes Avro by a schema id`, remedy);
  }
  if (source.kind === 'records') return source.format;
  if (typeof value === 'string') return 'text';
  const { format: named = 'json' } = source;
  const format = named === 'auto' ? 'json' : named;
  const hasSchema = source.kind === 'rows' || source.avroSchema !== undefined;
  if (format === 'json' || (format === 'avro' && hasSchema)) return format;
  const remedy = format === 'influx' ? 'send lines as a text' : 'send the bytes of a record in a Buffer';
  throw new StreamError('record-refused', `topic ${source.topic} takes ${format}, not objects`, remedy);
}

/** Samples with what may be left out of them: the timestamp, numbers that JSON has no word for. */
function completed(value: unknown, timestampMs: number): unknown {
  if (Array.isArray(value)) return value.map((one) => completed(one, timestampMs));
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  const sample: Readonly<Record<string, unknown>> = { timestamp: timestampMs, ...value };
  const number = sample['value'];
  if (typeof number !== 'number' || Number.isFinite(number)) return sample;
  return { ...sample, value: Number.isNaN(number) ? 'NaN' : number > 0 ? '+Inf' : '-Inf' };
}

function keyOf(source: SourcePlan, value: unknown): string | null {
  if (source.kind !== 'samples' || value === null || typeof value !== 'object') return null;
  const sample = (Array.isArray(value) ? value[0] : value) as { metric_name?: unknown; labels?: unknown } | undefined;
  const series = canonicalSeries(sample?.metric_name, sample?.labels);
  return typeof series === 'string' ? series : null;
}

/** Every record of a topic that was ever committed, by partition and offset. */
export function committedRecords(topic: SimulatedTopic, read: ReadValue): DriverRecord[] {
  const walker = new RecordWalker();
  const records: DriverRecord[] = [];
  for (const { partition, archive } of topic.partitions) {
    for (const batch of archive) {
      if (batch.control || batch.fate !== 'committed') continue;
      const { baseOffset } = batch;
      const baseTimestampMs = Number(batch.bytes.readBigInt64BE(27));
      const { bytes, start } = bodyOf(batch.bytes);
      walker.reset(bytes, start, bytes.length, batch.bytes.readInt32BE(57));
      while (walker.next()) {
        records.push({
          key: walker.keyStart < 0 ? null : bytes.toString('utf8', walker.keyStart, walker.keyEnd),
          value: walker.valueStart < 0 ? null : read(bytes.subarray(walker.valueStart, walker.valueEnd)),
          timestampMs: baseTimestampMs + walker.timestampDelta,
          partition,
          offset: baseOffset + walker.offsetDelta,
          headers: Object.fromEntries(walker.headers().map(({ key, value }) => [key, Buffer.from(value).toString()])),
        });
      }
    }
  }
  return records;
}
