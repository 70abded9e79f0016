import { expect, test } from 'vitest';
import { samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { type AvroSchema, parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { framedAvro } from '#operators/formats/record-format.ts';
import type { SchemaAnswer, SchemaLookup } from '#operators/formats/schema-lookup.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { RecordsSource } from '#operators/sources/records-source.ts';
import { SamplesSource } from '#operators/sources/samples-source.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { Batch, type SourceContext } from '#runtime/task/contract.ts';
import { SCHEMAS } from '#test/operators/formats/avro-generator.ts';

const LIMITS = {
  cutTimestampMs: Number.POSITIVE_INFINITY,
  stopDelta: Number.MAX_SAFE_INTEGER,
  skipBelowDelta: 0,
  skewLimitMs: Number.POSITIVE_INFINITY,
  rowsMax: 1000,
};

const schema = parseAvroSchema(SCHEMAS.get(1)) as AvroSchema;
const known: SchemaAnswer = { schema, plan: samplePlan(schema) };

/** A source of samples or of records that asks `lookup`. */
function sourceOf(kind: 'samples' | 'records', lookup: SchemaLookup): SamplesSource | RecordsSource {
  if (kind === 'records') {
    const timestamp = (record: unknown) => (record as { timestamp: number }).timestamp;
    return new RecordsSource({ id: 'records', format: framedAvro(lookup, undefined), read: null, timestamp });
  }
  const table = new SeriesTable({ stateId: 's/series' });
  const formatOptions = { schemas: lookup };
  return new SamplesSource({ id: 'samples', table, format: 'avro', formatOptions, partitionedBy: null });
}

test.each(['samples', 'records'] as const)(
  'a source of %s ends before a record whose schema is pending, and goes on once it is known or missing',
  (kind) => {
    const answers = new Map<number, SchemaAnswer>([[1, known]]);
    const source = sourceOf(kind, { get: (id) => answers.get(id) ?? 'pending' });
    const letters: string[] = [];
    source.open({
      state: { register: () => ({ epoch: 1, touch: () => {} }) },
      count: () => {},
      deadLetter: (at: RecordWalker, _: unknown, code: string) => void letters.push(`${at.offsetDelta} ${code}`),
    } as unknown as SourceContext);
    const builder = new RecordBatchBuilder('raw', 0);
    for (const [at, id] of [1, 1, 2, 3, 1].entries()) {
      const body = schema.encode({ metric_name: 'm', timestamp: at, value: 1, labels: {} });
      const record = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), body]);
      builder.append(0, null, 0, 0, record, 0, record.length);
    }
    const { bytes, recordCount } = builder.finish();
    const walker = new RecordWalker();
    walker.reset(bytes, BATCH_HEADER_BYTES, bytes.length, recordCount);
    const batch = new Batch(16);
    const decode = (skipBelowDelta: number) => {
      batch.clear();
      source.decode(
        { topic: 'raw', partition: 0, baseOffset: 0n, baseTimestampMs: 0 },
        walker,
        { ...LIMITS, skipBelowDelta },
        batch,
      );
      return {
        rows: [...batch.timestampMs.subarray(0, batch.count)],
        next: source.consumedDelta,
        waits: source.waitsFor,
      };
    };
    expect(decode(0)).toEqual({ rows: [0, 1], next: 2, waits: 2 });
    expect(decode(2)).toEqual({ rows: [], next: 2, waits: 2 });
    answers.set(2, known);
    expect(decode(2)).toEqual({ rows: [2], next: 3, waits: 3 });
    expect(letters).toEqual([]);
    answers.set(3, 'missing');
    expect(decode(3)).toEqual({ rows: [4], next: 5, waits: -1 });
    expect(letters).toEqual(['3 schema-unknown']);
    expect(walker.left).toBe(0);
  },
);
