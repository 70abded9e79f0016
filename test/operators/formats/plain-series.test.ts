import { expect, test } from 'vitest';
import { PlainSeries } from '#operators/formats/plain-series.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import { seeded } from './sample-generator.ts';

const plain = new PlainSeries();

/** As the scanner asks: name without its quotes, labels up to the closing brace. */
function read(name: string, labels: string): string | null {
  const bytes = Buffer.from(`"${name}"${labels}`);
  const nameSize = Buffer.byteLength(name);
  const size = labels === '' ? 0 : bytes.length - (nameSize + 2) - 1;
  return plain.canonical(bytes, 1, nameSize, nameSize + 2, size);
}

test('gives what the full parser gives, or nothing', () => {
  const next = seeded(7);
  const pieces = ['a', 'b', 'host', 'z', '_', '-', ' ', '}', '{', ':', '"', '\\', 'é', '='];
  const word = (most: number) =>
    Array.from({ length: Math.floor(next() * most) }, () => pieces[Math.floor(next() ** 3 * pieces.length)]).join('');
  let shortened = 0;
  for (let i = 0; i < 20_000; i++) {
    const labels = Object.fromEntries(Array.from({ length: Math.floor(next() * 5) }, () => [word(4), word(5)]));
    const name = word(4);
    const text = JSON.stringify(labels);
    const short = read(JSON.stringify(name).slice(1, -1), text);
    if (short === null) continue;
    shortened++;
    expect(short).toBe(canonicalSeries(name, labels));
  }
  expect(shortened).toBeGreaterThan(2_000);
});

test('knows its own limits', () => {
  expect(read('up', '')).toBe('up');
  expect(read('up', '{}')).toBe('up');
  expect(read('up', '{"b":"2","a":"1"}')).toBe('up{a="1",b="2"}');
  expect(read('up', '{"aa":"2","a":"1"}')).toBe('up{a="1",aa="2"}');
  expect(read('', '{}')).toBeNull();
  expect(read('u p', '{}')).toBeNull();
  expect(read('up', '{"a":"1","a":"2"}')).toBeNull();
  expect(read('up', '{"a":""}')).toBeNull();
  expect(read('up', '{"a":"1",}')).toBeNull();
  expect(read('up', '{"a": "1"}')).toBeNull();
  expect(read('up', '{"a":1}')).toBeNull();
  expect(read('up', '{"__proto__":"1"}')).toBeNull();
  expect(read('up', `{"a":"${'x'.repeat(5000)}"}`)).toBeNull();
  const many = (count: number) =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`l${i}`, 'x'])));
  expect(read('up', many(64))).toBe(canonicalSeries('up', JSON.parse(many(64))));
  expect(read('up', many(65))).toBeNull();
});
