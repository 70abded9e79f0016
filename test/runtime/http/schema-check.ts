// Owns comparing answers with the OpenAPI document, by a validator that shares nothing with the server, and knowing
// which fields of the document were seen in some answer.

import { Ajv2020 } from 'ajv/dist/2020.js';
import type { OpenApiDocument } from '#runtime/http/openapi.ts';
import type { Schema } from '#runtime/http/schema.ts';

export class SchemaCheck {
  readonly #document: OpenApiDocument;
  readonly #ajv: Ajv2020;
  readonly #seen = new Set<string>();

  constructor(document: OpenApiDocument) {
    this.#document = document;
    this.#ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
    this.#ajv.addVocabulary(['components']);
    this.#ajv.addSchema({ $id: 'api', components: document.components } as object, 'api');
  }

  /** What an answer has that the document does not say of it, or the other way round; empty when nothing. */
  faults(path: string, status: number, contentType: string, body: string, method = 'get'): string[] {
    const response = this.#document.paths[path]?.[method]?.responses[status];
    if (response === undefined) return [`${method} ${path} does not list ${status}`];
    const type = contentType.split(';')[0];
    const content = response.content[type];
    if (content === undefined) return [`${path} ${status} does not list ${type}`];
    if (type !== 'application/json') return [];
    const value: unknown = JSON.parse(body);
    const validate = this.#ajv.compile(absolute(content.schema) as object);
    this.#see(content.schema, value);
    if (validate(value)) return [];
    return (validate.errors ?? []).map((error) => `${path} ${status} ${error.instancePath} ${error.message}`);
  }

  /** Whether the document knows what is sent with a change. */
  sends(path: string, method: string, body: unknown): boolean {
    const sent = this.#document.paths[path]?.[method]?.requestBody as
      | { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
      | undefined;
    const schema = sent?.content['application/json']?.schema;
    if (schema === undefined) return false;
    this.#see(schema, body);
    return this.#ajv.compile(absolute(schema) as object)(body);
  }

  /** Fields of named schemas that no answer, and nothing that was sent, had. */
  unseen(): string[] {
    const names = Object.entries(this.#document.components.schemas).flatMap(([name, schema]) => fieldsOf(name, schema));
    return names.filter((name) => !this.#seen.has(name));
  }

  #see(schema: Schema, value: unknown, name = ''): void {
    if (value === null || value === undefined) return;
    if (schema.$ref !== undefined) {
      const target = schema.$ref.split('/').at(-1) as string;
      this.#see(this.#document.components.schemas[target], value, target);
    }
    for (const choice of schema.anyOf ?? []) {
      if (this.#ajv.validate(absolute(choice) as object, value)) this.#see(choice, value, name);
    }
    if (schema.items !== undefined && Array.isArray(value)) {
      for (const item of value) this.#see(schema.items, item, name);
    }
    for (const [field, inner] of Object.entries(schema.properties ?? {})) {
      if (!Object.hasOwn(value as object, field)) continue;
      this.#seen.add(`${name}.${field}`);
      this.#see(inner, (value as Record<string, unknown>)[field], `${name}.${field}`);
    }
  }
}

function fieldsOf(name: string, schema: Schema): string[] {
  if (schema.items !== undefined) return fieldsOf(name, schema.items);
  return Object.entries(schema.properties ?? {}).flatMap(([field, inner]) => [
    `${name}.${field}`,
    ...fieldsOf(`${name}.${field}`, inner),
  ]);
}

/** References of the document lead into the schema that holds its components. */
function absolute(schema: Schema): unknown {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/'));
}
