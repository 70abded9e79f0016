// Owns the schema registry of a driven job, in memory: what it has, and whether it answers. Its clients are one for each
// attempt of a task, as in a process, and remember what they were told.

import { samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { type AvroSchema, parseAvroSchema } from '#operators/formats/avro-schema.ts';
import type { KnownSchema, SchemaAnswer } from '#operators/formats/schema-lookup.ts';
import type { SchemaClient, SchemaTrouble } from '#operators/formats/schema-registry.ts';
import { StreamError } from '#runtime/std/errors.ts';

export class DriverRegistry {
  readonly #schemas = new Map<number, KnownSchema>();
  #answers = true;
  #asking = new Set<() => void>();

  constructor(schemas: Readonly<Record<number, unknown>>) {
    for (const [id, schema] of Object.entries(schemas)) this.register(Number(id), schema);
  }

  /** Registers an Avro schema, as JSON or its text, under its id. Error: config-invalid. */
  register(id: number, schema: unknown): void {
    const parsed = parseAvroSchema(schema);
    if (!Number.isInteger(id) || id < 0 || id > 0x7fff_ffff) {
      throw new StreamError('config-invalid', `${id} is no id of a schema`, 'give a number from 0 on');
    }
    if (typeof parsed === 'string') {
      throw new StreamError('config-invalid', `schema ${id} ${parsed}`, 'give an Avro schema, as JSON or its text');
    }
    if (this.#schemas.has(id)) {
      throw new StreamError(
        'config-invalid',
        `schema ${id} is there already`,
        'no registry changes one: take a new id',
      );
    }
    this.#schemas.set(id, { schema: parsed, plan: samplePlan(parsed) });
  }

  /** Stops answering: records that need a schema the tasks do not know wait. */
  stop(): void {
    this.#answers = false;
  }

  /** Answers again. */
  start(): void {
    this.#answers = true;
    for (const tell of this.#asking) tell();
    this.#asking.clear();
  }

  /** A schema as a producer has it. Error: record-refused. */
  schemaOf(id: number): AvroSchema {
    const found = this.#schemas.get(id);
    if (found !== undefined) return found.schema;
    throw new StreamError(
      'record-refused',
      `the registry has no schema ${id}`,
      `give it one: JobDriver.start(job, { schemas: { ${id}: … } }); or send the bytes of a record in a Buffer`,
    );
  }

  client(onTrouble: SchemaTrouble): SchemaClient {
    const known = new Map<number, SchemaAnswer>();
    return {
      get: (id) => {
        const answer = known.get(id) ?? (this.#answers ? (this.#schemas.get(id) ?? 'missing') : 'pending');
        if (answer === 'pending') onTrouble('the registry was stopped by the test');
        else known.set(id, answer);
        return answer;
      },
      refresh: () => {
        for (const [id, answer] of known) if (answer === 'missing') known.delete(id);
      },
      settled: () => (this.#answers ? Promise.resolve() : new Promise((resolve) => this.#asking.add(resolve))),
      close: () => {},
    };
  }
}
