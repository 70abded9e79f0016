import { expect, test } from 'vitest';
import { canonicalText, parseCanonical, seriesJson, sortedLabels } from '#operators/series/canonical.ts';
import { writeSeriesJson } from '#operators/series/series-json-bytes.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

const PIECES = [
  'a',
  'zone',
  '_',
  'é',
  '😀',
  '"',
  '\\',
  '\n',
  '\t',
  '{',
  '}',
  '=',
  ',',
  ' ',
  '\u2028',
  '\u007f',
  '\u0001',
];

test('writes what JSON.stringify makes of the series, or nothing', () => {
  const next = seeded(11);
  const word = (most: number) =>
    Array.from({ length: 1 + Math.floor(next() * most) }, () => PIECES[Math.floor(next() ** 2 * PIECES.length)]).join(
      '',
    );
  const out = new ByteWriter(4);
  let written = 0;
  for (let i = 0; i < 20_000; i++) {
    const labels = new Map(Array.from({ length: Math.floor(next() * 4) }, () => [word(3), word(6)] as const));
    const canonical = canonicalText(word(3), sortedLabels(labels));
    out.clear();
    out.raw(Buffer.from('before'));
    const short = writeSeriesJson(out, Buffer.from(canonical));
    const text = out.bytes.toString('utf8', 0, out.length);
    expect(text).toBe(short ? `before${seriesJson(parseCanonical(canonical))}` : 'before');
    if (short) written++;
  }
  expect(written).toBeGreaterThan(2_000);
});

test.each([
  ['up', '"metric_name":"up","labels":{}'],
  ['up{host="a"}', '"metric_name":"up","labels":{"host":"a"}'],
  ['up{a="x",b="say \\"\\\\\\n\\""}', '"metric_name":"up","labels":{"a":"x","b":"say \\"\\\\\\n\\""}'],
])('%s', (canonical, json) => {
  const out = new ByteWriter(4);
  expect(writeSeriesJson(out, Buffer.from(canonical))).toBe(true);
  expect(out.toBytes().toString()).toBe(json);
});
