// Owns how an OTLP attribute value is written in a label: strings as they are, numbers and booleans as JavaScript spells
// them, bytes in base64, lists and maps as JSON. Invariant: the text depends on the value alone.

/** Attributes of one point or resource at most. */
export const ATTRIBUTES_MAX = 256;

/** A value of any kind; integers are texts, so that none is rounded. */
export type AnyValue = string | boolean | number | { readonly integer: string } | readonly AnyValue[] | AnyMap | null;
export type AnyMap = ReadonlyMap<string, AnyValue>;

/** How a value is written in a label; an absent one is empty. */
export function attributeText(value: AnyValue): string {
  if (value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return numberText(value);
  return jsonText(value);
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0' : String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

function jsonText(value: AnyValue): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Number.isFinite(value) ? numberText(value) : `"${numberText(value)}"`;
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  if (value instanceof Map) {
    return `{${[...value].map(([key, member]) => `${JSON.stringify(key)}:${jsonText(member)}`).join(',')}}`;
  }
  return (value as { readonly integer: string }).integer;
}
