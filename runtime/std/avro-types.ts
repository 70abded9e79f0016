// Owns what a whole Avro record is made and read by: the types of avsc, loaded when a job first needs one. The door of
// avsc.

import { createRequire } from 'node:module';
import { lazily } from '#runtime/std/lazily.ts';

const avsc = lazily<typeof import('avsc')>(() => createRequire(import.meta.url)('avsc'));

export type AvroType = import('avsc').Type;

/** The type of a schema, as parsed JSON; one that avsc does not take is its error. */
export function avroType(schema: unknown): AvroType {
  const { Type } = avsc();
  return Type.forSchema(schema as Parameters<typeof Type.forSchema>[0], { omitRecordMethods: true });
}
