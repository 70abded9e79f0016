// Owns a key table for tests: the slot of a key is the order in which its name was first said.

import type { KeyTable } from '#runtime/task/contract.ts';

export class KeyNames implements KeyTable {
  readonly names: string[] = [];

  get slotCount(): number {
    return this.names.length;
  }

  slotOf(name: string): number {
    const known = this.names.indexOf(name);
    return known >= 0 ? known : this.names.push(name) - 1;
  }

  canonicalBytes(slot: number): Buffer {
    return Buffer.from(this.names[slot]);
  }

  hash(slot: number): number {
    return slot;
  }

  jsonBytes(): Buffer {
    throw new Error('these keys are no series');
  }

  metricName(slot: number): string {
    return this.names[slot];
  }

  labels(): [] {
    return [];
  }
}
