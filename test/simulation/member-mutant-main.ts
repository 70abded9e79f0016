// Owns the child process of one mistake in how processes share tasks out: runs seeds until an oracle says no, and prints
// one line of JSON. Arguments: the mutant's name (or nothing for none), how many seeds.

import { MEMBER_MUTANTS } from '#test/simulation/member-mutants.ts';
import { plantAtLoad } from '#test/simulation/planted-load.ts';

const [name, seeds] = process.argv.slice(2);
const mutant = MEMBER_MUTANTS.find((one) => one.name === name);
if (mutant === undefined && name !== '') throw new Error(`no mutant is called '${name}'`);
const neverLoaded = plantAtLoad(mutant?.patches ?? []);
const { simulateMembers } = await import('#test/simulation/members.ts');
if (neverLoaded().length > 0) throw new Error(`never loaded: ${neverLoaded().join(', ')}`);

async function hunt(count: number) {
  for (let seed = 1; seed <= count; seed++) {
    try {
      await simulateMembers(seed);
    } catch (error) {
      const { message, oracle } = error as Error & { readonly oracle?: string };
      return { seed, oracle: oracle ?? null, message: message.slice(0, 500) };
    }
  }
  return { seed: null, oracle: null, message: '' };
}

console.log(JSON.stringify(await hunt(Number(seeds))));
process.exit(0);
