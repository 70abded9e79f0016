// Owns random Avro schemas, as deep and as recursive as they come, and random values of them in binary, written without
// any library: blocks cut anywhere, with and without their size. Invariant: what it writes is right by the specification.

import { zigzag } from '#test/operators/formats/protobuf-bytes.ts';
import { pick, type Random } from '#test/operators/formats/sample-generator.ts';

type Json = string | readonly Json[] | { readonly [key: string]: unknown };

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
/** None that objects have of themselves: avsc cannot bring those to another schema. */
const FIELDS = ['a', 'b', 'value', 'then', '_', 'x1', 'length', 'name'];
const TEXTS = ['', 'a', 'größe', '\u{1f600}', '\ufffd', 'x'.repeat(200), '\u0000', '5', 'toString'];

/** A schema; types that are named in it are called T0, T1, … */
export function avroSchema(next: Random): Json {
  const names: string[] = [];
  const type = (depth: number): Json => {
    const kind =
      depth > 4 ? 'primitive' : pick(next, ['primitive', 'record', 'record', 'array', 'map', 'union', 'named']);
    switch (kind) {
      case 'record':
        return record(depth);
      case 'array':
        return { type: 'array', items: type(depth + 1) };
      case 'map':
        return { type: 'map', values: type(depth + 1) };
      case 'union':
        return union(depth);
      case 'named':
        return next() < 0.5
          ? { type: 'fixed', name: named(), size: pick(next, [1, 3, 16]) }
          : { type: 'enum', name: named(), symbols: ['A', 'B', 'C'] };
      default:
        return pick(next, PRIMITIVES);
    }
  };
  const named = () => `T${names.push(`T${names.length}`) - 1}`;
  const record = (depth: number): Json => {
    const name = named();
    const chosen = FIELDS.filter(() => next() < 0.3);
    const fields = chosen.map((field) => ({ name: field, type: type(depth + 1) }));
    if (next() < 0.3) fields.push({ name: 'again', type: ['null', name] });
    return { type: 'record', name, fields };
  };
  const union = (depth: number): Json => {
    const branches = PRIMITIVES.filter(() => next() < 0.3).map((name): Json => name);
    if (next() < 0.5) branches.push(record(depth + 1));
    if (next() < 0.2) branches.push({ type: 'map', values: 'int' });
    return branches.length === 0 ? ['null', 'string'] : branches;
  };
  return record(0);
}

/** A value of the schema. */
export function avroValue(next: Random, schema: Json): Buffer {
  const known = new Map<string, Json>();
  // What goes on without end must end.
  let left = 300;
  const value = (of: Json, depth: number): Buffer => {
    left--;
    if (Array.isArray(of)) {
      const branches = of as readonly Json[];
      const last = (depth > 8 || left < 0) && branches.includes('null') ? branches.indexOf('null') : -1;
      const branch = last >= 0 ? last : Math.floor(next() * branches.length);
      return Buffer.concat([zigzag(branch), value(branches[branch], depth + 1)]);
    }
    if (typeof of === 'string') return known.has(of) ? value(known.get(of)!, depth) : primitive(next, of);
    const { type, name, fields, items, size, values } = of as Readonly<Record<string, unknown>>;
    if (typeof name === 'string') known.set(name, of);
    switch (type) {
      case 'record':
        return Buffer.concat((fields as { type: Json }[]).map((field) => value(field.type, depth + 1)));
      case 'array':
        return blocks(next, left, () => value(items as Json, depth + 1));
      case 'map':
        return blocks(next, left, () =>
          Buffer.concat([data(Buffer.from(pick(next, TEXTS))), value(values as Json, depth + 1)]),
        );
      case 'fixed':
        return Buffer.from(Array.from({ length: size as number }, () => Math.floor(next() * 256)));
      default:
        return zigzag(Math.floor(next() * 3));
    }
  };
  return value(schema, 0);
}

function primitive(next: Random, type: string): Buffer {
  const number = Buffer.alloc(8);
  switch (type) {
    case 'null':
      return Buffer.alloc(0);
    case 'boolean':
      return Buffer.from([next() < 0.5 ? 1 : 0]);
    case 'int':
      return zigzag(pick(next, [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), Math.floor(next() * 1e6)]));
    case 'long':
      return zigzag(pick(next, [0, -1, 2 ** 52 - 1, -(2 ** 52) + 1, 1_700_000_000_000, -(2 ** 33)]));
    case 'float':
      number.writeFloatLE(pick(next, [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY]));
      return number.subarray(0, 4);
    case 'double':
      number.writeDoubleLE(pick(next, [0, -0, 1.1, Number.NaN, Number.NEGATIVE_INFINITY, next()]));
      return number;
    default:
      return data(Buffer.from(pick(next, TEXTS)));
  }
}

function blocks(next: Random, itemsMax: number, item: () => Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let left = Math.min(itemsMax, Math.floor(next() * 4)); left > 0; ) {
    const count = 1 + Math.floor(next() * left);
    const body = Buffer.concat(Array.from({ length: count }, item));
    parts.push(...(next() < 0.5 ? [zigzag(count)] : [zigzag(-count), zigzag(body.length)]), body);
    left -= count;
  }
  return Buffer.concat([...parts, zigzag(0)]);
}

function data(bytes: Buffer): Buffer {
  return Buffer.concat([zigzag(bytes.length), bytes]);
}
