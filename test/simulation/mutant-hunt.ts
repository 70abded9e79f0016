// Owns the hunt for one planted mistake: seeds that found it before, then all from 1 on, until one of its oracles says
// no. What another oracle says is noted and does not count.

import { MUTANT_SEEDS } from '#test/simulation/mutant-seeds.ts';
import type { Mutant } from '#test/simulation/planting.ts';
import { workloadOf } from '#test/simulation/scenario.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';

export interface Hunted {
  readonly mutant: Mutant;
  /** Null when none of its oracles found it. */
  readonly seed: number | null;
  readonly oracle: string | null;
  readonly message: string;
  /** Seeds that were run. */
  readonly runs: number;
  /** What others said: oracle, or the beginning of what failed; and the first seed. */
  readonly others: ReadonlyMap<string, number>;
}

/** A mutant may never come to an end of its own: then nobody has found it in that seed. */
const SEED_MAX_MS = 60_000;

export async function hunt(mutant: Mutant, seedsMax: number): Promise<Hunted> {
  const pool = new SeedPool({ workers: 1, patches: mutant.patches, seedMaxMs: SEED_MAX_MS });
  const others = new Map<string, number>();
  const known = MUTANT_SEEDS[mutant.name];
  let runs = 0;
  try {
    for (let seed = known === undefined ? 1 : 0; seed <= seedsMax; seed++) {
      if (seed > 0 && mutant.workload !== undefined && workloadOf(seed) !== mutant.workload) continue;
      const outcome = await pool.run({ seed: seed === 0 ? known : seed, only: null });
      runs++;
      if (!outcome.broken) continue;
      const { message, oracle } = outcome;
      if (mutant.killedBy.some((one) => one === oracle)) {
        return { mutant, seed: outcome.seed, oracle, message: message.slice(0, 300), runs, others };
      }
      const name = oracle ?? message.slice(0, 80);
      if (!others.has(name)) others.set(name, outcome.seed);
      // What cannot be planted or loaded stays so.
      if (oracle === null && runs === 1 && /patch|never loaded/.test(message)) break;
    }
  } finally {
    await pool.close();
  }
  return { mutant, seed: null, oracle: null, message: '', runs, others };
}

/** So many at once, in their order. */
export async function huntAll(
  mutants: readonly Mutant[],
  options: { readonly seedsMax: number; readonly atOnce: number },
  told: (hunted: Hunted) => void = () => {},
): Promise<readonly Hunted[]> {
  const hunted = new Array<Hunted>(mutants.length);
  let next = 0;
  const work = async () => {
    for (let at = next++; at < mutants.length; at = next++) {
      hunted[at] = await hunt(mutants[at], options.seedsMax);
      told(hunted[at]);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, work));
  return hunted;
}

/** One line of the table: seed, oracle, mutant, what else was said. */
export function huntedText({ mutant, oracle, others, runs, seed }: Hunted): string {
  const other = [...others].map(([name, at]) => `${name} at ${at}`).join(', ');
  const found = seed === null ? `NOT FOUND in ${runs} seeds` : `${String(seed).padStart(5)}  ${oracle?.padEnd(15)}`;
  return `${found}  ${mutant.name}${other === '' ? '' : ` (before: ${other})`}`;
}
