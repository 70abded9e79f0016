// Owns the words for streams of records of any shape: records, the states of functions, codecs. They only hold what the
// author gave; the compiler checks it.

import type { ValueCodec } from '#checkpoint/contract.ts';
import type { Duration } from '#jobs/descriptions.ts';
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
  /** How values are encoded: JSON, text in UTF-8, or bytes. @default 'json' */
  readonly format?: 'json' | 'text' | 'bytes' | undefined;
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
  /** Event time after which a key without state is forgotten. @default '1h' */
  readonly keyTtl?: Duration | undefined;
  /** @default '<topic>.dead-letter' */
  readonly deadLetterTopic?: string | undefined;
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

/** A codec with a name for people. */
export interface NamedCodec<V> extends ValueCodec<V> {
  readonly name: string;
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
  readonly codec: NamedCodec<unknown>;
  readonly aggregate?: AggregateFunction<unknown, unknown, unknown> | undefined;
  readonly options: StateOptions;
  /** Only for the compiler of types. */
  readonly handle?: Handle;
}

/** One value per key. */
export function valueState<V>(codec: NamedCodec<V>, options: StateOptions = {}): StateDescription<ValueState<V>> {
  return { kind: 'value', codec: codec as NamedCodec<unknown>, options };
}

/** A list per key. `codec` is that of an element. */
export function listState<V>(codec: NamedCodec<V>, options: StateOptions = {}): StateDescription<ListState<V>> {
  return { kind: 'list', codec: listOf(codec) as NamedCodec<unknown>, options };
}

/** A map per key; its keys are text, numbers or bigints. */
export function mapState<K extends string | number | bigint, V>(
  keys: NamedCodec<K>,
  values: NamedCodec<V>,
  options: StateOptions = {},
): StateDescription<MapState<K, V>> {
  return { kind: 'map', codec: mapOf(keys, values) as NamedCodec<unknown>, options };
}

/** What was added, folded; `codec` is that of the accumulator. */
export function aggregatingState<In, Acc, Out>(
  codec: NamedCodec<Acc>,
  aggregate: AggregateFunction<In, Acc, Out>,
  options: StateOptions = {},
): StateDescription<AggregatingState<In, Out>> {
  const plain = aggregate as unknown as AggregateFunction<unknown, unknown, unknown>;
  return { kind: 'aggregating', codec: codec as NamedCodec<unknown>, aggregate: plain, options };
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

function listOf<V>(codec: NamedCodec<V>): NamedCodec<V[]> {
  return {
    name: `list of ${codec.name}`,
    schemaVersion: codec.schemaVersion,
    write(values, out) {
      out.uvarint(values.length);
      for (const value of values) codec.write(value, out);
    },
    read: (input) => Array.from({ length: input.uvarint() }, () => codec.read(input)),
  };
}

// In the order of the keys, so that equal maps give equal bytes.
function mapOf<K extends string | number | bigint, V>(
  keys: NamedCodec<K>,
  values: NamedCodec<V>,
): NamedCodec<Map<K, V>> {
  return {
    name: `map of ${keys.name} to ${values.name}`,
    schemaVersion: keys.schemaVersion * 1_000 + values.schemaVersion,
    write(map, out) {
      out.uvarint(map.size);
      for (const [key, value] of [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
        keys.write(key, out);
        values.write(value, out);
      }
    },
    read(input) {
      const map = new Map<K, V>();
      for (let left = input.uvarint(); left > 0; left--) map.set(keys.read(input), values.read(input));
      return map;
    },
  };
}
