// Owns how values are said in JSON that JSON itself cannot say: state may hold any value that a codec can. Numbers that
// are not finite are texts as in samples, bytes are base64, 64-bit numbers decimal text, maps lists of [key, value].

const NOT_FINITE = new Map<number, string>([
  [Number.POSITIVE_INFINITY, '+Inf'],
  [Number.NEGATIVE_INFINITY, '-Inf'],
]);

export function jsonText(value: unknown): string {
  return JSON.stringify(value, replace);
}

// `this` is the holder: a Buffer has become something else by its toJSON before it is handed in.
function replace(this: unknown, name: string, value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : (NOT_FINITE.get(value) ?? 'NaN');
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  const held = (this as Readonly<Record<string, unknown>>)[name];
  if (held instanceof Uint8Array) return Buffer.from(held.buffer, held.byteOffset, held.byteLength).toString('base64');
  if (held instanceof Map) return [...held];
  return value;
}
