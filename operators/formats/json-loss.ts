// Owns finding what JSON would lose without a word: NaN would become null, a Map or a promise an empty object. What an
// object makes of itself for JSON (a Date its text) is its own affair, and keys without value are left out as always.

/** Deeper objects are left to JSON: they may hold themselves. */
const DEPTH_MAX = 500;
/** Whatever is in them, JSON writes `{}`. */
const HOLLOW = [Map, Set, WeakMap, WeakSet, Error, RegExp];

/** What would be lost of a value and where, null when nothing. */
export function jsonLoss(value: unknown, path = '$', depth = 0): string | null {
  if (typeof value === 'number' && !Number.isFinite(value)) return `${path} is ${value}`;
  if (typeof value === 'function' || typeof value === 'symbol') return `${path} is a ${typeof value}`;
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return null;
  if (typeof (value as { readonly toJSON?: unknown }).toJSON === 'function') return null;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (value[i] === undefined) return `${path}[${i}] is undefined`;
      const loss = jsonLoss(value[i], `${path}[${i}]`, depth + 1);
      if (loss !== null) return loss;
    }
    return null;
  }
  const hollow = HOLLOW.find((one) => value instanceof one);
  if (hollow !== undefined) return `${path} is a ${hollow.name}`;
  if (typeof (value as { readonly then?: unknown }).then === 'function') return `${path} is a promise`;
  for (const name of Object.keys(value)) {
    const loss = jsonLoss((value as Readonly<Record<string, unknown>>)[name], `${path}.${name}`, depth + 1);
    if (loss !== null) return loss;
  }
  return null;
}
