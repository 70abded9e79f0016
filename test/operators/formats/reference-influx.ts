// Owns the slow truth about Influx line protocol: text of bytes (latin1) cut piece by piece,
// BigInt timestamps. Shares no code with the decoder.

import { type ReferenceResult, seriesText } from '#test/operators/formats/reference-decoder.ts';

interface Line {
  readonly prefix: string;
  readonly fields: (readonly [key: string, value: string])[];
  readonly stamp: string;
  /** Text behind the line. */
  readonly rest: string;
}

export function referenceInflux(record: Buffer, skewLimitMs: number, recordTimestampMs: number): ReferenceResult {
  const result: ReferenceResult = { rows: [], notFinite: 0, faults: [] };
  let text = record.toString('latin1');
  for (let index = 0; text !== ''; index++) {
    const empty = /^[ \t]*(\r?(\n|$)|#[^\n]*(\n|$))/.exec(text);
    const line = empty === null ? lineOf(text) : null;
    if (line !== null) takeLine(line, `$.lines[${index}]`, skewLimitMs, recordTimestampMs, result);
    else if (empty === null) result.faults.push(`line-invalid $.lines[${index}]`);
    if (line !== null) text = line.rest;
    else text = empty === null ? text.replace(/^[^\n]*\n?/, '') : text.slice(empty[0].length);
  }
  return result;
}

/** Cuts text in front of the first of these characters that no backslash stands before. */
function cut(text: string, at: string): [before: string, rest: string] {
  let before = '';
  for (const char of text) {
    if (at.includes(char) && (char === '\n' || !before.endsWith('\\'))) break;
    before += char;
  }
  return [before, text.slice(before.length)];
}

function lineOf(text: string): Line | null {
  let [prefix, rest] = cut(text.replace(/^[ \t]+/, ''), ' \n');
  if (!rest.startsWith(' ')) return null;
  const fields: [string, string][] = [];
  rest = rest.replace(/^ +/, '');
  do {
    if (fields.length > 0) rest = rest.slice(1);
    let key: string;
    [key, rest] = cut(rest, '=, \n');
    if (key === '' || !rest.startsWith('=')) return null;
    const value = (/^="(\\[\s\S]|[^"\\])*"/.exec(rest) ?? /^=(?!")[^, \r\n]*/.exec(rest))?.[0];
    if (value === undefined) return null;
    fields.push([key, value.slice(1)]);
    rest = rest.slice(value.length);
  } while (rest.startsWith(','));
  if (!/^([ \r\n]|$)/.test(rest)) return null;
  const end = /^ *([^ \r\n]*) *\r?(\n|$)/.exec(rest);
  return end === null ? null : { prefix, fields, stamp: end[1], rest: rest.slice(end[0].length) };
}

function takeLine(line: Line, path: string, skew: number, recordMs: number, result: ReferenceResult): void {
  const { prefix, fields, stamp } = line;
  const ms = stamp === '' ? BigInt(recordMs) : timestampOf(stamp);
  if (ms === null || ms > 8640000000000000n || ms < -8640000000000000n) {
    result.faults.push(`sample-invalid ${path}.timestamp`);
    return;
  }
  if (ms > BigInt(skew)) {
    result.faults.push(`timestamp-ahead ${path}.timestamp`);
    return;
  }
  const found = fields.filter(([, value]) => !value.startsWith('"'));
  if (found.length === 0) return;
  const series = seriesOf(prefix);
  if (series === null) {
    result.faults.push(`line-invalid ${path}`);
    return;
  }
  for (const [rawKey, rawValue] of found) takeField(rawKey, rawValue, series, ms, path, result);
}

function takeField(
  rawKey: string,
  rawValue: string,
  series: { readonly measurement: string; readonly tags: [string, string][] },
  ms: bigint,
  path: string,
  result: ReferenceResult,
): void {
  const key = utf8(rawKey);
  const shown = plain(Buffer.from(rawKey, 'latin1').toString());
  const value = numberOf(rawValue);
  if (key === null || value === null || series.tags.length > 64) {
    result.faults.push(
      `sample-invalid ${path}.fields${/^[a-z_]\w*$/i.test(shown) ? `.${shown}` : `[${JSON.stringify(shown)}]`}`,
    );
  } else if (Number.isFinite(value)) {
    const text = seriesText(`${series.measurement}_${plain(key)}`, [...series.tags]);
    result.rows.push({ series: text, timestampMs: Number(ms), value });
  } else result.notFinite++;
}

function timestampOf(stamp: string): bigint | null {
  if (!/^-?\d+$/.test(stamp)) return null;
  const ns = BigInt(stamp);
  const ms = ns / 1000000n;
  return ms * 1000000n > ns ? ms - 1n : ms;
}

function seriesOf(prefix: string): { measurement: string; tags: [string, string][] } | null {
  const text = utf8(prefix);
  if (text === null) return null;
  const parts: string[] = [];
  for (let rest = `,${text}`; rest !== ''; ) {
    const [part, behind] = cut(rest.slice(1), ',');
    parts.push(part);
    rest = behind;
  }
  const measurement = parts[0].replaceAll('\\,', ',').replaceAll('\\ ', ' ');
  const tags: [string, string][] = [];
  for (const part of parts.slice(1)) {
    const [key, value] = cut(part, '=');
    if (key === '' || value === '' || tags.some(([other]) => other === plain(key))) return null;
    if (plain(key) === '__name__') return null;
    tags.push([plain(key), plain(value.slice(1))]);
  }
  return measurement === '' ? null : { measurement, tags: tags.filter(([, value]) => value !== '') };
}

function plain(text: string): string {
  return text.replaceAll('\\,', ',').replaceAll('\\=', '=').replaceAll('\\ ', ' ');
}

function utf8(latin1: string): string | null {
  const bytes = Buffer.from(latin1, 'latin1');
  return Buffer.compare(Buffer.from(bytes.toString()), bytes) === 0 ? bytes.toString() : null;
}

function numberOf(text: string): number | null {
  if (/^(t|true|True|T|TRUE)$/.test(text)) return 1;
  if (/^(f|false|False|F|FALSE)$/.test(text)) return 0;
  if (/^[+-]?\d+i$/.test(text)) {
    const integer = BigInt(text.slice(0, -1).replace('+', ''));
    return integer === BigInt.asIntN(64, integer) ? Number(text.slice(0, -1)) : null;
  }
  if (/^\d+u$/.test(text)) {
    const integer = BigInt(text.slice(0, -1));
    return integer === BigInt.asUintN(64, integer) ? Number(text.slice(0, -1)) : null;
  }
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : null;
}
