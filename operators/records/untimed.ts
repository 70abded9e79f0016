// Owns what operators without timers have in common: time means nothing to them, nothing fires, and unless they say
// otherwise they keep no key and hold nothing back for the end of an entry.

import type { EntryEnd } from '#runtime/task/contract.ts';

export class Untimed {
  nextBoundaryMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  nextTimerMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fire(): boolean {
    return true;
  }

  usesKey(_slot: number): boolean {
    return false;
  }

  endEntry(_end: EntryEnd): void {}

  wantsEntry(_end: EntryEnd): boolean {
    return false;
  }
}
