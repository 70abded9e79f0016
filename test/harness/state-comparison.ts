// Owns comparing what the operators of a job keep before a clean restart with what they keep after it: a codec that
// reads something else than it wrote is seen here and nowhere else, because checkpoints compare bytes.

import { isDeepStrictEqual } from 'node:util';
import { invariant } from '#runtime/std/errors.ts';
import type { KeyLook, StageProgram } from '#runtime/task/contract.ts';
import { PAGE_KEYS_MAX, readState } from '#runtime/task/state-query.ts';

/** By operator and key. */
export type Looks = ReadonlyMap<string, KeyLook>;

export function lookAtAll(programs: readonly (StageProgram | null)[]): Looks {
  const looks = new Map<string, KeyLook>();
  for (const program of programs) {
    for (const operator of program?.keys?.keys() ?? []) {
      for (let after: string | null | undefined; after !== null; ) {
        invariant(program !== null, 'keys belong to a program');
        const page = readState(program, { operator, after, limit: PAGE_KEYS_MAX });
        for (const { key, ...look } of page?.keys ?? []) looks.set(`'${operator}' for key ${key}`, look);
        after = page?.next ?? null;
      }
    }
  }
  return looks;
}

/** Where the first difference is, null when there is none. */
export function lookDifference(before: Looks, after: Looks): string | null {
  for (const place of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(place), after.get(place)];
    const names = new Set([...Object.keys(was?.states ?? {}), ...Object.keys(is?.states ?? {})]);
    for (const name of names) {
      if (!isDeepStrictEqual(was?.states[name], is?.states[name])) return `state '${name}' of ${place}`;
    }
    if (!isDeepStrictEqual(was, is)) return `timers of ${place}`;
  }
  return null;
}
