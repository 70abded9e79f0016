// Owns a state registry that forgets nothing and trusts no epoch: every page ever touched is written anew for each
// digest. The digest is made from its description, so that it can be compared with what checkpoints carry.

import { hash } from 'node:crypto';
import type { PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';

export class PageImage implements StateRegistry {
  readonly #states: { readonly state: PagedState; readonly pages: Set<number> }[] = [];
  #epoch = 1;

  register(state: PagedState): PageTracker {
    const pages = new Set<number>();
    this.#states.push({ state, pages });
    const epoch = () => this.#epoch;
    return {
      get epoch() {
        return epoch();
      },
      touch: (page) => void pages.add(page),
    };
  }

  /** Sum modulo 2^128 of the first 128 bits of the SHA-256 of every page's record. */
  digest(): string {
    this.#epoch++;
    let sum = 0n;
    const body = new ByteWriter();
    const record = new ByteWriter();
    for (const { state, pages } of this.#states) {
      for (const page of pages) {
        body.clear();
        state.writePage(page, body);
        if (body.length === 0) continue;
        record.clear();
        record.text(state.stateId);
        record.uvarint(page);
        const size = Buffer.alloc(4);
        size.writeUInt32BE(body.length);
        record.raw(size);
        record.raw(body.bytes, 0, body.length);
        const sha256 = hash('sha256', record.bytes.subarray(0, record.length));
        sum += BigInt(`0x${sha256.slice(0, 32)}`);
      }
    }
    return (sum % 2n ** 128n).toString(16).padStart(32, '0');
  }
}
