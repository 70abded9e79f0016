// Owns which decoder reads the records of a source: by the name of the format, or for each record anew (`auto`). Looks
// into records that are gzip files. Invariant: a record is given to one decoder, whose outcome is the record's.

import { AvroDecoder } from '#operators/formats/avro-decoder.ts';
import { type SamplePlan, samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { type DetectedFormat, FormatDetector } from '#operators/formats/format-detector.ts';
import { gunzipRecord, isGzip } from '#operators/formats/gzip-record.ts';
import { InfluxDecoder } from '#operators/formats/influx-decoder.ts';
import type { InfluxPrecision } from '#operators/formats/influx-value.ts';
import { JsonSampleDecoder } from '#operators/formats/json-sample-decoder.ts';
import { OtlpDecoder } from '#operators/formats/otlp-decoder.ts';
import { RemoteWriteDecoder } from '#operators/formats/remote-write-decoder.ts';
import {
  NOT_WAITING,
  type RecordOrigin,
  type RecordOutcome,
  RecordRefusal,
  type SampleDecoder,
  type SampleDecoderOptions,
} from '#operators/formats/sample-decoder.ts';
import type { SchemaLookup } from '#operators/formats/schema-lookup.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch } from '#runtime/task/contract.ts';

export type SampleFormatName = 'auto' | DetectedFormat;
export const SAMPLE_FORMATS: readonly SampleFormatName[] = ['auto', 'json', 'avro', 'remote-write', 'otlp', 'influx'];

export interface SampleFormatOptions {
  readonly name: SampleFormatName;
  /** Schema of Avro records without a frame, one that `avroProblem` takes. @default none: they are not read */
  readonly avroSchema?: unknown;
  /** Schemas of Avro records with a frame. @default null: none has one */
  readonly schemas?: SchemaLookup | null;
  /** Unit of Influx timestamps. @default 'ns' */
  readonly influxPrecision?: InfluxPrecision;
}

/** What keeps JSON from being the schema of samples, or null. */
export function avroProblem(json: unknown): string | null {
  const plan = planOf(json);
  return typeof plan === 'string' ? plan : null;
}

function planOf(json: unknown): SamplePlan | string {
  const schema = parseAvroSchema(json);
  return typeof schema === 'string' ? schema : samplePlan(schema);
}

/** The decoder of a source. Plain JSON has its own way: nothing stands between. */
export function sampleDecoder(format: SampleFormatOptions, options: SampleDecoderOptions): SampleDecoder {
  return format.name === 'json' ? new JsonSampleDecoder(options) : new FormatDecoder(format, options);
}

class FormatDecoder implements SampleDecoder {
  outcome: RecordOutcome = refused(null);
  readonly #format: SampleFormatOptions;
  readonly #options: SampleDecoderOptions;
  readonly #detector: FormatDetector;
  readonly #avroPlan: SamplePlan | null = null;
  /** Made when the first record of a format comes: each has a memory of its own. */
  readonly #decoders = new Map<DetectedFormat, SampleDecoder>();

  constructor(format: SampleFormatOptions, options: SampleDecoderOptions) {
    this.#format = format;
    this.#options = options;
    const { avroSchema, schemas = null } = format;
    if (avroSchema !== undefined) {
      const plan = planOf(avroSchema);
      invariant(typeof plan !== 'string', `the Avro schema was not checked: ${String(plan)}`);
      this.#avroPlan = plan;
    }
    this.#detector = new FormatDetector({ hasRegistry: schemas !== null, hasSchema: this.#avroPlan !== null });
  }

  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void {
    try {
      if (isGzip(bytes, start, end)) {
        const content = gunzipRecord(bytes, start, end);
        this.#decode(content, 0, content.length, bytes, origin, batch);
      } else this.#decode(bytes, start, end, bytes, origin, batch);
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      this.outcome = refused(error);
    }
  }

  #decode(bytes: Buffer, start: number, end: number, record: Buffer, origin: RecordOrigin, batch: Batch): void {
    const { name } = this.#format;
    const format = name === 'auto' ? this.#detect(bytes, start, end, record, origin) : name;
    let decoder = this.#decoders.get(format);
    if (decoder === undefined) {
      decoder = this.#make(format);
      this.#decoders.set(format, decoder);
    }
    decoder.decode(bytes, start, end, origin, batch);
    this.outcome = decoder.outcome;
  }

  #detect(bytes: Buffer, start: number, end: number, record: Buffer, origin: RecordOrigin): DetectedFormat {
    const format = this.#detector.detect(bytes, start, end, record, origin.headersAt);
    if (format !== null) return format;
    const { contentType } = this.#detector;
    const says = contentType === '' ? '' : `, and its content-type '${contentType}' is not known`;
    throw new RecordRefusal('format-unknown', `is in no format that its first bytes tell${says}`);
  }

  #make(format: DetectedFormat): SampleDecoder {
    const options = this.#options;
    const { influxPrecision = 'ns', schemas = null } = this.#format;
    switch (format) {
      case 'json':
        return new JsonSampleDecoder(options);
      case 'avro':
        return new AvroDecoder({ ...options, plan: this.#avroPlan, lookup: schemas });
      case 'remote-write':
        return new RemoteWriteDecoder(options);
      case 'otlp':
        return new OtlpDecoder(options);
      case 'influx':
        return new InfluxDecoder({ ...options, precision: influxPrecision });
    }
  }
}

function refused(refusal: RecordRefusal | null): RecordOutcome {
  const faults = refusal === null ? [] : [{ code: refusal.code, message: refusal.message, path: '$' }];
  return { notFinite: 0, faults, faultCount: faults.length, hasParts: false, waitsFor: NOT_WAITING };
}
