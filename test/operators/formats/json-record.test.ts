// Whole records in JSON and text: what comes in is what JSON.parse makes of it, and can be kept and sent on; what could
// not is refused at the door, where it is a bad record, and not in the midst of a job, where it would stop it.

import { expect, test } from 'vitest';
import { json } from '#checkpoint/codecs.ts';
import { recordFormat } from '#operators/formats/record-format.ts';
import { RecordFault } from '#operators/formats/whole-record.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { pick, recordBytes, seeded } from '#test/operators/formats/sample-generator.ts';

const JSON_FORMAT = recordFormat('json');
const TEXT = recordFormat('text');

function read(text: string | Buffer, format = JSON_FORMAT): unknown {
  const bytes = Buffer.concat([Buffer.from('..'), Buffer.from(text)]);
  return format.decode(bytes, 2, bytes.length);
}

test.each([
  ['{"v":1e309}', '$.v is beyond the largest number'],
  ['{"v":[1,-1E+400]}', '$.v[1] is beyond the largest number'],
  [`[${'9'.repeat(400)}]`, '$[0] is beyond the largest number'],
  [`[${'9'.repeat(250)}e99]`, '$[0] is beyond the largest number'],
  ['{"a":{"b":"\\ud800"}}', '$.a.b holds half a surrogate pair'],
  ['"\\uDC00\\uD83D"', '$ holds half a surrogate pair'],
  ['{"\\ud83d":1}', '$ has a name with half a surrogate pair'],
])('%s is refused: %s', (text, problem) => {
  expect(() => read(text)).toThrow(new RecordFault(`cannot be kept as it is: ${problem}`));
});

test.each([
  '1e308',
  '[1.7976931348623157e308,-1.7976931348623157e+308,1e-400,5e-324,0e999]',
  '"\\ud83d\\ude00 1e999 \\\\ud800"',
  `"${'9'.repeat(400)}"`,
  `[${'0.'.padEnd(400, '3')}]`,
  '{"a":1,"b":2,"a":3}',
  '{"constructor":1,"toString":"\\n","hasOwnProperty":null}',
  '{"a":"no backslash","b":[{}]}',
  '{"a":"a \\\\","b":[{}]}',
])('%s is what JSON.parse makes of it, prototypes too', (text) => {
  expect(read(text)).toStrictEqual(JSON.parse(text));
});

test.each(['{"__proto__":{"admin":true},"a":1}', '{"\\u005f_proto__":{"admin":true},"a":1}'])(
  '%s has a key __proto__, and nothing else has',
  (text) => {
    const record = read(text) as { readonly admin?: unknown };
    expect([Object.keys(record), record.admin]).toEqual([['__proto__', 'a'], undefined]);
    expect(Object.getPrototypeOf(record)).toBe(Object.prototype);
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
    const out = new ByteWriter(8);
    JSON_FORMAT.encode(record, out);
    expect(Buffer.from(out.toBytes()).toString()).toBe('{"__proto__":{"admin":true},"a":1}');
  },
);

test('nesting without end is refused before it is parsed', () => {
  for (const one of ['[', '{"a":', '[{"a":']) {
    expect(() => read(one.repeat(1_000_000))).toThrow(/nests deeper than 32/);
  }
  expect(read('['.repeat(32) + ']'.repeat(32))).toBeInstanceOf(Array);
  expect(() => read('['.repeat(33) + ']'.repeat(33))).toThrow(/nests deeper than 32/);
});

test('what was read can be kept by a state, whatever it was', () => {
  const next = seeded(17);
  const codec = json();
  const parts = ['1e309', '-2e308', '"\\ud800"', '"\\ud83d\\ude00"', '{"\\udc00":1}', '"\\\\"', '1e307', 'null'];
  const seen = { read: 0, refused: 0 };
  for (let i = 0; i < 20_000; i++) {
    const text = next() < 0.3 ? recordBytes(next).toString() : `{"a":[${pick(next, parts)},${pick(next, parts)}]}`;
    let value: unknown;
    try {
      value = read(text);
      seen.read++;
    } catch (error) {
      expect(error).toBeInstanceOf(RecordFault);
      seen.refused++;
      continue;
    }
    expect(() => codec.own(value), text).not.toThrow();
  }
  expect(seen.read).toBeGreaterThan(2000);
  expect(seen.refused).toBeGreaterThan(2000);
});

test('megabytes of digits are looked at once', () => {
  expect(read(`["${`${'9'.repeat(199)}x`.repeat(20_000)}"]`)).toHaveLength(1);
  expect(() => read(`[${'9'.repeat(4_000_000)}]`)).toThrow(RecordFault);
});

test('text stays as it is: with its byte order mark, and refused where it is no Unicode', () => {
  const out = new ByteWriter(8);
  TEXT.encode('\ufeffa', out);
  expect(read(Buffer.from(out.toBytes()), TEXT)).toBe('\ufeffa');
  expect(() => TEXT.encode('a\ud800', out)).toThrow(/half a surrogate pair/);
  for (const format of [TEXT, JSON_FORMAT])
    expect(() => read(Buffer.from([0x22, 0xff, 0x22]), format)).toThrow(/UTF-8/);
  expect(read('\ufeff{"a":1}')).toEqual({ a: 1 });
});
