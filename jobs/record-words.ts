// Owns the words for streams of records of any shape: records, the states of functions, codecs. They only hold what the
// author gave; the compiler checks it.

import { list, map, type StateCodec } from '#checkpoint/codecs.ts';
import type { Duration, RegistryOptions } from '#jobs/descriptions.ts';
import type { RecordFormatName } from '#operators/formats/record-format.ts';
import type {
  AggregateFunction,
  AggregatingState,
  FunctionContext,
  ListState,
  MapState,
  TimerEvent,
  ValueState,
} from '#operators/process/contract.ts';
import type { RecordMetadata } from '#operators/sources/records-source.ts';

export interface RecordsOptions<T = unknown> {
  readonly topic: string;
  /** How values are encoded: JSON, text in UTF-8, bytes, or Avro. @default 'json' */
  readonly format?: RecordFormatName | undefined;
  /** Of Avro: the schema, as JSON or its text. */
  readonly avroSchema?: unknown;
  /**
   * Of Avro: where the schemas of records are that begin with 0 and a schema id (Confluent's REST interface). With an
   * `avroSchema` they come as that one says, by Avro's rules, and records without an id are of it; without one they come as
   * they were written. While the registry does not answer, records that need an unknown schema wait; those whose schema
   * does not exist, or does not go with `avroSchema`, are bad ones.
   */
  readonly registry?: string | RegistryOptions | undefined;
  /**
   * Makes the record out of the decoded value and what the log says of it. What it throws makes the record a bad one.
   * @default the value
   */
  readonly read?: ((value: unknown, metadata: RecordMetadata) => T) | undefined;
  /** Event time in whole milliseconds; what it throws makes the record a bad one. @default the log's timestamp */
  readonly timestamp?: ((record: T, metadata: RecordMetadata) => number) | undefined;
  /** 'producer': all records of a key are on one partition, and keyBy trusts that. Without it keyBy exchanges. */
  readonly partitionedBy?: 'producer' | undefined;
  /** Where the very first start begins: an ISO time or milliseconds for a moment. @default 'earliest' */
  readonly start?: 'earliest' | 'latest' | (string & {}) | number | undefined;
  /** How far event times may lie behind the largest one seen. @default '5s' */
  readonly outOfOrderness?: Duration | undefined;
  /** Without input for this long a partition stops holding the watermark back. @default '30s', minimum '1s' */
  readonly idleness?: Duration | undefined;
  /** Records further ahead of the clock are bad. @default '10m' */
  readonly maxSkew?: Duration | undefined;
  /** What becomes of a bad record. @default 'dead-letter' */
  readonly badRecords?: 'dead-letter' | 'skip' | 'fail' | undefined;
  /** Live keys per task at most; beyond it the task stops with series-limit. @default 1000000 */
  readonly keysMax?: number | undefined;
  /** A key without state is forgotten after two to three of these, in event time. @default '1h' */
  readonly keyTtl?: Duration | undefined;
  /** @default '<topic>.dead-letter' */
  readonly deadLetterTopic?: string | undefined;
  /** Group under which consumed offsets are published, for Kafka's own tools. @default '<namespace>.<job>' */
  readonly consumerGroup?: string | undefined;
  /** Id of this step. @default 'records' */
  readonly id?: string | undefined;
}

export interface RecordsDescription<T = unknown> {
  readonly kind: 'records';
  readonly options: RecordsOptions;
  /** Only for the compiler of types. */
  readonly record?: T;
}

/** Reads records of any shape from a topic. */
export function records<T = unknown>(options: RecordsOptions<T>): RecordsDescription<T> {
  return { kind: 'records', options: options as RecordsOptions };
}

export interface StateOptions {
  /**
   * Event time after the last update at which a value is gone.
   * @default never
   */
  readonly ttl?: Duration | undefined;
  /** What counts as an update. @default 'write' */
  readonly ttlUpdate?: 'write' | 'read-and-write' | undefined;
}

export interface StateDescription<Handle> {
  readonly kind: 'value' | 'list' | 'map' | 'aggregating';
  /** Of what is stored. */
  readonly codec: StateCodec<unknown>;
  /** Of lists and maps. */
  readonly element?: StateCodec<unknown> | undefined;
  readonly key?: StateCodec<unknown> | undefined;
  readonly aggregate?: AggregateFunction<unknown, unknown, unknown> | undefined;
  readonly options: StateOptions;
  /** Only for the compiler of types. */
  readonly handle?: Handle;
}

/** One value per key. */
export function valueState<V>(codec: StateCodec<V>, options: StateOptions = {}): StateDescription<ValueState<V>> {
  return { kind: 'value', codec: loose(codec), options };
}

/** A list per key. `codec` is that of an element. */
export function listState<V>(codec: StateCodec<V>, options: StateOptions = {}): StateDescription<ListState<V>> {
  return { kind: 'list', codec: loose(list(codec)), element: loose(codec), options };
}

/** A map per key. */
export function mapState<K extends string | number | bigint | boolean, V>(
  keys: StateCodec<K>,
  values: StateCodec<V>,
  options: StateOptions = {},
): StateDescription<MapState<K, V>> {
  return { kind: 'map', codec: loose(map(keys, values)), key: loose(keys), element: loose(values), options };
}

/** What was added, folded; `codec` is that of the accumulator. */
export function aggregatingState<In, Acc, Out>(
  codec: StateCodec<Acc>,
  aggregate: AggregateFunction<In, Acc, Out>,
  options: StateOptions = {},
): StateDescription<AggregatingState<In, Out>> {
  const plain = aggregate as unknown as AggregateFunction<unknown, unknown, unknown>;
  return { kind: 'aggregating', codec: loose(codec), aggregate: plain, options };
}

export type StateDescriptions = Readonly<Record<string, StateDescription<unknown>>>;

/** The handles of described states, by name. */
export type HandlesOf<S extends StateDescriptions> = {
  readonly [Name in keyof S]: S[Name] extends StateDescription<infer Handle> ? Handle : never;
};

export interface ProcessContext<S extends StateDescriptions, Out> extends Omit<FunctionContext, 'state' | 'emit'> {
  readonly state: HandlesOf<S>;
  emit(value: Out, timestampMs?: number): void;
}

/** A function with state and timers over the records of a key. It must depend on what it is given alone. */
export interface ProcessSpec<In, Out, S extends StateDescriptions> {
  readonly state?: S | undefined;
  /** Names of side outputs: take them up with `.side(name)`. */
  readonly sides?: readonly string[] | undefined;
  readonly process: (record: In, context: ProcessContext<S, Out>) => void;
  readonly onTimer?: ((timer: TimerEvent, context: ProcessContext<S, Out>) => void) | undefined;
}

/** Types are for authors: operators keep whatever the codec takes. */
function loose<V>(codec: StateCodec<V>): StateCodec<unknown> {
  return codec as unknown as StateCodec<unknown>;
}
