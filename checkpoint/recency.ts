// Owns what a page in memory carries for the swap, and the order in which pages were last used: a list through the pages
// themselves, moved at most once per page and entry. It decides nothing.

import type { SwapSpace } from '#checkpoint/page-swap.ts';

export class RecentPage {
  readonly number: number;
  /** Its state's; null when the task keeps all state in memory. */
  readonly space: SwapSpace | null;
  /** Estimated bytes it takes in memory. */
  bytes = 0;
  /** Tick of the swap when it was last used; -1 while it is not in memory's order. */
  usedAt = -1;
  /** Differs from what lies outside memory. */
  unsaved = false;
  /** Changes since `bytes` was measured, and how many of them are waited for. */
  changes = 0;
  measureAt = 1;
  newer: RecentPage | null = null;
  older: RecentPage | null = null;

  constructor(number: number, space: SwapSpace | null) {
    this.number = number;
    this.space = space;
  }
}

export class Recency {
  #newest: RecentPage | null = null;
  #oldest: RecentPage | null = null;

  get oldest(): RecentPage | null {
    return this.#oldest;
  }

  add(page: RecentPage): void {
    page.older = this.#newest;
    if (this.#newest !== null) this.#newest.newer = page;
    else this.#oldest = page;
    this.#newest = page;
  }

  remove(page: RecentPage): void {
    if (page.newer === null) this.#newest = page.older;
    else page.newer.older = page.older;
    if (page.older === null) this.#oldest = page.newer;
    else page.older.newer = page.newer;
    page.newer = null;
    page.older = null;
  }

  renew(page: RecentPage): void {
    if (page === this.#newest) return;
    this.remove(page);
    this.add(page);
  }
}
