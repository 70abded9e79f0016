// Owns the words that schemas of the admin API are written with: the part of JSON Schema 2020-12 that it needs.
// Invariant: the schema of a view names every field of the view and no other, which the compiler checks.

export type SchemaType = 'string' | 'integer' | 'number' | 'boolean' | 'null' | 'object' | 'array';

export interface Schema {
  readonly $ref?: string;
  readonly type?: SchemaType | readonly SchemaType[];
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: number | boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

type Fields<View> = { readonly [Name in keyof View]-?: Schema };

/** Refers to a schema of the document by its name, which whoever lists it checks. */
export function refer(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

/** An object with exactly the fields of `View`; those in `optional` may be missing. */
export function view<View>(properties: Fields<View>, optional: readonly (keyof View & string)[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.some((other) => other === name));
  return { type: 'object', properties, required, additionalProperties: false };
}

export function text(description: string): Schema {
  return { type: 'string', description };
}

export function oneOf(names: readonly string[], description: string): Schema {
  return { type: 'string', enum: names, description };
}

/** A whole number, 0 or more. */
export function count(description: string): Schema {
  return { type: 'integer', minimum: 0, description };
}

/** Milliseconds since 1970. */
export function moment(description: string): Schema {
  return { type: 'number', description: `${description}, in milliseconds since 1970` };
}

export function number(description: string): Schema {
  return { type: 'number', description };
}

export function flag(description: string): Schema {
  return { type: 'boolean', description };
}

export function list(items: Schema, description: string): Schema {
  return { type: 'array', items, description };
}

/** Objects with names that are not known before. */
export function record(values: Schema | true, description: string): Schema {
  return { type: 'object', additionalProperties: values, description };
}

/** `schema`, or null, which means what `meaning` says. */
export function orNull(schema: Schema, meaning: string): Schema {
  const description = [schema.description, `null: ${meaning}`].filter(Boolean).join('; ');
  if (schema.$ref !== undefined) return { anyOf: [schema, { type: 'null' }], description };
  return { ...schema, type: [schema.type as SchemaType, 'null'], description };
}
