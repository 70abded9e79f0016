// Owns schemas that samples come in and random records of them, written by avsc: as an author of jobs would write them,
// in other orders, with nulls, with fields nobody asked for, several in one record, and damaged.

import avsc from 'avsc';
import { damaged } from '#test/operators/formats/protobuf-bytes.ts';
import type { Schema } from '#test/operators/formats/reference-avro.ts';
import { pick, type Random } from '#test/operators/formats/sample-generator.ts';

const labels = { type: 'map', values: 'string' };
const record = (fields: readonly (readonly [string, unknown])[], name = 'Sample') => ({
  type: 'record',
  name,
  fields: fields.map(([field, type]) => ({ name: field, type })),
});

/** By id. 1 is the plain one. */
export const SCHEMAS: ReadonlyMap<number, Schema> = new Map<number, Schema>([
  [
    1,
    record([
      ['metric_name', 'string'],
      ['timestamp', { type: 'long', logicalType: 'timestamp-millis' }],
      ['value', 'double'],
      ['labels', labels],
    ]),
  ],
  [
    2,
    record([
      ['labels', ['null', labels]],
      ['value', ['double', 'null']],
      ['timestamp', ['null', 'long']],
      ['metric_name', ['null', 'string']],
    ]),
  ],
  [
    3,
    record([
      ['value', 'float'],
      ['timestamp', 'int'],
      ['metric_name', 'string'],
    ]),
  ],
  [
    4,
    record([
      ['id', { type: 'fixed', name: 'Id', size: 3 }],
      ['metric_name', 'string'],
      ['kind', { type: 'enum', name: 'Kind', symbols: ['GAUGE', 'COUNTER'] }],
      ['tags', { type: 'array', items: { type: 'map', values: ['null', 'bytes', 'boolean'] } }],
      ['value', ['null', 'long']],
      ['nothing', { type: 'array', items: 'null' }],
      ['labels', { type: 'map', values: ['string', 'null'] }],
      [
        'parent',
        [
          'null',
          record(
            [
              ['name', 'string'],
              ['up', ['null', 'Node']],
            ],
            'Node',
          ),
        ],
      ],
      ['timestamp', 'long'],
    ]),
  ],
  [
    5,
    {
      type: 'array',
      items: record([
        ['metric_name', 'string'],
        ['timestamp', 'long'],
        ['value', 'double'],
        ['labels', labels],
      ]),
    },
  ],
]);

const TYPES = new Map(
  [...SCHEMAS].map(([id, schema]) => [id, avsc.Type.forSchema(schema as never, { wrapUnions: 'never' })]),
);

/** A framed record of any of the schemas, or a plain one of schema 1. */
export function avroRecord(next: Random): Buffer {
  const id = next() < 0.4 ? 1 : pick(next, [2, 3, 4, 5]);
  let body = TYPES.get(id)!.toBuffer(valueFor(next, id));
  if (next() < 0.15) body = damaged(next, body);
  if (id === 1 && next() < 0.5) return body;
  const frame = Buffer.alloc(5);
  frame.writeInt32BE(next() < 0.01 ? pick(next, [90, 91, 92, -1]) : id, 1);
  return Buffer.concat([frame, body]);
}

function valueFor(next: Random, id: number): unknown {
  if (id === 5) return Array.from({ length: Math.floor(next() * 4) }, () => sample(next, id));
  return sample(next, id);
}

function sample(next: Random, id: number): unknown {
  const isPlain = next() < 0.7;
  const orNull = <T>(value: T): T | null => (next() < 0.1 ? null : value);
  const timestamp = id === 3 ? Math.floor(next() * 2 ** 31) : time(next, isPlain);
  const base = {
    metric_name: isPlain ? pick(next, ['cpu', 'up']) : pick(next, ['größe', 'a{b}', '', '\u{1f600}', 'x'.repeat(70)]),
    timestamp,
    value: isPlain
      ? Math.round(next() * 10000) / 100
      : pick(next, [0, -0, 1e300, Number.NaN, Number.POSITIVE_INFINITY]),
    labels: labelsFor(next, isPlain),
  };
  if (id === 2)
    return {
      metric_name: orNull(base.metric_name),
      timestamp: orNull(timestamp),
      value: orNull(base.value),
      labels: orNull(base.labels),
    };
  if (id !== 4) return base;
  return {
    ...base,
    id: Buffer.from('abc'),
    kind: pick(next, ['GAUGE', 'COUNTER']),
    tags: Array.from({ length: Math.floor(next() * 3) }, () => ({ a: null, b: Buffer.from('xyz'), c: true })),
    value: pick(next, [null, 5, -7, 2 ** 40]),
    nothing: Array.from({ length: Math.floor(next() * 3) }, () => null),
    labels: Object.fromEntries(Object.entries(base.labels).map(([key, value]) => [key, orNull(value)])),
    parent: next() < 0.5 ? null : chain(Math.floor(next() * 4)),
  };
}

function chain(depth: number): unknown {
  return { name: 'n', up: depth === 0 ? null : chain(depth - 1) };
}

function time(next: Random, isPlain: boolean): number {
  if (isPlain || next() < 0.5) return 1700000000000 + Math.floor(next() * 91000);
  return pick(next, [0, -1, 8.64e15, 8.64e15 + 1, -8.64e15, -8.64e15 - 1, 1700000090000, 1700000090001]);
}

function labelsFor(next: Random, isPlain: boolean): Record<string, string> {
  if (isPlain) return { host: `h-${Math.floor(next() * 40)}`, region: pick(next, ['eu', 'us']) };
  const made: Record<string, string> = {};
  for (let i = Math.floor(next() * 4); i > 0; i--)
    made[pick(next, ['a', 'b', 'ключ', '', 'x y', '__name__'])] = pick(next, ['', 'v', 'ü', 'w"']);
  if (next() < 0.01) for (let i = 0; i < pick(next, [65, 300]); i++) made[`l${i}`] = 'v';
  return made;
}
