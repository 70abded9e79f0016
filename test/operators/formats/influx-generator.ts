// Owns random records of Influx line protocol for tests: lines as Telegraf writes them, everything the protocol allows,
// wrong ones, and damaged bytes.

import { damaged } from '#test/operators/formats/protobuf-bytes.ts';
import { numberText, pick, type Random } from '#test/operators/formats/sample-generator.ts';

const NAMES = [
  'cpu',
  'disk\\ io',
  'a\\,b',
  'größe',
  'm\\=x',
  'x\\',
  '\\',
  'q"uote',
  'a\\\\,b',
  '#',
  '1',
  '',
  '__proto__',
];
const KEYS = ['__name__', 'usage', 'value', 'a\\ b', 'k\\=v', 'k\\,v', '"q"', '__proto__', 'ключ', 'x\\\\', ''];
const VALUES = [
  '1i',
  '-5i',
  '+7i',
  '18446744073709551615u',
  '18446744073709551616u',
  '9223372036854775807i',
  '9223372036854775808i',
  '-9223372036854775808i',
  '-1u',
  'i',
  'u',
  '1.5i',
  '.5',
  '5.',
  '.',
  '+3',
  '1e999',
  '1e5',
  '-0',
  '0x1',
  'NaN',
  'Inf',
  'tru',
  '',
  't',
  'T',
  'true',
  'True',
  'TRUE',
  'f',
  'F',
  'false',
  'False',
  'FALSE',
  '0012',
  '00012i',
  '1_0',
  '"text"',
  '"a \\"b\\" \\\\"',
  '"two\nlines, x=1"',
  '"open',
  '"x"y',
  '""',
];
const STAMPS = [
  '0',
  '-1',
  '-1000000',
  '999999',
  '1000000',
  '-999999',
  '8640000000000000999999',
  '8640000000000001000000',
  '-8640000000000000000001',
  '1e9',
  'x',
  '-',
  '00001',
  '9'.repeat(30),
  '1700000090000999999',
  '1700000090001000000',
];

export function influxRecord(next: Random): Buffer {
  let text = '';
  for (let i = Math.floor(next() * 4); i >= 0; i--) {
    if (next() < 0.08) text += pick(next, ['', '  ', '# comment', '\r', '\t', ' #', 'cpu']);
    else text += next() < 0.55 ? plainLine(next) : oddLine(next);
    text += pick(next, ['\n', '\n', '\n', '\r\n', i === 0 ? '' : '\n']);
  }
  const record = Buffer.from(text.replaceAll('\u0001', '\u00ff'), next() < 0.97 ? 'utf8' : 'latin1');
  return next() < 0.12 ? damaged(next, record) : record;
}

function plainLine(next: Random): string {
  const fields = ['usage_user', 'usage_system', 'usage_idle'].filter(() => next() < 0.7);
  if (fields.length === 0) fields.push('n');
  const values = fields.map(
    (key) => `${key}=${next() < 0.5 ? Math.round(next() * 10000) / 100 : `${Math.floor(next() * 100000)}i`}`,
  );
  return `cpu,host=h-${Math.floor(next() * 40)},cpu=cpu${Math.floor(next() * 3)} ${values.join(',')} ${stamp(next)}`;
}

function stamp(next: Random): string {
  return `${1700000000000 + Math.floor(next() * 95000)}${String(Math.floor(next() * 1000000)).padStart(6, '0')}`;
}

function oddLine(next: Random): string {
  let line = next() < 0.6 ? pick(next, ['cpu', 'mem']) : pick(next, NAMES);
  for (let i = Math.floor(next() * 4); i > 0; i--) {
    const key = next() < 0.7 ? pick(next, ['host', 'dc', 'az']) : pick(next, KEYS);
    line += `,${key}${next() < 0.96 ? '=' : ''}${pick(next, ['a', 'b\\ c', 'd\\,e', 'f=g', '\\', 'h\\\\', 'ü', '"', '', 'x\\=y'])}`;
  }
  if (next() < 0.01) for (let i = 0; i < 70; i++) line += `,l${i}=${i % 9 === 0 ? '' : 'v'}`;
  line += next() < 0.96 ? ' '.repeat(1 + Math.floor(next() * 1.2)) : '';
  const fields: string[] = [];
  for (let i = Math.floor(next() * 4); i >= 0; i--) {
    const key = next() < 0.7 ? pick(next, ['usage', 'free']) : pick(next, KEYS);
    fields.push(`${key}=${next() < 0.5 ? numberText(next) : pick(next, VALUES)}`);
  }
  line += fields.join(next() < 0.98 ? ',' : ', ');
  const kind = next();
  if (kind < 0.15) return line + pick(next, ['', ' ', '  ']);
  return `${next() < 0.05 ? ' ' : ''}${line} ${kind < 0.6 ? stamp(next) : pick(next, STAMPS)}${next() < 0.1 ? pick(next, [' ', '  ', ' x', '\r']) : ''}`;
}
