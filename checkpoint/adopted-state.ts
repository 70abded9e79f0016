// Owns how the state of tasks in a savepoint becomes that of a task which has some of their keys: one part after the
// other, segment by segment; tables of keys first, because everything else speaks of their slots. Knows no state from
// inside. Invariant: what cannot move is refused by name, and before anything did.

import type {
  AdoptedPage,
  AdoptedPart,
  Adoption,
  CheckpointStore,
  MovedKeys,
  PagedState,
} from '#checkpoint/contract.ts';
import { type LoadedPage, VerifiedCheckpoint } from '#checkpoint/restored-pages.ts';
import { readSavepointManifest, savepointPlace } from '#checkpoint/savepoint.ts';
import { requireFit } from '#checkpoint/state-fit.ts';
import { ByteReader } from '#runtime/std/byte-writer.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import { partitionOf } from '#runtime/std/murmur2.ts';

export interface AdoptionEdges {
  readonly store: CheckpointStore;
  /** Bytes of files of one part that are held, so that they are read once. */
  readonly restoreBytesMax: number;
  /** Lets what was taken over leave memory. */
  relieve(): Promise<void>;
}

type States = ReadonlyMap<string, PagedState>;

/** Fills empty states. Errors: checkpoint-corrupt, version-mismatch, state-not-movable. */
export async function adoptState(states: States, adoption: Adoption, edges: AdoptionEdges): Promise<void> {
  for (const part of adoption.parts) {
    const manifest = await readSavepointManifest(edges.store, part.identity, part.savepoint, part.manifest);
    const { schemaVersions } = manifest;
    requireFit([...states.values()], schemaVersions, adoption.fit);
    requireMovable(states, schemaVersions);
    const place = savepointPlace(part.identity, part.savepoint);
    const read = (name: string) => edges.store.read(place, name);
    const verified = await VerifiedCheckpoint.of(part.manifest, manifest, read, edges.restoreBytesMax);
    const move = new PartMove(states, adoption, schemaVersions);
    await verified.load((pages) => move.collectTables(pages));
    move.adoptTables(part);
    await edges.relieve();
    await verified.load(async (pages) => {
      move.adoptRest(pages);
      await edges.relieve();
    });
  }
}

function requireMovable(states: States, schemaVersions: Readonly<Record<string, number>>): void {
  const kept = Object.keys(schemaVersions).flatMap((stateId) => states.get(stateId) ?? []);
  const fixed = kept.filter((state) => !state.beginsAnew && !state.adoptPage && !state.adoptKeys);
  if (fixed.length === 0) return;
  const names = fixed.map(({ stateId }) => `'${stateId}'`).join(', ');
  throw new StreamError(
    'state-not-movable',
    `state ${names} cannot be spread over another number of tasks`,
    'restore the savepoint with the version and the partition counts it was taken with, or give the operator another id and allow dropped state',
  );
}

/** The move of one part. */
class PartMove {
  readonly #states: States;
  readonly #adoption: Adoption;
  readonly #schemaVersions: Readonly<Record<string, number>>;
  /** Tables that something is kept by; other tables begin anew. */
  readonly #tables = new Map<string, { readonly keys: SlotMap; pages: AdoptedPage[] }>();

  constructor(states: States, adoption: Adoption, schemaVersions: Readonly<Record<string, number>>) {
    this.#states = states;
    this.#adoption = adoption;
    this.#schemaVersions = schemaVersions;
    for (const stateId of Object.keys(schemaVersions)) {
      const table = states.has(stateId) ? this.#tableOf(stateId) : null;
      if (table !== null && !this.#tables.has(table)) {
        this.#tables.set(table, { keys: new SlotMap(adoption.spread), pages: [] });
      }
    }
  }

  /** Bytes of pages die with their segment: they are copied. */
  collectTables(pages: readonly LoadedPage[]): void {
    for (const loaded of pages) {
      const table = this.#tables.get(loaded.record.stateId);
      if (table !== undefined) table.pages.push(this.#page(loaded, true));
    }
  }

  adoptTables({ manifest }: AdoptedPart): void {
    for (const [stateId, { keys, pages }] of this.#tables) {
      const state = this.#states.get(stateId);
      invariant(state?.adoptKeys !== undefined, `'${stateId}' in ${manifest} holds no keys`);
      state.adoptKeys(
        pages.splice(0).sort((a, b) => a.page - b.page),
        keys,
      );
    }
  }

  adoptRest(pages: readonly LoadedPage[]): void {
    for (const loaded of pages) {
      const { stateId, page } = loaded.record;
      const state = this.#states.get(stateId);
      if (state?.adoptPage === undefined || state.beginsAnew) continue;
      const table = this.#tableOf(stateId);
      const keys = table === null ? NO_KEYS : (this.#tables.get(table)?.keys ?? NO_KEYS);
      const adopted = this.#page(loaded, false);
      state.adoptPage(adopted, keys);
      invariant(adopted.input.done, `state '${stateId}' left bytes of page ${page} unread`);
    }
  }

  #tableOf(stateId: string): string | null {
    return this.#adoption.fit.tableOf?.(stateId) ?? null;
  }

  #page({ record, bytes }: LoadedPage, copied: boolean): AdoptedPage {
    const body = bytes.subarray(record.bodyStart, record.bodyEnd);
    const input = new ByteReader(copied ? Buffer.from(body) : body);
    return { page: record.page, input, version: this.#schemaVersions[record.stateId] };
  }
}

/** Slots of a table there to slots of the same table here. */
class SlotMap implements MovedKeys {
  readonly #spread: Adoption['spread'];
  /** By slot there: slot here + 1; 0: not here. */
  #to: Int32Array = new Int32Array(256);

  constructor(spread: Adoption['spread']) {
    this.#spread = spread;
  }

  belongs(hash: number): boolean {
    return this.#spread === null || partitionOf(hash, this.#spread.partitions) === this.#spread.partition;
  }

  place(from: number, to: number): void {
    if (from >= this.#to.length) {
      const wider = new Int32Array(Math.max(from + 1, this.#to.length * 2));
      wider.set(this.#to);
      this.#to = wider;
    }
    this.#to[from] = to + 1;
  }

  slotOf(from: number): number {
    return from < this.#to.length ? this.#to[from] - 1 : -1;
  }
}

/** Of states that are not kept by key. */
const NO_KEYS: MovedKeys = {
  belongs: () => invariant(false, 'a state that is not kept by key asks for keys'),
  place: () => invariant(false, 'a state that is not kept by key places keys'),
  slotOf: () => invariant(false, 'a state that is not kept by key asks for slots'),
} as unknown as MovedKeys;
