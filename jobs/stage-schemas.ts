// Owns how a stage asks a schema registry: one client a task, its answers noted entry by entry. The task knows no
// registry, the formats no entry.

import type { MakeSchemaClient, RegistryConnection } from '#jobs/plan.ts';
import { EntrySchemas } from '#operators/formats/entry-schemas.ts';
import { NOT_WAITING } from '#operators/formats/sample-decoder.ts';
import { type SchemaClient, SchemaRegistry } from '#operators/formats/schema-registry.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { SourceSchemas } from '#runtime/task/source-schemas.ts';

const overHttp: MakeSchemaClient = ({ url, authorization }, onTrouble) =>
  new SchemaRegistry({ url, clock: systemClock, authorization, onTrouble });

export class StageSchemas implements SourceSchemas {
  /** What the decoder asks. */
  readonly lookup: EntrySchemas;
  readonly #client: SchemaClient;
  readonly #url: string;
  #source: { readonly waitsFor: number } = { waitsFor: NOT_WAITING };
  #trouble = '';

  constructor(connection: RegistryConnection, makeClient: MakeSchemaClient = overHttp) {
    this.#url = connection.url;
    this.#client = makeClient(connection, (message) => {
      this.#trouble = `: ${message}`;
    });
    this.lookup = new EntrySchemas(this.#client);
  }

  /** The source whose records need the schemas. */
  serve(source: { readonly waitsFor: number }): void {
    this.#source = source;
  }

  begin(recorded: readonly number[] | null): void {
    this.#client.refresh();
    this.lookup.begin(recorded);
  }

  get misses(): readonly number[] {
    return this.lookup.misses;
  }

  get waitsFor(): string | null {
    const id = this.#source.waitsFor;
    return id === NOT_WAITING ? null : `schema ${id} of the registry ${this.#url}${this.#trouble}`;
  }

  async settled(): Promise<void> {
    await this.#client.settled(this.#source.waitsFor);
    this.#trouble = '';
  }

  close(): void {
    this.#client.close();
  }
}
