// Owns what a decoder asks about schemas that lie in a registry. Who fetches them, and waits, is none of its business.

import type { SamplePlan } from '#operators/formats/avro-sample-plan.ts';
import type { AvroSchema } from '#operators/formats/avro-schema.ts';

/** A schema as it is used; both are made once per id. */
export interface KnownSchema {
  readonly schema: AvroSchema;
  /** How samples are read with it; a text tells why they cannot be. */
  readonly plan: SamplePlan | string;
}

/**
 * `missing`: the registry says that there is no such schema, which is recorded with the entry; `pending`: nobody knows
 * yet, ask again later; a problem: there is one, and it is no Avro schema.
 */
export type SchemaAnswer = KnownSchema | { readonly problem: string } | 'missing' | 'pending';

export interface SchemaLookup {
  /** Answers at once. Asking for an unknown id makes somebody fetch it. */
  get(id: number): SchemaAnswer;
}
