import { describe, expect, it } from 'vitest';
import {
  boolean,
  bytes,
  float64,
  int64,
  integer,
  json,
  list,
  map,
  record,
  type StateCodec,
  text,
} from '#checkpoint/codecs.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { checkpointsOn, storeOn } from '#test/checkpoint/world.ts';

function encode<V>(codec: StateCodec<V>, value: V): Buffer {
  const out = new ByteWriter(8);
  codec.write(codec.own(value), out);
  return out.toBytes();
}

/** What comes back, when nothing of the bytes is left over and the bytes around them are not looked at. */
function decode<V>(codec: StateCodec<V>, encoded: Buffer): V {
  const framed = Buffer.concat([Buffer.from([255]), encoded, Buffer.from([255])]);
  const input = new ByteReader(framed, 1, framed.length - 1);
  const value = codec.read(input);
  expect(input.done).toBe(true);
  return value;
}

const TEXTS = [
  '',
  'a',
  'käse',
  '日本',
  '😀 face',
  '\u0000',
  '"\\\n',
  '__proto__',
  'constructor',
  '10',
  '2',
  'é'.repeat(100),
];
const NUMBERS = [0, -0, 1, -1, 0.1, 2 ** 52 - 1, 2 ** 52, -(2 ** 53), 1e300, 5e-324, -1.5, 2 ** 31, 127, 128, -64];

function anyText(random: Seeded): string {
  return random.chance(50) ? TEXTS[random.below(TEXTS.length)] : `k${random.below(1000)}`;
}

function anyJson(random: Seeded, depth: number): unknown {
  const dice = random.below(depth > 4 ? 5 : 8);
  if (dice === 0) return null;
  if (dice === 1) return random.chance(50);
  if (dice === 2) return NUMBERS[random.below(NUMBERS.length)];
  if (dice < 5) return anyText(random);
  if (dice === 5) return Array.from({ length: random.below(5) }, () => anyJson(random, depth + 1));
  const object = random.chance(20) ? Object.create(null) : {};
  for (let i = random.below(6); i > 0; i--) {
    const value = anyJson(random, depth + 1);
    Object.defineProperty(object, anyText(random), { value, configurable: true, enumerable: true, writable: true });
  }
  return object;
}

