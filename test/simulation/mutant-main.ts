// Owns the child process of one mutant: patches the product's source as it is loaded, runs seeds until an oracle says
// no, and prints one line of JSON. Arguments: the mutant's name (or nothing for
// none), the first seed, how many seeds.

import { registerHooks } from 'node:module';
import { MUTANTS } from '#test/simulation/mutants.ts';
import { type Mutant, plant } from '#test/simulation/planting.ts';

export interface MutantResult {
  /** Null when no seed found it. */
  readonly seed: number | null;
  /** Null when something else than an oracle failed. */
  readonly oracle: string | null;
  readonly message: string;
  readonly seeds: number;
}

const ROOT = new URL('../../', import.meta.url).href;

const [name, firstSeed, seeds] = process.argv.slice(2);
const none: Mutant = { name: '', patches: [], killedBy: [] };
const mutant = name === none.name ? none : MUTANTS.find((one) => one.name === name);
if (mutant === undefined) throw new Error(`no mutant is called '${name}'`);
const unused = new Set(mutant.patches);
registerHooks({
  load(url, context, nextLoad) {
    const result = nextLoad(url, context);
    const own = mutant.patches.filter(({ file }) => url === ROOT + file);
    if (own.length === 0) return result;
    let source = String(result.source);
    for (const patch of own) {
      source = plant(source, patch);
      unused.delete(patch);
    }
    return { ...result, source };
  },
});
const { simulate } = await import('#test/simulation/simulation.ts');
const { workloadOf } = await import('#test/simulation/scenario.ts');
const left = [...unused].map(({ file }) => file);
if (left.length > 0) throw new Error(`never loaded: ${left.join(', ')}`);

async function hunt(first: number, count: number): Promise<MutantResult> {
  for (let seed = first; seed < first + count; seed++) {
    if (mutant?.workload !== undefined && workloadOf(seed) !== mutant.workload) continue;
    try {
      await simulate(seed);
    } catch (error) {
      const { message, oracle } = error as Error & { readonly oracle?: string };
      return { seed, oracle: oracle ?? null, message: message.slice(0, 500), seeds: seed - first + 1 };
    }
  }
  return { seed: null, oracle: null, message: '', seeds: count };
}

console.log(JSON.stringify(await hunt(Number(firstSeed), Number(seeds))));
process.exit(0);
