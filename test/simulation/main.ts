// Owns `npm run sim`: runs seeds until one fails, says which and how to replay it. `--seeds N` runs so many, from 1 or
// from `--seed S`; `--seed S` alone runs that one; `--verbose` tells what happens, `--coverage` how often what did.

import { parseArgs } from 'node:util';
import { Coverage } from '#test/simulation/coverage.ts';
import { simulate } from '#test/simulation/simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    coverage: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const first = Number(values.seed ?? 1);
const count = Number(values.seeds ?? (values.seed === undefined ? 1000 : 1));
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  console.error('usage: npm run sim -- [--seeds N] [--seed S] [--coverage] [--verbose]');
  process.exit(2);
}

const tell = (timeMs: number, what: string) => console.log(`${timeMs.toFixed(1).padStart(10)} ${what}`);
const coverage = new Coverage();
const startedMs = performance.now();
let steps = 0;
for (let seed = first; seed < first + count; seed++) {
  if (values.verbose) console.log(`seed ${seed}`);
  try {
    const result = await simulate(seed, { tell: values.verbose ? tell : null });
    coverage.addAll(result.coverage);
    steps += result.steps;
    if (count === 1) console.log(`seed ${seed}: trace ${result.traceHash}, ${result.steps} steps`);
  } catch (error) {
    console.error(`seed ${seed} fails: ${error instanceof Error ? error.stack : error}`);
    console.error(`replay it: npm run sim -- --seed ${seed} --verbose`);
    process.exit(1);
  }
}
const seconds = (performance.now() - startedMs) / 1000;
if (values.coverage) console.log(coverage.toString());
console.log(`${count} seeds, ${steps} steps, ${(count / seconds).toFixed(1)} seeds/s`);
