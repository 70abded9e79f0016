// Owns a state registry for tests that keeps pages as hex and polices the contract: a page may change only after it
// was touched in the epoch, and restoring pages must give the same pages again.

import type { PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';

/** `state id#page` → hex; empty pages are absent. */
export type PageImage = ReadonlyMap<string, string>;

interface Registered {
  readonly state: PagedState;
  readonly known: Set<number>;
  readonly touched: Set<number>;
}

export class StatePages implements StateRegistry {
  readonly #states = new Map<string, Registered>();
  #epoch = 1;
  #image: Map<string, string> = new Map();

  register(state: PagedState): PageTracker {
    if (this.#states.has(state.stateId)) throw new Error(`state ${state.stateId} is registered twice`);
    const registered: Registered = { state, known: new Set(), touched: new Set() };
    this.#states.set(state.stateId, registered);
    const epoch = () => this.#epoch;
    return {
      get epoch() {
        return epoch();
      },
      touch: (page) => {
        if (!Number.isSafeInteger(page) || page < 0) throw new Error(`page ${page} of ${state.stateId} is no page`);
        if (registered.touched.has(page)) return;
        this.#expectUnchanged(state, page);
        registered.known.add(page);
        registered.touched.add(page);
      },
    };
  }

  /** All pages as they are; begins a new epoch. Fails when one changed that nobody touched. */
  snapshot(): PageImage {
    const image = new Map<string, string>();
    for (const { state, known, touched } of this.#states.values()) {
      for (const page of known) {
        if (!touched.has(page)) this.#expectUnchanged(state, page);
        const hex = pageHex(state, page);
        if (hex !== '') image.set(`${state.stateId}#${page}`, hex);
      }
      touched.clear();
    }
    this.#epoch++;
    this.#image = image;
    return image;
  }

  restore(image: PageImage): void {
    const pages = [...image].map(([id, hex]) => {
      const at = id.lastIndexOf('#');
      return { stateId: id.slice(0, at), page: Number(id.slice(at + 1)), hex };
    });
    pages.sort((left, right) => left.page - right.page);
    for (const { stateId, page, hex } of pages) {
      const registered = this.#states.get(stateId);
      if (registered === undefined) throw new Error(`nobody registered ${stateId}`);
      registered.state.readPage(page, new ByteReader(Buffer.from(hex, 'hex')));
      registered.known.add(page);
    }
    this.#image = new Map(image);
  }

  #expectUnchanged(state: PagedState, page: number): void {
    const before = this.#image.get(`${state.stateId}#${page}`) ?? '';
    if (pageHex(state, page) !== before) throw new Error(`page ${page} of ${state.stateId} changed before its touch`);
  }
}

function pageHex(state: PagedState, page: number): string {
  const out = new ByteWriter();
  state.writePage(page, out);
  return out.toBytes().toString('hex');
}
