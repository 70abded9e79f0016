// Owns the codecs that authors give to states: json, text, float64, integer, boolean. Equal values give equal bytes.

import type { NamedCodec } from '#jobs/record-words.ts';
import { parseJson } from '#operators/formats/json-value.ts';
import { StreamError } from '#runtime/std/errors.ts';

/**
 * What JSON can hold; anything else is refused with its place, because it would come back as something else. The order
 * of keys is kept: a function may see it, and must see the same after a restart.
 */
export function json<V = unknown>(): NamedCodec<V> {
  return {
    name: 'json',
    schemaVersion: 1,
    write(value, out) {
      checkJson(value, '$', 0);
      out.text(JSON.stringify(value));
    },
    read: (input) => parseJson(input.text()) as V,
  };
}

export function text(): NamedCodec<string> {
  return { name: 'text', schemaVersion: 1, write: (value, out) => out.text(value), read: (input) => input.text() };
}

export function float64(): NamedCodec<number> {
  return { name: 'float64', schemaVersion: 1, write: (value, out) => out.f64(value), read: (input) => input.f64() };
}

/** Whole numbers of up to 52 bits. */
export function integer(): NamedCodec<number> {
  return {
    name: 'integer',
    schemaVersion: 1,
    write: (value, out) => out.varint(value),
    read: (input) => input.varint(),
  };
}

export function boolean(): NamedCodec<boolean> {
  return {
    name: 'boolean',
    schemaVersion: 1,
    write: (value, out) => out.u8(value ? 1 : 0),
    read: (input) => input.u8() === 1,
  };
}

const DEPTH_MAX = 64;

function checkJson(value: unknown, path: string, depth: number): void {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return;
  const kind = typeof value === 'number' ? String(Object.is(value, -0) ? '-0' : value) : typeof value;
  if (typeof value !== 'object') throw notJson(path, kind);
  if (depth > DEPTH_MAX) throw notJson(path, `nesting deeper than ${DEPTH_MAX}`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) checkJson(value[i], `${path}[${i}]`, depth + 1);
    return;
  }
  const prototype = Object.getPrototypeOf(value) as unknown;
  if (prototype !== Object.prototype && prototype !== null) throw notJson(path, 'an object of a class');
  for (const [name, inner] of Object.entries(value)) checkJson(inner, `${path}.${name}`, depth + 1);
}

function notJson(path: string, kind: string): StreamError {
  return new StreamError(
    'operator-failed',
    `JSON cannot hold ${kind}, found at ${path} of a value`,
    'keep plain objects, arrays, text, finite numbers, booleans and null, or give the state a codec of its own',
  );
}
