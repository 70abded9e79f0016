// Owns the codecs of user state. Each refuses, where a value is handed over (`own`), what could not come back as it was.
// The schema version follows from the kind: other kinds read other bytes.

import type { ValueCodec } from '#checkpoint/contract.ts';
import { jsonCodec, recordCodec, refusal } from '#checkpoint/json-codec.ts';
import { type Migration, migrating } from '#checkpoint/state-migration.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { invariant } from '#runtime/std/errors.ts';

/** A codec with a name for people. */
export interface StateCodec<V> extends ValueCodec<V> {
  readonly name: string;
  own(value: V): V;
  /** What values of the state were before. */
  readonly older?: readonly Migration<unknown, V>[];
}

/** Zigzag of more does not fit the 53 bits of a safe integer. */
const INTEGER_MAX = 2 ** 52;
/** NaN has many bit patterns, and which one arises depends on how the engine compiled the sum: bytes know one. */
const NAN_BYTES = Uint8Array.of(0, 0, 0, 0, 0, 0, 0xf8, 0x7f);

/**
 * Anything JSON can hold, as it is: with the order of its keys. Refused, by path: undefined, NaN and infinite numbers,
 * functions, instances of classes, cycles, text that is no Unicode.
 */
export function json<V = unknown>(): StateCodec<V> {
  return { ...(jsonCodec as ValueCodec<V> & { own(value: V): V }), ...named('json') };
}

/** Whatever a record holds, in any format: as `json`, and NaN, infinite numbers, Uint8Arrays and Buffers too. */
export function record<V = unknown>(): StateCodec<V> {
  return { ...(recordCodec as ValueCodec<V> & { own(value: V): V }), ...named('record') };
}

/** Well-formed text. */
export function text(): StateCodec<string> {
  return {
    ...named('text'),
    own(value) {
      if (typeof value !== 'string') throw refusal(`${kindOf(value)} is no text`);
      if (!value.isWellFormed()) throw refusal('text with half a surrogate pair');
      return value;
    },
    write: (value, out) => out.text(value),
    read: (input) => input.text(),
  };
}

/** Bytes, which the state copies: what it was given may be a view that dies. */
export function bytes(): StateCodec<Uint8Array> {
  return {
    ...named('bytes'),
    own(value) {
      if (!(value instanceof Uint8Array)) throw refusal(`${kindOf(value)} is no Uint8Array`);
      return Uint8Array.from(value);
    },
    write(value, out) {
      out.uvarint(value.length);
      out.raw(value);
    },
    read: (input) => Uint8Array.from(input.raw(input.uvarint())),
  };
}

/** Any number, infinite ones and NaN too. */
export function float64(): StateCodec<number> {
  return {
    ...named('float64'),
    own: numeric,
    write(value, out) {
      if (Number.isNaN(value)) out.raw(NAN_BYTES);
      else out.f64(value);
    },
    read: (input) => input.f64(),
  };
}

/** Whole numbers of magnitudes below 2^52, in as few bytes as they need. */
export function integer(): StateCodec<number> {
  return {
    ...named('integer'),
    own(value) {
      if (!Number.isInteger(value) || Math.abs(value) >= INTEGER_MAX) {
        throw refusal(`${typeof value === 'number' ? value : kindOf(value)} is no whole number below 2^52`);
      }
      return value + 0;
    },
    write: (value, out) => out.varint(value),
    read: (input) => input.varint(),
  };
}

/** Whole numbers of 64 bits, signed. */
export function int64(): StateCodec<bigint> {
  return {
    ...named('int64'),
    own(value) {
      if (typeof value !== 'bigint') throw refusal(`${kindOf(value)} is no bigint`);
      if (BigInt.asIntN(64, value) !== value) throw refusal(`${value} does not fit 64 bits`);
      return value;
    },
    write: (value, out) => out.i64(value),
    read: (input) => input.i64(),
  };
}

export function boolean(): StateCodec<boolean> {
  return {
    ...named('boolean'),
    own(value) {
      if (typeof value !== 'boolean') throw refusal(`${kindOf(value)} is no boolean`);
      return value;
    },
    write: (value, out) => out.u8(value ? 1 : 0),
    read: (input) => input.u8() === 1,
  };
}

export function list<V>(element: StateCodec<V>): StateCodec<V[]> {
  const older = element.older?.map(
    ({ from, migrate }): Migration<unknown, V[]> => ({
      from: list(from) as StateCodec<unknown>,
      migrate: (values) => (values as readonly unknown[]).map((value) => migrate(value)),
    }),
  );
  return migrating<V[], unknown[]>(plainList(element), ...(older ?? []));
}

function plainList<V>(element: StateCodec<V>): StateCodec<V[]> {
  return {
    ...named(`list of ${element.name}`),
    own(values) {
      if (!Array.isArray(values)) throw refusal(`${kindOf(values)} is no list`);
      return Array.from(values, (value) => element.own(value));
    },
    write(values, out) {
      out.uvarint(values.length);
      for (let i = 0; i < values.length; i++) element.write(values[i], out);
    },
    read(input) {
      // As long as it must be: one that grows takes twice the room.
      const values = new Array<V>(input.uvarint());
      for (let i = 0; i < values.length; i++) values[i] = element.read(input);
      return values;
    },
  };
}

/** Keys are what a Map tells apart as their bytes do: text, numbers, bigints, booleans. In the order of the map. */
export function map<K extends string | number | bigint | boolean, V>(
  key: StateCodec<K>,
  value: StateCodec<V>,
): StateCodec<Map<K, V>> {
  const older = value.older?.map(
    ({ from, migrate }): Migration<unknown, Map<K, V>> => ({
      from: map(key, from) as unknown as StateCodec<unknown>,
      migrate: (entries) => new Map(Array.from(entries as Map<K, unknown>, ([k, v]) => [k, migrate(v)] as const)),
    }),
  );
  return migrating<Map<K, V>, unknown[]>(plainMap(key, value), ...(older ?? []));
}

function plainMap<K extends string | number | bigint | boolean, V>(
  key: StateCodec<K>,
  value: StateCodec<V>,
): StateCodec<Map<K, V>> {
  return {
    ...named(`map of ${key.name} to ${value.name}`),
    own(entries) {
      if (!(entries instanceof Map)) throw refusal(`${kindOf(entries)} is no Map`);
      const owned = new Map<K, V>();
      for (const [k, v] of entries) owned.set(key.own(k), value.own(v));
      return owned;
    },
    write(entries, out) {
      out.uvarint(entries.size);
      for (const [k, v] of entries) {
        key.write(k, out);
        value.write(v, out);
      }
    },
    read(input) {
      const entries = new Map<K, V>();
      const size = input.uvarint();
      for (let i = 0; i < size; i++) {
        const k = key.read(input);
        entries.set(k, value.read(input));
      }
      invariant(entries.size === size, 'a map of state holds a key twice');
      return entries;
    },
  };
}

/** Another kind, or another encoding of it, is another schema version. */
function named(name: string): { readonly name: string; readonly schemaVersion: number } {
  return { name, schemaVersion: crc32c(Buffer.from(`${name}, encoding 1`)) };
}

function numeric(value: number): number {
  if (typeof value !== 'number') throw refusal(`${kindOf(value)} is no number`);
  return value;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
