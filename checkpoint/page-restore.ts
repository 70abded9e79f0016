// Owns the filling of empty states with the pages of a verified checkpoint, segment by segment. A state that takes its
// pages in any order gets them at once; of the others the pages are collected and given in ascending order at the end.

import type { Page, StatePages } from '#checkpoint/page.ts';
import type { LoadedPage } from '#checkpoint/restored-pages.ts';
import { ByteReader } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

interface WaitingPage {
  readonly page: number;
  readonly bytes: Buffer;
}

export interface RestoreSteps {
  /** Told of every page, before its state reads it. */
  readonly add: (page: Page, loaded: LoadedPage) => void;
  readonly done: () => void;
}

export class PageRestore {
  readonly #states: ReadonlyMap<string, StatePages>;
  /** As the checkpoint has them. */
  readonly #schemaVersions: Readonly<Record<string, number>>;
  readonly #steps: RestoreSteps;
  readonly #waiting = new Map<StatePages, WaitingPage[]>();

  constructor(
    states: ReadonlyMap<string, StatePages>,
    schemaVersions: Readonly<Record<string, number>>,
    steps: RestoreSteps,
  ) {
    this.#states = states;
    this.#schemaVersions = schemaVersions;
    this.#steps = steps;
  }

  /** Live pages of one segment; their bytes are not used after this unless `kept`. */
  take(pages: readonly LoadedPage[], kept: boolean): void {
    const copies = kept ? null : Buffer.allocUnsafeSlow(this.#orderedBytes(pages));
    let copiedBytes = 0;
    for (const loaded of pages) {
      const { record, segment, ordinal, bytes } = loaded;
      const owner = this.#states.get(record.stateId);
      // What is not read as it was written is durable nowhere: dropped, or changed.
      if (owner === undefined || this.#isOlder(owner)) segment.retire(ordinal, record.recordBytes);
      if (owner === undefined) continue;
      if (this.#isOlder(owner)) {
        this.#readOlder(owner, loaded);
        continue;
      }
      const page = owner.add(record.page);
      page.segment = segment;
      page.ordinal = ordinal;
      page.recordBytes = record.recordBytes;
      this.#steps.add(page, loaded);
      let body = bytes.subarray(record.bodyStart, record.bodyEnd);
      if (owner.state.inAnyOrder) {
        readBody(owner, record.page, body);
        continue;
      }
      if (copies !== null) {
        const from = copiedBytes;
        copiedBytes += body.copy(copies, from);
        body = copies.subarray(from, copiedBytes);
      }
      const siblings = this.#waiting.get(owner);
      if (siblings === undefined) this.#waiting.set(owner, [{ page: record.page, bytes: body }]);
      else siblings.push({ page: record.page, bytes: body });
    }
  }

  finish(): void {
    for (const owner of this.#states.values()) {
      const pages = this.#waiting.get(owner) ?? [];
      this.#waiting.delete(owner);
      pages.sort((a, b) => a.page - b.page);
      for (const { page, bytes } of pages) readBody(owner, page, bytes);
    }
    this.#steps.done();
  }

  #isOlder({ state }: StatePages): boolean {
    return this.#schemaVersions[state.stateId] !== state.schemaVersion;
  }

  #readOlder({ state }: StatePages, { record, bytes }: LoadedPage): void {
    invariant(state.readOlderPage !== undefined, `state '${state.stateId}' reads older schemas without a way to`);
    const input = new ByteReader(bytes.subarray(record.bodyStart, record.bodyEnd));
    state.readOlderPage(record.page, input, this.#schemaVersions[state.stateId]);
    invariant(input.done, `state '${state.stateId}' left bytes of page ${record.page} unread`);
  }

  #orderedBytes(pages: readonly LoadedPage[]): number {
    let sum = 0;
    for (const loaded of pages) {
      const { bodyStart, bodyEnd } = loaded.record;
      const owner = this.#states.get(loaded.record.stateId);
      if (owner !== undefined && !owner.state.inAnyOrder) sum += bodyEnd - bodyStart;
    }
    return sum;
  }
}

function readBody(owner: StatePages, page: number, bytes: Buffer): void {
  const input = new ByteReader(bytes);
  owner.state.readPage(page, input);
  invariant(input.done, `state '${owner.state.stateId}' left bytes of page ${page} unread`);
}
