import { expect, test } from 'vitest';
import { parseJson } from '#operators/formats/json-value.ts';
import { recordBytes, seeded } from '#test/operators/formats/sample-generator.ts';

test('an escaped key is read alike whatever keys were read before', () => {
  const names = (text: string): string[] => Object.keys(parseJson(text) as object);
  for (const [backslashed, escaped, name] of [
    ['\\\\', '\\n', '\n'],
    ['a\\\\', 'a\\"', 'a"'],
    ['\\\\u', '\\u0041b', 'Ab'],
  ]) {
    JSON.parse(`{"p":1,"${backslashed}":2}`);
    parseJson(`{"p":1,"${backslashed}":2}`);
    expect(names(`{"p":1,"${escaped}":2}`)).toEqual(['p', name]);
  }
});

test.each([
  '"\\u00e9\\ud83d\\ude00\\n"',
  ' [ "\\\\" , -0 , 1e3 , 0.25 , true , false , null , [ ] , { } ] ',
  '{"a":1,"\\u0061":2,"b":{"c":["\\t"]}}',
])('reads %s', (text) => {
  expect(parseJson(text)).toEqual(JSON.parse(text));
});

test('keeps __proto__ as a key', () => {
  expect(Object.entries(parseJson('{"__proto__":{"x":1},"a":"\\\\"}') as object).map(([key]) => key)).toEqual([
    '__proto__',
    'a',
  ]);
});

test('refuses exactly what JSON.parse refuses', () => {
  const next = seeded(41);
  const outcome = (parse: () => unknown): boolean => {
    try {
      parse();
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(SyntaxError);
      return false;
    }
  };
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    // A backslash somewhere takes the reader instead of JSON.parse.
    const text = `["\\\\",${recordBytes(next).toString()}]`;
    const accepted = outcome(() => JSON.parse(text));
    if (outcome(() => parseJson(text)) !== accepted) expect(text).toBe(accepted ? 'accepted' : 'refused');
    if (!accepted) refused++;
  }
  expect(refused).toBeGreaterThan(2000);
});

test('takes strings, numbers and spaces of megabytes', () => {
  const long = 'x'.repeat(6 << 20);
  expect(parseJson(`["\\\\",${' '.repeat(6 << 20)}"${long}",${'1'.repeat(6 << 20)}]`)).toEqual([
    '\\',
    long,
    Number.POSITIVE_INFINITY,
  ]);
});
