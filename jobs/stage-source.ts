// Owns making the head of a stage: what reads its exchange or its source topic.

import { EXCHANGE_SOURCE_ID } from '#jobs/graph-check.ts';
import { exchangeCodec } from '#jobs/keyed-operators.ts';
import { type CompiledJob, type StagePlan, sourceOf, writesOutside } from '#jobs/plan.ts';
import type { StageSchemas } from '#jobs/stage-schemas.ts';
import type { StageSeries } from '#jobs/stage-series.ts';
import { headCarriesSamples } from '#jobs/stage-shape.ts';
import { framedAvro, recordFormat } from '#operators/formats/record-format.ts';
import { ExchangeSource } from '#operators/sources/exchange-source.ts';
import { RecordsSource } from '#operators/sources/records-source.ts';
import { RowsSource } from '#operators/sources/rows-source.ts';
import { SamplesSource } from '#operators/sources/samples-source.ts';
import type { Source } from '#runtime/task/contract.ts';

/** `schemas`: of a source with a registry. */
export function stageSource(
  job: CompiledJob,
  stage: StagePlan,
  table: StageSeries,
  schemas: StageSchemas | null,
): Source {
  if (stage.input.kind === 'exchange') {
    const codec = headCarriesSamples(job.plan, stage) ? null : exchangeCodec(job, stage.id);
    return new ExchangeSource({ id: EXCHANGE_SOURCE_ID, table, codec });
  }
  const source = sourceOf(job.plan, stage);
  const { id } = source;
  if (source.kind === 'samples') {
    const { avroSchema, format, influxPrecision = 'ns', partitionedBy } = source;
    const formatOptions = { avroSchema, influxPrecision, schemas: schemas?.lookup ?? null };
    // Databases take them; no window does.
    const keepsNotFinite = writesOutside(stage);
    const samples = new SamplesSource({ id, table, format, formatOptions, partitionedBy, keepsNotFinite });
    schemas?.serve(samples);
    return samples;
  }
  if (source.kind === 'rows') return new RowsSource({ id, table, format: source.format });
  const { read = null, timestamp = null } = job.functions.source.get(id) ?? {};
  const { avroSchema } = source;
  const format = schemas === null ? recordFormat(source.format, avroSchema) : framedAvro(schemas.lookup, avroSchema);
  const records = new RecordsSource({ id, format, read, timestamp });
  schemas?.serve(records);
  return records;
}