/** A text that differs when a function could tell two values apart: order of keys, prototypes and signs of zero too. */
function seen(value: unknown): string {
  if (Object.is(value, -0)) return '-0';
  if (typeof value !== 'object' || value === null) return `${typeof value} ${String(value)}`;
  if (Array.isArray(value)) return `[${value.map(seen).join()}]`;
  const prototype = Object.getPrototypeOf(value) === null ? 'bare' : 'plain';
  return `${prototype}{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${seen(inner)}`)}}`;
}

describe('the json codec', () => {
  it('brings back what nobody can tell from what was written, and the same bytes for it', () => {
    for (let seed = 1; seed <= 3_000; seed++) {
      const value = anyJson(new Seeded(seed), 0);
      const encoded = encode(json(), value);
      const back = decode(json(), encoded);
      expect(seen(back), `seed ${seed}`).toBe(seen(value));
      expect(encode(json(), back).equals(encoded), `seed ${seed}`).toBe(true);
      expect(JSON.stringify(back)).toBe(JSON.stringify(value));
    }
  });

  it('gives other bytes for other values', () => {
    const bySeen = new Map<string, string>();
    const byBytes = new Map<string, string>();
    for (let seed = 1; seed <= 3_000; seed++) {
      const value = anyJson(new Seeded(seed), 2);
      const encoded = encode(json(), value).toString('hex');
      expect(bySeen.get(seen(value)) ?? encoded).toBe(encoded);
      expect(byBytes.get(encoded) ?? seen(value)).toBe(seen(value));
      bySeen.set(seen(value), encoded);
      byBytes.set(encoded, seen(value));
    }
    expect(byBytes.size).toBeGreaterThan(500);
  });

  it('keeps a key called __proto__ a key', () => {
    const back = decode(json<Record<string, unknown>>(), encode(json(), JSON.parse('{"__proto__":{"admin":true}}')));
    expect(Object.keys(back)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect((back as { admin?: boolean }).admin).toBeUndefined();
  });

  const inside: { self?: unknown } = {};
  inside.self = { back: [inside] };
  let deep: unknown = null;
  for (let i = 0; i < 600; i++) deep = [deep];
  for (const [fault, value] of [
    ['$.a is undefined', { a: undefined }],
    ['$ is undefined', undefined],
    ['$.rates[1] is NaN', { rates: [1, Number.NaN] }],
    ['$[0] is -Infinity', [Number.NEGATIVE_INFINITY]],
    ['$.run is a function', { run: () => 1 }],
    ['$.id is a bigint', { id: 1n }],
    ['$.tag is a symbol', { tag: Symbol('x') }],
    ['$.at is a Date', { at: new Date(0) }],
    ['$.seen is a Map', { seen: new Map() }],
    ['$["a b"].c is undefined', { 'a b': { c: undefined } }],
    ['$[0] is undefined', new Array(2)],
    ['$.self.back[0] is inside itself', inside],
    ['nested more than 500 deep', deep],
    ['$.name is text with half a surrogate pair', { name: '\ud800' }],
    ['has a name with half a surrogate pair', { '\udc00': 1 }],
  ] as const) {
    it(`refuses, when it is handed over and when it is written: ${fault}`, () => {
      for (const refuse of [() => json().own(value), () => json().write(value, new ByteWriter())]) {
        expect(refuse).toThrow(StreamError);
        expect(refuse).toThrow(fault);
      }
    });
  }

  it('takes what stands in two places at once, which is no cycle', () => {
    const shared = { a: 1 };
    expect(decode(json(), encode(json(), [shared, shared]))).toEqual([{ a: 1 }, { a: 1 }]);
  });
});

describe('the record codec', () => {
  it('writes what JSON can hold as json does', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const value = anyJson(new Seeded(seed), 0);
      const encoded = encode(record(), value);
      expect(encoded.equals(encode(json(), value))).toBe(true);
      expect(seen(decode(record(), encoded))).toBe(seen(value));
    }
  });

  it('brings back any number, and bytes as what they were, which are no view of those written', () => {
    const noNumber = new Float64Array(new Uint32Array([1, 0xfff80000]).buffer)[0];
    const value = {
      numbers: [Number.NaN, noNumber, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1.5],
      buffer: Buffer.from('abc').subarray(1),
      bytes: Uint8Array.of(0, 255),
      none: [Buffer.alloc(0), new Uint8Array(0)],
    };
    const encoded = encode(record(), value);
    const back = decode(record(), encoded) as typeof value;
    encoded.fill(0);
    expect(back).toStrictEqual(value);
    expect([back.buffer, back.bytes].map((part) => part.constructor.name)).toEqual(['Buffer', 'Uint8Array']);
    expect(encode(record(), Number.NaN).equals(encode(record(), noNumber))).toBe(true);
  });

  it.each([
    new Float64Array(1),
    new DataView(new ArrayBuffer(1)),
    new ArrayBuffer(1),
    new Date(0),
    1n,
    '\ud800',
    [undefined],
  ])('refuses %o', (value) => {
    for (const refuse of [() => record().own({ value }), () => record().write({ value }, new ByteWriter())]) {
      expect(refuse).toThrow(StreamError);
      expect(refuse).toThrow('$.value');
    }
  });

  it('is another schema version than json', () => {
    expect(record().schemaVersion).not.toBe(json().schemaVersion);
  });
});

describe('codecs', () => {
  it('bring back every value as it was', () => {
    for (const value of TEXTS) expect(decode(text(), encode(text(), value))).toBe(value);
    for (const value of [...NUMBERS, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(decode(float64(), encode(float64(), value))).toBe(value);
    }
    for (const value of NUMBERS.filter((n) => Number.isInteger(n) && Math.abs(n) < 2 ** 52)) {
      expect(decode(integer(), encode(integer(), value))).toBe(value + 0);
    }
    for (const value of [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(decode(int64(), encode(int64(), value))).toBe(value);
    }
    for (const value of [true, false]) expect(decode(boolean(), encode(boolean(), value))).toBe(value);
    for (const value of [[], [1], [0, 255, 128]]) {
      expect([...decode(bytes(), encode(bytes(), Uint8Array.from(value)))]).toEqual(value);
    }
    const nested = list(map(text(), list(integer())));
    const value = [
      new Map([
        ['b', [1, 2]],
        ['a', []],
      ]),
      new Map(),
    ];
    const back = decode(nested, encode(nested, value));
    expect(back).toEqual(value);
    expect([...back[0].keys()]).toEqual(['b', 'a']);
  });

  it('know one NaN, whatever its bits', () => {
    const words = new Uint32Array([1, 0xfff80001]);
    const odd = new Float64Array(words.buffer)[0];
    expect(encode(float64(), odd).equals(encode(float64(), Number.NaN))).toBe(true);
  });

  it('refuse values of another kind', () => {
    const refused: readonly [StateCodec<never>, unknown][] = [
      [text() as StateCodec<never>, 1],
      [text() as StateCodec<never>, '\ud800'],
      [integer() as StateCodec<never>, 1.5],
      [integer() as StateCodec<never>, 2 ** 52],
      [integer() as StateCodec<never>, '1'],
      [float64() as StateCodec<never>, '1'],
      [int64() as StateCodec<never>, 1],
      [int64() as StateCodec<never>, 2n ** 63n],
      [boolean() as StateCodec<never>, 1],
      [bytes() as StateCodec<never>, [1]],
      [list(text()) as StateCodec<never>, 'abc'],
      [list(text()) as StateCodec<never>, ['a', 2]],
      [map(text(), text()) as StateCodec<never>, { a: 'b' }],
      [map(text(), integer()) as StateCodec<never>, new Map([['a', 'b']])],
    ];
    for (const [codec, value] of refused) {
      expect(() => codec.own(value as never), `${codec.name} ${String(value)}`).toThrow('state cannot hold');
    }
  });

  it('copy what may change under them', () => {
    const given = Uint8Array.of(1, 2, 3);
    const kept = bytes().own(given);
    const encoded = encode(bytes(), kept);
    const back = decode(bytes(), encoded);
    given[0] = 9;
    encoded.fill(7);
    expect([...kept]).toEqual([1, 2, 3]);
    expect([...back]).toEqual([1, 2, 3]);
    const items = ['a'];
    const owned = list(text()).own(items);
    items.push('b');
    expect(owned).toEqual(['a']);
  });

  it('have a schema version of their own each', () => {
    const all = [json(), text(), bytes(), float64(), integer(), int64(), boolean(), list(text()), list(json())];
    const maps = [map(text(), integer()), map(integer(), text()), list(list(text()))];
    expect(new Set([...all, ...maps].map((codec) => codec.schemaVersion)).size).toBe(12);
    expect(list(text()).schemaVersion).toBe(list(text()).schemaVersion);
  });
});

describe('keyed values of a codec that refuses', () => {
  it('refuse at `set`, and name the state when a value was changed into one later', () => {
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
    const state = new KeyedValues<unknown[]>('carts/items', list(json()));
    state.open(checkpoints);
    expect(() => state.set(1, [undefined])).toThrow('$ is undefined');
    expect(state.size).toBe(0);
    state.set(1, [1]);
    state.change(1)?.push({ at: new Date(0) });
    expect(() => checkpoints.digest()).toThrow("state 'carts/items': state cannot hold this value: $.at is a Date");
  });
});
