// Owns making the list of faults of a broken seed smaller (delta debugging, A. Zeller and R. Hildebrandt 2002): first by
// kinds, then one by one, until no part of it breaks the same promise or the time is over.

import type { SeedBroken } from '#test/simulation/seed-attempt.ts';
import type { SeedPool } from '#test/simulation/seed-pool.ts';

/** The first of the candidates that breaks, null when none does. */
export type FirstBroken = (candidates: readonly (readonly string[])[]) => Promise<readonly string[] | null>;

/** A part of `items` that breaks and of which no smaller part that was tried does; `items` must break. */
export async function smallestPart(items: readonly string[], first: FirstBroken): Promise<readonly string[]> {
  if (items.length > 0 && (await first([[]])) !== null) return [];
  let list = items;
  for (let parts = 2; list.length > 1; ) {
    const size = Math.ceil(list.length / parts);
    const starts = Array.from({ length: Math.ceil(list.length / size) }, (_, i) => i * size);
    const chunks = starts.map((from) => list.slice(from, from + size));
    // With two parts one is the other's rest.
    const rests = chunks.length > 2 ? starts.map((from) => [...list.slice(0, from), ...list.slice(from + size)]) : [];
    const chunk = await first(chunks);
    const found = chunk ?? (await first(rests));
    if (found !== null) {
      list = found;
      parts = chunk === null ? Math.max(parts - 1, 2) : 2;
    } else if (size === 1) break;
    else parts = Math.min(parts * 2, list.length);
  }
  return list;
}

export interface SmallerFaults {
  /** Kinds or single faults; with exactly these the seed breaks the same promise. */
  readonly only: readonly string[];
  readonly runs: number;
  /** The time was over before all was tried. */
  readonly cut: boolean;
}

/** Null when the seed does not break again with what happened in it. */
export async function smallerFaults(
  pool: SeedPool,
  broken: SeedBroken,
  withinMs: number,
): Promise<SmallerFaults | null> {
  const deadlineMs = performance.now() + withinMs;
  let runs = 0;
  let cut = false;
  let last: SeedBroken = broken;
  const first: FirstBroken = async (candidates) => {
    for (let at = 0; at < candidates.length; at += pool.workers) {
      if (performance.now() > deadlineMs) {
        cut = true;
        return null;
      }
      const some = candidates.slice(at, at + pool.workers);
      const outcomes = await Promise.all(some.map((only) => pool.run({ seed: broken.seed, only })));
      runs += some.length;
      const found = outcomes.findIndex((one) => one.broken && isSame(one, broken));
      if (found < 0) continue;
      last = outcomes[found] as SeedBroken;
      return some[found];
    }
    return null;
  };
  const kinds = [...new Set(broken.happened.map((name) => name.slice(0, name.indexOf('@'))))];
  if ((await first([kinds])) === null) return null;
  const fewKinds = await smallestPart(kinds, first);
  if (fewKinds.length === 0) return { only: [], runs, cut };
  // Of the run with so few kinds.
  await first([fewKinds]);
  const single = [...last.happened];
  if ((await first([single])) === null) return { only: fewKinds, runs, cut };
  const few = await smallestPart(single, first);
  // Out of time a few kinds say more than many single faults.
  return { only: cut && few.length > fewKinds.length ? fewKinds : few, runs, cut };
}

function isSame(one: SeedBroken, other: SeedBroken): boolean {
  if (one.oracle !== null || other.oracle !== null) return one.oracle === other.oracle;
  return one.message.slice(0, 40) === other.message.slice(0, 40);
}
