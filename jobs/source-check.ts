// Owns turning a source description into its plan: defaults filled in, every fault collected.

import type { SourceDescription } from '#jobs/descriptions.ts';
import type { Fault } from '#jobs/faults.ts';
import { OptionReader, show } from '#jobs/option-reader.ts';
import type { RegistryConnection, SamplesPlan, SourceFields, SourcePlan } from '#jobs/plan.ts';
import { checkAuthorization, checkUrl } from '#jobs/target-check.ts';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { INFLUX_PRECISIONS } from '#operators/formats/influx-value.ts';
import { RECORD_FORMATS, type RecordFormatName } from '#operators/formats/record-format.ts';
import { ROW_FORMATS } from '#operators/formats/row-encoder.ts';
import { avroProblem, SAMPLE_FORMATS } from '#operators/formats/sample-format.ts';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Names of the options of samples(). */
export const SAMPLES_OPTIONS = [
  'topic',
  'format',
  'avroSchema',
  'registry',
  'influxPrecision',
  'partitionedBy',
  'start',
  'outOfOrderness',
  'idleness',
  'maxSkew',
  'badRecords',
  'seriesMax',
  'keyTtl',
  'lateTopic',
  'deadLetterTopic',
  'consumerGroup',
  'id',
];

const RECORDS_OPTIONS = [
  ...SAMPLES_OPTIONS.filter((name) => !['seriesMax', 'lateTopic', 'influxPrecision'].includes(name)),
  'read',
  'timestamp',
  'keysMax',
];

const ROWS_OPTIONS = SAMPLES_OPTIONS.filter(
  (name) => !['avroSchema', 'registry', 'influxPrecision', 'partitionedBy', 'lateTopic'].includes(name),
);

/** The plan of a source; after faults it holds defaults where the author's words could not be used. */
export function checkSource(
  description: SourceDescription | undefined,
  faults: Fault[],
  path = 'source',
  defaultId?: string,
): SourcePlan {
  if (description?.kind === 'records') return checkRecords(description.options, faults, path, defaultId ?? 'records');
  if (description?.kind === 'rows') return checkRows(description.options, faults, path, defaultId ?? 'rows');
  if (description?.kind !== 'samples') {
    faults.push({ path, message: 'is missing', remedy: `give ${path}: samples({ topic: '…' })` });
  }
  const options = new OptionReader(faults, path, description?.options ?? {}, SAMPLES_OPTIONS);
  if (description?.kind === 'samples') options.required('topic', "name the topic to read: samples({ topic: '…' })");
  const topic = options.topic('topic', 'unknown');
  const plan: SamplesPlan = {
    kind: 'samples',
    ...checkFields(options, defaultId ?? 'samples', topic, 'seriesMax'),
    ...checkFormat(options),
    partitionedBy: options.oneOf('partitionedBy', ['series', 'producer'], null),
    lateTopic: options.topic('lateTopic', `${topic}.late`),
  };
  for (const name of ['lateTopic', 'deadLetterTopic'] as const) {
    if (plan[name] !== topic) continue;
    options.fault(name, `'${topic}' is the topic the job reads`, 'name another: its records would be read again');
  }
  return plan;
}

function checkRows(given: unknown, faults: Fault[], path: string, defaultId: string): SourcePlan {
  const options = new OptionReader(faults, path, given, ROWS_OPTIONS);
  options.required('topic', "name the topic to read: rows({ topic: '…' })");
  const topic = options.topic('topic', 'unknown');
  const fields = checkFields(options, defaultId, topic, 'seriesMax', 60 * SECOND_MS);
  if (fields.deadLetterTopic === topic) {
    options.fault('deadLetterTopic', `'${topic}' is the topic the job reads`, 'name another');
  }
  const format = options.oneOf('format', ROW_FORMATS, 'json');
  return { kind: 'rows', ...fields, partitionedBy: null, ...(format === 'json' ? {} : { format }) };
}

function checkRecords(given: unknown, faults: Fault[], path: string, defaultId: string): SourcePlan {
  const options = new OptionReader(faults, path, given, RECORDS_OPTIONS);
  options.required('topic', "name the topic to read: records({ topic: '…' })");
  const topic = options.topic('topic', 'unknown');
  const fields = checkFields(options, defaultId, topic, 'keysMax');
  if (fields.deadLetterTopic === topic) {
    options.fault('deadLetterTopic', `'${topic}' is the topic the job reads`, 'name another');
  }
  return {
    kind: 'records',
    ...fields,
    ...checkRecordFormat(options),
    ...(options.has('registry') ? { registry: true as const } : {}),
    partitionedBy: options.oneOf('partitionedBy', ['producer'], null),
    reads: checkFunction(options, 'read'),
    timestamps: checkFunction(options, 'timestamp'),
  };
}

