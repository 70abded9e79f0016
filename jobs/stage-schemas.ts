// Owns how a stage asks a schema registry: one client a task, its answers noted entry by entry. The task knows no
// registry, the formats no entry.

import type { RegistryConnection } from '#jobs/plan.ts';
import { EntrySchemas } from '#operators/formats/entry-schemas.ts';
import { NOT_WAITING } from '#operators/formats/sample-decoder.ts';
import { SchemaRegistry } from '#operators/formats/schema-registry.ts';
import type { SamplesSource } from '#operators/sources/samples-source.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { SourceSchemas } from '#runtime/task/source-schemas.ts';

/** A schema that did not exist may be registered later: asked for again so often. */
const MISSES_LAST_MS = 60_000;

export class StageSchemas implements SourceSchemas {
  /** What the decoder asks. */
  readonly lookup: EntrySchemas;
  readonly #registry: SchemaRegistry;
  readonly #url: string;
  #source: SamplesSource | null = null;
  #trouble = '';
  #forgottenMs = systemClock.monotonicMs();

  constructor({ url, authorization }: RegistryConnection) {
    this.#url = url;
    const onTrouble = (message: string) => {
      this.#trouble = `: ${message}`;
    };
    this.#registry = new SchemaRegistry({ url, clock: systemClock, authorization, onTrouble });
    this.lookup = new EntrySchemas(this.#registry);
  }

  /** The source whose records need the schemas. */
  serve(source: SamplesSource): void {
    this.#source = source;
  }

  begin(recorded: readonly number[] | null): void {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - this.#forgottenMs >= MISSES_LAST_MS) {
      this.#registry.forgetMisses();
      this.#forgottenMs = nowMs;
    }
    this.lookup.begin(recorded);
  }

  get misses(): readonly number[] {
    return this.lookup.misses;
  }

  get waitsFor(): string | null {
    const id = this.#source?.waitsFor ?? NOT_WAITING;
    return id === NOT_WAITING ? null : `schema ${id} of the registry ${this.#url}${this.#trouble}`;
  }

  async settled(): Promise<void> {
    await this.#registry.settled(this.#source?.waitsFor ?? NOT_WAITING);
    this.#trouble = '';
  }

  close(): void {
    this.#registry.close();
  }
}
