// Owns what an Avro schema is to us: a tree of nodes that says how many bytes a value takes, and the type that reads
// and writes whole records of it. Invariant: a schema that cannot be one is a problem in words, never an exception.

import { nestsDeeperThan } from '#operators/formats/json-value.ts';
import { type AvroType, avroType } from '#runtime/std/avro-types.ts';
import { invariant } from '#runtime/std/errors.ts';

/** Schema texts are at most this long. */
export const SCHEMA_BYTES_MAX = 1024 * 1024;
/** Brackets of a schema text; a type within a type takes one to three. How deep values nest is another matter. */
const SCHEMA_NESTING_MAX = 256;

export type AvroKind =
  | 'null'
  | 'boolean'
  | 'int'
  | 'long'
  | 'float'
  | 'double'
  | 'bytes'
  | 'string'
  | 'fixed'
  | 'enum'
  | 'array'
  | 'map'
  | 'union'
  | 'record';

/** A type of a schema; recursive schemas make cycles. */
export interface AvroNode {
  readonly kind: AvroKind;
  /** Bytes of a fixed. */
  readonly size: number;
  /** Items of an array, values of a map, branches of a union, fields of a record. */
  readonly children: readonly AvroNode[];
  /** Names of a record's fields. */
  readonly names: readonly string[];
}

export interface AvroSchema {
  readonly node: AvroNode;
  /** As it was written: avsc drops logical types that it has no class for. */
  readonly json: unknown;
  /** Whole records by avsc. Errors: what avsc throws. */
  decode(bytes: Buffer): unknown;
  /** Reads what another schema wrote as this one says, by Avro's rules of resolution; a text tells why that cannot be. */
  decoderOf(written: AvroSchema): ((bytes: Buffer) => unknown) | string;
  encode(value: unknown): Buffer;
}

const KINDS: ReadonlySet<string> = new Set([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
  'fixed',
  'enum',
  'array',
  'map',
  'record',
]);

/** The schema that JSON (a text, or what it parses to) describes; a text tells what is wrong with it. */
export function parseAvroSchema(json: unknown): AvroSchema | string {
  try {
    const text = typeof json === 'string' ? json : JSON.stringify(json);
    const problem = textProblem(text);
    if (problem !== null) return `is no Avro schema: ${problem}`;
    const described: unknown = JSON.parse(text);
    const type = avroType(described);
    const node = nodeOf(type as unknown as Described, new Map());
    const schema: AvroSchema = {
      node,
      json: described,
      decode: (bytes) => type.fromBuffer(bytes),
      decoderOf: (written) => resolved(type, TYPES.get(written)),
      encode: (value) => type.toBuffer(value),
    };
    TYPES.set(schema, type);
    return schema;
  } catch (error) {
    return `is no Avro schema: ${error instanceof Error ? error.message : String(error)}`;
  }
}

// avsc goes as deep as the text does: how deep that is must not depend on the stack that is left.
function textProblem(text: string | undefined): string | null {
  if (text === undefined) return 'it is no JSON';
  const bytes = Buffer.from(text);
  if (bytes.length > SCHEMA_BYTES_MAX) return `it is longer than ${SCHEMA_BYTES_MAX} bytes`;
  return nestsDeeperThan(bytes, SCHEMA_NESTING_MAX) ? `it nests deeper than ${SCHEMA_NESTING_MAX}` : null;
}

const TYPES = new WeakMap<AvroSchema, AvroType>();

function resolved(type: AvroType, written: AvroType | undefined): ((bytes: Buffer) => unknown) | string {
  invariant(written !== undefined, 'schemas are made here');
  try {
    const resolver = type.createResolver(written);
    return (bytes) => type.fromBuffer(bytes, resolver);
  } catch (error) {
    return `it cannot be read as the source's schema: ${error instanceof Error ? error.message : String(error)}`;
  }
}

interface Described {
  readonly typeName: string;
  readonly size?: number;
  readonly itemsType?: Described;
  readonly valuesType?: Described;
  readonly types?: readonly Described[];
  readonly fields?: readonly { readonly name: string; readonly type: Described }[];
}

function nodeOf(type: Described, known: Map<Described, AvroNode>): AvroNode {
  const found = known.get(type);
  if (found !== undefined) return found;
  const { fields, itemsType, size, typeName, types, valuesType } = type;
  const kind = typeName.startsWith('union:') ? 'union' : typeName === 'error' ? 'record' : typeName;
  if (kind !== 'union' && !KINDS.has(kind)) throw new RangeError(`type '${typeName}' is not known`);
  const children: AvroNode[] = [];
  const names = fields?.map((field) => field.name) ?? [];
  // The records of avsc would take its value for their prototype.
  if (names.includes('__proto__')) throw new RangeError("a field is called '__proto__'");
  const node: AvroNode = { kind: kind as AvroKind, size: size ?? 0, children, names };
  known.set(type, node);
  const inner = itemsType ?? valuesType;
  if (inner !== undefined) children.push(nodeOf(inner, known));
  for (const branch of types ?? []) children.push(nodeOf(branch, known));
  for (const field of fields ?? []) children.push(nodeOf(field.type, known));
  return node;
}
