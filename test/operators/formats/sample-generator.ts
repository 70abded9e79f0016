// Owns random record values for the decoder's tests: samples in every spelling JSON allows, wrong ones, and mutated
// bytes. Knows nothing of the decoder. Invariant: the same seed gives the same records.

export type Random = () => number;

export function seeded(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(next: Random, from: readonly T[]): T {
  return from[Math.floor(next() * from.length)];
}

const NAMES = [
  'cpu',
  'up',
  'http.requests',
  'größe',
  'a{b="c"}',
  'x}y',
  '__proto__',
  'wide \u{1f600} name',
  'q"uote',
  '',
];
const LABELS = [
  '__name__',
  'host',
  'region',
  'le',
  '__proto__',
  'constructor',
  'a b',
  'ключ',
  '\u{1f600}',
  '\uffee',
  'x=y',
  '"',
  '',
  '1',
  '10',
];
const VALUES = [
  '',
  'h-1',
  'h-2',
  'eu-west-1',
  '}',
  '{"a":"}',
  '\\',
  '"',
  'line\nbreak',
  'tab\t',
  '\u{10ffff}',
  'ü',
  'long'.repeat(9),
];
const ODD_TOKENS = [
  'true',
  'false',
  'null',
  '{}',
  '[]',
  '""',
  '"text"',
  '{"a":{"b":[1,2]}}',
  '[[[]]]',
  '1e999',
  '-',
  '01',
  '.5',
  '1.',
];
const TIMESTAMPS = [
  '0',
  '-0',
  '-1',
  '1e3',
  '1700000000000.0',
  '1700000000000.5',
  '8640000000000000',
  '8640000000000001',
];
const NOT_NUMBERS = ['"NaN"', '"+Inf"', '"-Inf"', 'null', '"Inf"', '"nan"', '"N\\u0061N"', '"1"', '1e999', '-1e999'];

function space(next: Random): string {
  return next() < 0.7 ? '' : pick(next, [' ', '\n', '\t', '\r\n  ', '   ']);
}

export function numberText(next: Random): string {
  const kind = next();
  if (kind < 0.2) return String(Math.floor(next() * 1000));
  if (kind < 0.4) return String(Math.round(next() * 100000) / 100);
  if (kind < 0.5) return String((next() - 0.5) * 10 ** Math.floor(next() * 40 - 20));
  let text = next() < 0.3 ? '-' : '';
  text += next() < 0.3 ? '0' : String(1 + Math.floor(next() * 9));
  if (!text.endsWith('0')) for (let i = Math.floor(next() * 20); i > 0; i--) text += Math.floor(next() * 10);
  if (next() < 0.7) {
    text += '.';
    for (let i = Math.floor(next() * 26); i >= 0; i--) text += next() < 0.4 ? '0' : Math.floor(next() * 10);
  }
  if (next() < 0.2) text += `${pick(next, ['e', 'E'])}${pick(next, ['', '+', '-'])}${Math.floor(next() * 30)}`;
  return text;
}

function stringText(next: Random, text: string): string {
  if (next() < 0.85) return JSON.stringify(text);
  if (next() < 0.05) return `"${text.length > 4 ? '\\ud800' : '\\udc00x'}"`;
  let spelled = '"';
  for (let i = 0; i < text.length; i++) {
    const escaped = next() < 0.3 || text.charCodeAt(i) < 0x20 || text[i] === '"' || text[i] === '\\';
    spelled += escaped ? `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}` : text[i];
  }
  return `${spelled}"`;
}

function labelsText(next: Random): string {
  const parts: string[] = [];
  for (let i = Math.floor(next() * 4); i > 0; i--) {
    const name = next() < 0.8 ? pick(next, ['host', 'region']) : pick(next, LABELS);
    const value =
      next() < 0.02
        ? pick(next, ODD_TOKENS)
        : stringText(next, next() < 0.7 ? `h-${Math.floor(next() * 9)}` : pick(next, VALUES));
    parts.push(`${space(next)}${stringText(next, name)}${space(next)}:${space(next)}${value}${space(next)}`);
  }
  if (next() < 0.002) for (let i = 0; i < 70; i++) parts.push(`"l${i}":"${i % 3 === 0 ? '' : i}"`);
  return `{${parts.join(',')}}`;
}

function objectText(next: Random, plain: boolean): string {
  const name = JSON.stringify(pick(next, NAMES.slice(0, 4)));
  const timestamp = String(1700000000000 + Math.floor(next() * 100000));
  if (plain) {
    const labels = `{"host":"h-${Math.floor(next() * 50)}","region":"eu-${Math.floor(next() * 3)}"}`;
    const fields = [
      `"metric_name":${name}`,
      `"timestamp":${timestamp}`,
      `"value":${numberText(next)}`,
      `"labels":${labels}`,
    ];
    if (next() < 0.3) fields.sort(() => next() - 0.5);
    return `{${fields.join(',')}}`;
  }
  const fields: [string, string][] = [
    ['metric_name', next() < 0.03 ? pick(next, ODD_TOKENS) : stringText(next, pick(next, NAMES))],
    ['timestamp', next() < 0.08 ? pick(next, [...TIMESTAMPS, ...ODD_TOKENS]) : timestamp],
    ['value', next() < 0.15 ? pick(next, [...NOT_NUMBERS, ...ODD_TOKENS]) : numberText(next)],
    ['labels', next() < 0.03 ? pick(next, ODD_TOKENS) : labelsText(next)],
  ];
  if (next() < 0.3) fields.sort(() => next() - 0.5);
  if (next() < 0.06) fields.splice(Math.floor(next() * 4), 1);
  if (next() < 0.05) fields.push([...pick(next, fields)]);
  if (next() < 0.1)
    fields.splice(Math.floor(next() * 4), 0, [
      pick(next, ['unit', 'ключ', '__proto__', 'times', '']),
      pick(next, ODD_TOKENS),
    ]);
  const parts = fields.map(([key, value]) => {
    const spelled = next() < 0.02 ? stringText(() => next() * 0.2 + 0.8, key) : JSON.stringify(key);
    return `${space(next)}${spelled}${space(next)}:${space(next)}${value}${space(next)}`;
  });
  return `{${parts.join(',')}}`;
}

function recordText(next: Random): string {
  const kind = next();
  if (kind < 0.35) return objectText(next, true);
  if (kind < 0.75) return `${space(next)}${objectText(next, false)}${space(next)}`;
  if (kind < 0.77)
    return pick(next, [
      ...ODD_TOKENS,
      '',
      ' ',
      '[',
      '[[]]',
      '5',
      '[1,null,"x"]',
      '['.repeat(40),
      `${'['.repeat(33)}${']'.repeat(33)}`,
    ]);
  const parts: string[] = [];
  const plain = next() < 0.5;
  for (let i = Math.floor(next() * 5); i > 0; i--)
    parts.push(`${space(next)}${objectText(next, plain || next() < 0.7)}${space(next)}`);
  return `[${parts.join(',')}${parts.length === 0 ? space(next) : ''}]`;
}

function mutated(next: Random, record: Buffer): Buffer {
  const bytes = Buffer.from(record);
  if (bytes.length === 0) return bytes;
  const at = Math.floor(next() * bytes.length);
  const to = Math.min(bytes.length, at + Math.floor(next() * 8));
  switch (Math.floor(next() * 6)) {
    case 0:
      bytes[at] = Math.floor(next() * 256);
      return bytes;
    case 1:
      bytes[at] = pick(next, Array.from(Buffer.from('{}[]",:\\0123456789.-+eEn \n\u0001')));
      return bytes;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes, Buffer.from(pick(next, ['}', ']', ',', ' ', '{}', '\u0000']))]);
  }
}

/** One record value; about one in five is mutated. */
export function recordBytes(next: Random): Buffer {
  const record = Buffer.from(recordText(next));
  return next() < 0.2 ? mutated(next, record) : record;
}