/** Format and schema of whole records, read or written. */
export function checkRecordFormat(options: OptionReader): { format: RecordFormatName; avroSchema?: unknown } {
  const format = options.oneOf('format', RECORD_FORMATS, 'json');
  if (format !== 'avro') {
    if (options.has('avroSchema'))
      options.fault('avroSchema', 'is of Avro only', "say format: 'avro', or leave it out");
    return { format };
  }
  const avroSchema = options.raw('avroSchema');
  if (avroSchema === undefined && options.has('registry')) return { format };
  if (options.required('avroSchema', 'give the Avro schema of the records, as JSON or its text')) {
    const schema = parseAvroSchema(avroSchema);
    if (typeof schema === 'string') options.fault('avroSchema', schema, 'give an Avro schema, as JSON or its text');
  }
  return { format, avroSchema };
}

function checkFunction(options: OptionReader, name: 'read' | 'timestamp'): boolean {
  const value = options.raw(name);
  if (value !== undefined && typeof value !== 'function') {
    options.fault(name, `${show(value)} is no function`, `give ${name}: (value) => …, or leave it out`);
  }
  return value !== undefined;
}

function checkFields(
  options: OptionReader,
  defaultId: string,
  topic: string,
  keysMax: string,
  outOfOrdernessMs = 5 * SECOND_MS,
): SourceFields {
  const consumerGroup = options.text('consumerGroup', null);
  return {
    id: options.id('id', defaultId),
    topic,
    start: checkStart(options),
    outOfOrdernessMs: options.duration('outOfOrderness', outOfOrdernessMs, { max: DAY_MS }),
    idlenessMs: options.duration('idleness', 30 * SECOND_MS, { min: SECOND_MS, max: DAY_MS }),
    maxSkewMs: options.duration('maxSkew', 600 * SECOND_MS, { max: 366 * DAY_MS }),
    badRecords: options.oneOf('badRecords', ['dead-letter', 'skip', 'fail'], 'dead-letter'),
    seriesMax: options.integer(keysMax, 1_000_000, { min: 1, max: 100_000_000 }),
    keyTtlMs: options.duration('keyTtl', HOUR_MS, { min: SECOND_MS }),
    deadLetterTopic: options.topic('deadLetterTopic', `${topic}.dead-letter`),
    ...(consumerGroup === null ? {} : { consumerGroup }),
  };
}

function checkFormat(
  options: OptionReader,
): Pick<SamplesPlan, 'format' | 'avroSchema' | 'influxPrecision' | 'registry'> {
  const format = options.oneOf('format', SAMPLE_FORMATS, 'json');
  const avroSchema = options.raw('avroSchema');
  const influxPrecision = options.oneOf('influxPrecision', INFLUX_PRECISIONS, null);
  const problem = avroSchema === undefined ? null : avroProblem(avroSchema);
  if (problem !== null) {
    const remedy = 'give the schema of a record with metric_name, timestamp, value and labels, as JSON or its text';
    options.fault('avroSchema', problem, remedy);
  }
  if (avroSchema === undefined && format === 'avro' && !options.has('registry')) {
    options.required('avroSchema', 'give the schema that the records were written with, or the registry that has it');
  }
  return {
    format,
    ...(avroSchema === undefined ? {} : { avroSchema }),
    ...(influxPrecision === null ? {} : { influxPrecision }),
    ...(options.has('registry') ? { registry: true as const } : {}),
  };
}

/** How the registry of a source is reached, null when it has none. */
export function checkRegistry(
  description: SourceDescription | undefined,
  faults: Fault[],
  path: string,
): RegistryConnection | null {
  if (description?.kind !== 'samples' && description?.kind !== 'records') return null;
  const { format = 'json', registry } = description.options;
  if (registry === undefined) return null;
  const given = typeof registry === 'string' ? { url: registry } : registry;
  const options = new OptionReader(faults, `${path}.registry`, given, REGISTRY_OPTIONS);
  if (format !== 'avro' && format !== 'auto') {
    const formats = description.kind === 'records' ? "'avro'" : "'avro' or 'auto'";
    const remedy = `say format: ${formats}, or leave it out`;
    faults.push({ path: `${path}.registry`, message: 'is of Avro only', remedy });
  }
  const { authorization } = checkAuthorization(options, faults);
  return { url: checkUrl(options, "give its address: 'https://registry:8081'"), authorization };
}

const REGISTRY_OPTIONS = ['url', 'basicAuth', 'bearerToken'];

function checkStart(options: OptionReader): SamplesPlan['start'] {
  const value = options.raw('start');
  if (value === undefined || value === 'earliest') return 'earliest';
  if (value === 'latest') return 'latest';
  const timestampMs = typeof value === 'string' ? isoTimeMs(value) : value;
  if (typeof timestampMs === 'number' && Number.isSafeInteger(timestampMs) && timestampMs >= 0) return { timestampMs };
  const remedy = "give 'earliest', 'latest', milliseconds or an ISO time such as '2026-01-31T12:00:00Z'";
  options.fault('start', `${show(value)} is no moment`, remedy);
  return 'earliest';
}

/** A time without zone would mean another moment on another machine, so the zone must be there. */
function isoTimeMs(text: string): number | null {
  const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = match ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}
