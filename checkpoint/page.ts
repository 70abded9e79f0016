// Owns the record kept of one page and of one state's pages, and the tracker that operators call. Which pages are
// changed, pending or durable is decided in page-set.ts; what is in them only the state knows.

import type { PagedState, PageTracker } from '#checkpoint/contract.ts';
import { PageHash } from '#checkpoint/page-digest.ts';
import type { StoredSegment } from '#checkpoint/stored-segment.ts';
import { invariant } from '#runtime/std/errors.ts';

export class Page {
  readonly owner: StatePages;
  readonly number: number;
  /** Epoch in which it was last touched. */
  touchedEpoch = 0;
  /** May differ from its durable version and is in no snapshot. */
  dirty = false;
  /** May have changed since `hash` was taken. */
  stale = false;
  /** Waits to be copied for the snapshot under way. */
  pending = false;
  readonly hash = new PageHash();
  /** Length of the body `hash` was taken from; 0 when it was empty. */
  sizeBytes = 0;
  /** Where its newest published version lies; null when it has none. */
  segment: StoredSegment | null = null;
  ordinal = 0;
  recordBytes = 0;

  constructor(owner: StatePages, number: number) {
    this.owner = owner;
    this.number = number;
  }
}

export class StatePages implements PageTracker {
  readonly state: PagedState;
  readonly pages = new Map<number, Page>();
  epoch: number;
  readonly #touched: (page: Page) => void;

  constructor(state: PagedState, epoch: number, touched: (page: Page) => void) {
    this.state = state;
    this.epoch = epoch;
    this.#touched = touched;
  }

  touch(number: number): void {
    const page = this.pages.get(number) ?? this.add(number);
    if (page.touchedEpoch === this.epoch) return;
    page.touchedEpoch = this.epoch;
    this.#touched(page);
  }

  add(number: number): Page {
    invariant(Number.isSafeInteger(number) && number >= 0, `state '${this.state.stateId}' touched page ${number}`);
    const page = new Page(this, number);
    this.pages.set(number, page);
    return page;
  }
}
