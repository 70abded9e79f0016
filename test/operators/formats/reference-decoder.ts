// Owns the slow truth about a record value: what CONTRACT's sample format says, by JSON.parse and plain strings. Shares
// no code with the decoder.

export interface ReferenceResult {
  readonly rows: { readonly series: string; readonly timestampMs: number; readonly value: number }[];
  notFinite: number;
  /** `code path` of each bad part. */
  readonly faults: string[];
}

export function referenceDecode(record: Uint8Array, skewLimitMs: number): ReferenceResult {
  const result: ReferenceResult = { rows: [], notFinite: 0, faults: [] };
  let parsed: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(record);
    parsed = parse(text);
    let depth = 0;
    for (const bracket of text.replace(/"(?:[^"\\]|\\.)*"/g, '').replace(/[^[\]{}]/g, '')) {
      depth += bracket === '{' || bracket === '[' ? 1 : -1;
      if (depth > 32) throw new RangeError('too deep');
    }
  } catch {
    result.faults.push('json-invalid $');
    return result;
  }
  const parts = Array.isArray(parsed) ? parsed.map((part, i) => [part, `$[${i}]`]) : [[parsed, '$']];
  for (const [part, path] of parts) take(part, path, skewLimitMs, result);
  return result;
}

// V8 may give an escaped key the name of an earlier key with a backslash (nodejs/node#63785), so every key gets a
// prefix of its own before JSON.parse sees it. Objects become maps.
let keys = 0;

function parse(text: string): unknown {
  const prefixed = text.replace(/"((?:[^"\\]|\\.)*)"(\s*:)?/gs, (whole, body, colon) =>
    colon === undefined ? whole : `"k${keys++}:${body}"${colon}`,
  );
  return withMaps(JSON.parse(prefixed));
}

function withMaps(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(withMaps);
  return new Map(Object.entries(value).map(([key, field]) => [key.slice(key.indexOf(':') + 1), withMaps(field)]));
}

function take(part: unknown, path: string, skewLimitMs: number, result: ReferenceResult): void {
  const bad = faultPath(part);
  if (bad !== null) {
    result.faults.push(`sample-invalid ${path}${bad}`);
    return;
  }
  const fields = part as Map<string, unknown>;
  const timestamp = fields.get('timestamp') as number;
  const value = fields.get('value');
  const number = typeof value === 'number' ? value : SPELLED.get(value)!;
  if (timestamp > skewLimitMs) result.faults.push(`timestamp-ahead ${path}.timestamp`);
  else if (Math.abs(number) < 1 / 0) {
    const kept = [...((fields.get('labels') ?? new Map()) as Map<string, string>)].filter(([, text]) => text !== '');
    const timestampMs = timestamp === 0 ? 0 : timestamp;
    result.rows.push({ series: seriesText(fields.get('metric_name') as string, kept), timestampMs, value: number });
  } else result.notFinite++;
}

const SPELLED = new Map<unknown, number>([
  ['NaN', Number.NaN],
  [null, Number.NaN],
  ['+Inf', 1 / 0],
  ['-Inf', -1 / 0],
]);

function faultPath(part: unknown): string | null {
  if (!(part instanceof Map)) return '';
  const fields = part;
  const timestamp = fields.get('timestamp');
  if (typeof timestamp !== 'number' || Number.isNaN(new Date(timestamp).getTime()) || timestamp % 1 !== 0) {
    return '.timestamp';
  }
  const value = fields.get('value');
  if (typeof value !== 'number' && !SPELLED.has(value)) return '.value';
  const name = fields.get('metric_name');
  if (typeof name !== 'string' || name === '' || hasHalfPair(name)) return '.metric_name';
  const labels = fields.has('labels') ? fields.get('labels') : new Map();
  if (!(labels instanceof Map)) return '.labels';
  const pairs: [string, unknown][] = [...labels];
  for (const [label, text] of pairs) {
    if (label === '') return '.labels';
    if (typeof text !== 'string' || hasHalfPair(label) || hasHalfPair(text)) {
      return /^[a-z_]\w*$/i.test(label) ? `.labels.${label}` : `.labels[${JSON.stringify(label)}]`;
    }
  }
  if (pairs.some(([label, text]) => label === '__name__' && text !== '')) return '.labels.__name__';
  return pairs.filter(([, text]) => text !== '').length > 64 ? '.labels' : null;
}

export function hasHalfPair(text: string): boolean {
  return /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

export function seriesText(name: string, labels: [string, string][]): string {
  const quote = (text: string): string =>
    /["\\\n]/.test(text)
      ? `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
      : `"${text}"`;
  const odd = (text: string): boolean =>
    !/^\w+$/.test(text) && [...text].some((char) => char <= ' ' || '{}",=\\'.includes(char));
  const sorted = labels.sort((a, b) => Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])));
  const parts = sorted.map(([label, text]) => `${odd(label) ? quote(label) : label}=${quote(text)}`);
  if (odd(name)) return `{${[quote(name), ...parts].join(',')}}`;
  return parts.length === 0 ? name : `${name}{${parts.join(',')}}`;
}
