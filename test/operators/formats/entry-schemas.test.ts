import { expect, test } from 'vitest';
import { EntrySchemas } from '#operators/formats/entry-schemas.ts';
import type { SchemaAnswer } from '#operators/formats/schema-lookup.ts';

const known: SchemaAnswer = { problem: 'is no Avro' };

test('an entry records what was missing, and its replay sees the same although the registry has it now', () => {
  const answers = new Map<number, SchemaAnswer>([[1, known]]);
  const schemas = new EntrySchemas({ get: (id) => answers.get(id) ?? 'missing' });
  schemas.begin(null);
  expect([9, 1, 4, 9].map((id) => schemas.get(id))).toEqual(['missing', known, 'missing', 'missing']);
  const recorded = schemas.misses;
  answers.set(4, known);
  expect(schemas.get(4), 'answers of an entry do not change').toBe('missing');
  answers.delete(4);
  expect(recorded).toEqual([4, 9]);
  schemas.begin(null);
  expect(schemas.misses).toEqual([]);
  answers.set(9, known);
  schemas.begin(recorded);
  expect([9, 4, 1].map((id) => schemas.get(id))).toEqual(['missing', 'missing', known]);
  schemas.begin(null);
  expect(schemas.get(9)).toBe(known);
});

test('a schema that vanished stops the replay instead of changing what it puts out; an unknown one is waited for', () => {
  let answer: SchemaAnswer = 'missing';
  const schemas = new EntrySchemas({ get: () => answer });
  schemas.begin([]);
  expect(() => schemas.get(3)).toThrow(expect.objectContaining({ code: 'replay-diverged' }));
  answer = 'pending';
  expect(schemas.get(3)).toBe('pending');
});
