// Owns `npm run sim`: runs seeds until one fails, says which and how to replay it.

import { parseArgs } from 'node:util';
import { Coverage } from '#test/simulation/coverage.ts';
import { simulate } from '#test/simulation/simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    coverage: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const only = values.seed === undefined ? null : Number(values.seed);
const first = only ?? 1;
const count = only === null ? Number(values.seeds) : 1;
const tell = (timeMs: number, what: string) => console.log(`${timeMs.toFixed(1).padStart(10)} ${what}`);
const coverage = new Coverage();
let steps = 0;
const startedMs = performance.now();
for (let seed = first; seed < first + count; seed++) {
  if (values.verbose) console.log(`seed ${seed}`);
  try {
    const result = await simulate(seed, values.verbose ? tell : null);
    coverage.addAll(result.coverage);
    steps += result.steps;
    if (only !== null) console.log(`seed ${seed}: trace ${result.traceHash}, ${result.steps} steps`);
  } catch (error) {
    console.error(`seed ${seed} fails: ${error instanceof Error ? error.stack : error}`);
    console.error(`replay it: npm run sim -- --seed ${seed}`);
    process.exit(1);
  }
}
const seconds = (performance.now() - startedMs) / 1000;
if (values.coverage) console.log(coverage.toString());
console.log(`${count} seeds, ${steps} steps, ${(count / seconds).toFixed(1)} seeds/s`);
