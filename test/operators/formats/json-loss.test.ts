// What a record loses on its way to JSON is found, and nothing else is: whatever comes back as it was is let through.

import { expect, test } from 'vitest';
import { jsonLoss } from '#operators/formats/json-loss.ts';
import { Random } from '#test/simulation/world/random.ts';

const circle: Record<string, unknown> = {};
circle['self'] = circle;

test.each([
  [Number.NaN, '$ is NaN'],
  [{ a: [1, { b: Number.POSITIVE_INFINITY }] }, '$.a[1].b is Infinity'],
  [{ a: new Map([[1, 2]]) }, '$.a is a Map'],
  [[new Set([1])], '$[0] is a Set'],
  [{ a: Promise.resolve(1) }, '$.a is a promise'],
  [{ a: new RangeError('x') }, '$.a is a Error'],
  [{ a: () => 1 }, '$.a is a function'],
  [[1, undefined], '$[1] is undefined'],
])('%o: %s', (value, loss) => {
  expect(jsonLoss(value)).toBe(loss);
});

test.each([
  null,
  undefined,
  -0,
  'text',
  { a: undefined, b: 1 },
  new Date(0),
  Buffer.from('a'),
  { at: { toJSON: () => 'now' } },
  JSON.parse('{"__proto__":{"a":1}}'),
  circle,
])('%o goes through, or is refused by JSON itself', (value) => {
  expect(jsonLoss(value)).toBe(null);
});

test('what was JSON once goes through', () => {
  const random = new Random(7);
  const draw = (depth: number): unknown => {
    const kind = random.int(depth > 4 ? 4 : 6);
    if (kind === 0) return null;
    if (kind === 1) return random.float() - 0.5;
    if (kind === 2) return random.chance(0.5);
    if (kind === 3) return `t${random.int(100)}`;
    const parts = Array.from({ length: random.int(4) }, () => draw(depth + 1));
    return kind === 4 ? parts : Object.fromEntries(parts.map((part, at) => [`k${at}`, part]));
  };
  for (let i = 0; i < 500; i++) {
    const value = draw(0);
    expect(jsonLoss(value)).toBe(null);
    expect(JSON.parse(JSON.stringify(value))).toEqual(value);
  }
});
