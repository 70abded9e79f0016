// Owns what a whole Avro record is made and read by: the types of avsc, loaded when a job first needs one. The door of
// avsc. Invariant: records and wrapped unions are plain objects: states and exchanges hold nothing else.

import { createRequire } from 'node:module';
import { lazily } from '#runtime/std/lazily.ts';

const avsc = lazily<typeof import('avsc')>(() => createRequire(import.meta.url)('avsc'));

export type AvroType = import('avsc').Type;

/** The type of a schema, as parsed JSON; one that avsc does not take is its error. */
export function avroType(schema: unknown): AvroType {
  const { Type } = avsc();
  const type = Type.forSchema(schema as Parameters<typeof Type.forSchema>[0], { omitRecordMethods: true });
  makePlain(type, new Set());
  return type;
}

/** What types have of each other. */
interface Parts {
  readonly typeName: string;
  readonly recordConstructor?: unknown;
  readonly fields?: readonly { readonly type: AvroType }[];
  readonly types?: readonly AvroType[];
  readonly itemsType?: AvroType;
  readonly valuesType?: AvroType;
  readonly underlyingType?: AvroType;
}

// Without methods the classes that avsc makes for records have nothing that objects have not.
function makePlain(type: AvroType, seen: Set<AvroType>): void {
  if (seen.has(type)) return;
  seen.add(type);
  const parts = type as unknown as Parts;
  const { fields = [], itemsType, recordConstructor, types = [], typeName, underlyingType, valuesType } = parts;
  if (recordConstructor !== undefined) makesObjects(recordConstructor);
  if (typeName === 'union:wrapped') {
    for (const branch of types) if (branch.typeName !== 'null') makesObjects(branch.wrap(null)?.constructor);
  }
  for (const part of [...fields.map((field) => field.type), ...types, itemsType, valuesType, underlyingType]) {
    if (part !== undefined) makePlain(part, seen);
  }
}

function makesObjects(made: unknown): void {
  if (typeof made === 'function' && made !== Object) made.prototype = Object.prototype;
}
