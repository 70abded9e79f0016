// Owns the words a job is written with: samples, series, by, tumbling, stats, mergedStats, topic. They only hold what
// the author gave; the compiler checks it. Invariant: calling one runs nothing and throws nothing.

import type { RecordsDescription } from '#jobs/record-words.ts';
import type { RowsDescription } from '#jobs/tsdb-words.ts';
import type { TriggerOptions } from '#jobs/window-words.ts';
import type { InfluxPrecision } from '#operators/formats/influx-value.ts';
import type { RecordFormatName } from '#operators/formats/record-format.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';
import type { SampleFormatName } from '#operators/formats/sample-format.ts';

/** A duration such as '200ms', '5s', '1h30m'. */
export type Duration = string;

export interface RegistryOptions {
  readonly url: string;
  readonly basicAuth?: { readonly user: string; readonly password: string } | undefined;
  readonly bearerToken?: string | undefined;
}

export interface SamplesOptions {
  readonly topic: string;
  /** How values are encoded; 'auto' tells it of each record by its content type or first bytes. @default 'json' */
  readonly format?: SampleFormatName | undefined;
  /** Avro schema of records that name none, as JSON or its text. */
  readonly avroSchema?: unknown;
  /**
   * Where the schemas of Avro records with a schema id are (Confluent's REST interface). While it does not answer, records
   * that need an unknown schema wait; those whose schema does not exist are bad records.
   */
  readonly registry?: string | RegistryOptions | undefined;
  /** Unit of the timestamps in Influx line protocol. @default 'ns' */
  readonly influxPrecision?: InfluxPrecision | undefined;
  /**
   * Says that every series stays on one partition: 'series' (murmur2 of the canonical series, checked) or 'producer'
   * (trusted). Without it keyBy exchanges, which is always right.
   */
  readonly partitionedBy?: 'series' | 'producer' | undefined;
  /** Where the very first start begins: an ISO time or milliseconds for a moment. @default 'earliest' */
  readonly start?: 'earliest' | 'latest' | (string & {}) | number | undefined;
  /** How far event times may lie behind the largest one seen. @default '5s' */
  readonly outOfOrderness?: Duration | undefined;
  /** Without input for this long a partition stops holding the watermark back. @default '30s', minimum '1s' */
  readonly idleness?: Duration | undefined;
  /** Samples further ahead of the clock are bad records. @default '10m' */
  readonly maxSkew?: Duration | undefined;
  /** What becomes of a record that cannot be decoded. @default 'dead-letter' */
  readonly badRecords?: 'dead-letter' | 'skip' | 'fail' | undefined;
  /** Live series per task at most; beyond it the task stops with series-limit. @default 1000000 */
  readonly seriesMax?: number | undefined;
  /** An unused key is forgotten after two to three of these, in event time. @default '1h' */
  readonly keyTtl?: Duration | undefined;
  /** @default '<topic>.late' */
  readonly lateTopic?: string | undefined;
  /** @default '<topic>.dead-letter' */
  readonly deadLetterTopic?: string | undefined;
  /** Group under which consumed offsets are published, for Kafka's own tools. @default '<namespace>.<job>' */
  readonly consumerGroup?: string | undefined;
  /** Id of this step. @default 'samples' */
  readonly id?: string | undefined;
}

export interface SamplesDescription {
  readonly kind: 'samples';
  readonly options: SamplesOptions;
}

export type SourceDescription = SamplesDescription | RecordsDescription | RowsDescription;

/** Reads samples from a topic. */
export function samples(options: SamplesOptions): SamplesDescription {
  return { kind: 'samples', options };
}

export type KeySelector = { readonly kind: 'series' } | { readonly kind: 'labels'; readonly labels: readonly string[] };

/** Key: the whole series, metric name and all labels. */
export const series: KeySelector = { kind: 'series' };

/** Key: the metric name with these labels; others are dropped. */
export function by(...labels: readonly string[]): KeySelector {
  return { kind: 'labels', labels };
}

export interface TumblingOptions {
  /**
   * How long after its end a window still takes late samples and sends a corrected row.
   * @default '0s'; a window of windows has that of the window it is fed by, always
   */
  readonly allowedLateness?: Duration | undefined;
  /** Of windows over records: moves all borders, may begin with a minus. @default '0s' */
  readonly offset?: Duration | undefined;
  /** Of windows over records: when they fire. @default at their end, and for each late record after that */
  readonly trigger?: TriggerOptions | undefined;
}

export interface WindowDescription {
  readonly kind: 'tumbling';
  readonly size: Duration;
  readonly options: TumblingOptions;
}

/** Windows of one length, side by side, aligned to the epoch in UTC. */
export function tumbling(size: Duration, options: TumblingOptions = {}): WindowDescription {
  return { kind: 'tumbling', size, options };
}

export interface AggregateDescription {
  readonly kind: 'stats' | 'mergedStats';
}

/** count, sum, min, max, avg and the percentiles 50, 95, 99 of samples. */
export function stats(): AggregateDescription {
  return { kind: 'stats' };
}

/** The same of larger windows, merged from the windows upstream in the order of their start. */
export function mergedStats(): AggregateDescription {
  return { kind: 'mergedStats' };
}

export interface TopicOptions {
  /** Partition count when the topic has to be created. @default that of the source */
  readonly partitions?: number | undefined;
  /** Id of this step. @default made of its input and the topic */
  readonly id?: string | undefined;
  /**
   * How values are written: rows as 'json', 'avro' (schema ROLLUP_ROW_SCHEMA) or 'remote-write' (a request of the eight
   * series of a row), records as 'json', 'text', 'bytes' or 'avro'. @default 'json'
   */
  readonly format?: RecordFormatName | RowFormatName | undefined;
  /** Of records in Avro: the schema, as JSON or its text. */
  readonly avroSchema?: unknown;
  /** Of records: gives a record's key, null for none. @default the key of the stream */
  readonly key?: ((record: never) => string | null) | undefined;
}

export interface TopicDescription {
  readonly kind: 'topic';
  readonly topic: string;
  readonly options: TopicOptions;
}

/** A topic that rows go to. */
export function topic(name: string, options: TopicOptions = {}): TopicDescription {
  return { kind: 'topic', topic: name, options };
}
