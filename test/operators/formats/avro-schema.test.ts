// A schema that comes from outside is taken or refused in words, whatever it is: by its size and depth first, so that the
// answer never depends on how much stack is left.

import { expect, test } from 'vitest';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';

const field = (name: string, type: unknown) => ({ name, type });
const record = (name: string, ...fields: object[]) => ({ type: 'record', name, fields });
const arrays = (depth: number) => `${'{"type":"array","items":'.repeat(depth)}"null"${'}'.repeat(depth)}`;
const symbols = (count: number) => Array.from({ length: count }, (_, at) => `SYMBOL_${at}`);
const circle: Record<string, unknown> = { type: 'array' };
circle['items'] = circle;

test.each<[string, unknown, RegExp]>([
  ['brackets without end', '['.repeat(900_000), /nests deeper than 256/],
  ['arrays of arrays', arrays(10_000), /nests deeper than 256/],
  ['records in records', JSON.parse(nested(300)), /nests deeper than 256/],
  [
    'more than 1 MiB',
    JSON.stringify({ type: 'enum', name: 'E', symbols: symbols(100_000) }),
    /longer than 1048576 bytes/,
  ],
  ['the same as an object', { type: 'enum', name: 'E', symbols: symbols(100_000) }, /longer than 1048576 bytes/],
  ['an object that holds itself', circle, /circular/],
  ['nothing', undefined, /it is no JSON/],
  ['a function', () => 'string', /it is no JSON/],
  [
    '70,000 fields',
    JSON.stringify(record('R', ...symbols(20_000).flatMap((name) => [field(name, 'int'), field(name, 'int')]))),
    /./,
  ],
  ['a name that objects have', '"hasOwnProperty"', /./],
  ['a type that objects have', { type: 'constructor' }, /./],
  ['a record called __proto__', record('__proto__', field('a', 'int')), /./],
  [
    'a field called __proto__',
    record('R', field('__proto__', { type: 'map', values: 'int' })),
    /field is called '__proto__'/,
  ],
  ['a field that is code', record('R', field('a; process.exit(1)', 'int')), /invalid field name/],
  ['a record that is code', record('R(){};process.exit(1);function S', field('a', 'int')), /invalid name/],
  ['an alias that is code', { ...record('R', field('a', 'int')), aliases: ['a b;'] }, /invalid name/],
  ['a fixed of 2^40', { type: 'fixed', name: 'F', size: 2 ** 40 }, /invalid F size/],
  ['a fixed of -1', { type: 'fixed', name: 'F', size: -1 }, /invalid F size/],
  ['a name twice', record('R', field('a', record('R'))), /duplicate type name/],
  ['an unknown name', record('R', field('a', 'S')), /undefined type name: S/],
])('%s is refused', (_, json, problem) => {
  const found = parseAvroSchema(json);
  expect(found).toMatch(/^is no Avro schema: /);
  expect(found).toMatch(problem);
});

test.each<[string, unknown]>([
  ['80 records in each other', nested(80)],
  ['an enum of nearly 1 MiB', { type: 'enum', name: 'E', symbols: symbols(60_000) }],
  ['5,000 fields', record('R', ...symbols(5_000).map((name) => field(name, ['null', 'string'])))],
  ['names in a circle', record('A', field('b', record('B', field('c', ['null', record('C', field('a', 'A'))]))))],
])('%s is taken', (_, json) => {
  expect(typeof parseAvroSchema(json)).toBe('object');
});

function nested(depth: number): string {
  let text = '"int"';
  for (let at = 0; at < depth; at++) text = `{"type":"record","name":"R${at}","fields":[{"name":"a","type":${text}}]}`;
  return text;
}
