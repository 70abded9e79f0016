// Owns `npm run sim`: what it says while it works and in the end. `--help` tells what it can be asked for.

import { availableParallelism } from 'node:os';
import { Coverage } from '#test/simulation/coverage.ts';
import { coverageText, missing } from '#test/simulation/must-happen.ts';
import { huntAll, huntedText } from '#test/simulation/mutant-hunt.ts';
import { MUTANTS } from '#test/simulation/mutants.ts';
import { HELP, readCommand, type SimulationCommand } from '#test/simulation/options.ts';
import { Progress } from '#test/simulation/progress.ts';
import { attemptSeed, type SeedBroken, type SeedOutcome } from '#test/simulation/seed-attempt.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';
import { smallerFaults } from '#test/simulation/smaller-faults.ts';
import { SIDES, type SweepResult, sweep, sweepText } from '#test/simulation/sweep.ts';

const SEEDS = 1000;
/** So many seeds must have met every fault and every branch of recovery. */
const EVERYTHING_SEEDS = 5_000;
const MUTANT_SEEDS_MAX = 2_000;
const SMALLER_MS = 60_000;
const KEPT = 0;
const BROKEN = 1;
const REFUSED = 2;

type Say = (line: string) => void;

async function runSeeds(command: SimulationCommand, say: Say): Promise<number> {
  const { from } = command;
  const count = command.count ?? SEEDS;
  const pool = new SeedPool({ workers: command.workers ?? undefined });
  const progress = new Progress('seeds', count);
  const coverage = new Coverage();
  let steps = 0;
  let done = 0;
  const startedMs = performance.now();
  const seeds = Array.from({ length: count }, (_, i) => from + i);
  const broken = await pool.runAll(seeds, (outcome) => {
    progress.one();
    done++;
    if (outcome.broken) return;
    coverage.addAll(outcome.counts);
    steps += outcome.steps;
  });
  progress.end();
  const seconds = (performance.now() - startedMs) / 1000;
  const only = broken === null ? null : await tellBroken(broken, pool, say);
  await pool.close();
  const lacking = count < EVERYTHING_SEEDS || broken !== null ? [] : missing(coverage);
  if (command.coverage) say(coverageText(coverage));
  say(
    `${done} seeds, ${steps} steps, ${coverage.get('rows')} rows, ${coverage.get('states compared')} states compared`,
  );
  say(`${seconds.toFixed(1)} s, ${(done / seconds).toFixed(1)} seeds/s in ${pool.workers} workers`);
  if (lacking.length > 0) say(`never happened: ${lacking.join(', ')}`);
  if (command.json) {
    const counts = Object.fromEntries([...coverage.counts].sort());
    console.log(JSON.stringify({ from, count, done, steps, seconds, broken, only, lacking, counts }));
  }
  return broken === null && lacking.length === 0 ? KEPT : BROKEN;
}

/** One line to replay it, with as few faults as can be found; gives those. */
async function tellBroken(broken: SeedBroken, pool: SeedPool, say: Say): Promise<readonly string[] | null> {
  const { happened, seed } = broken;
  say(`seed ${seed} breaks a promise: ${broken.stack}`);
  say(`replay it: npm run sim -- --seed ${seed} --verbose`);
  say(`${happened.length} faults happened; looking for fewer, for at most ${SMALLER_MS / 1000} s`);
  const smaller = await smallerFaults(pool, broken, SMALLER_MS);
  if (smaller === null) {
    say('with the same faults it kept every promise: something else than the seed decides what it does');
    return null;
  }
  const { cut, only, runs } = smaller;
  const list = only.length === 0 ? 'none' : only.join(',');
  say(`${only.length} of them do (${runs} runs${cut ? ', out of time' : ''}):`);
  say(`npm run sim -- --seed ${seed} --only ${list}`);
  return only;
}

async function runOne(command: SimulationCommand, say: Say): Promise<number> {
  const { from: seed, only } = command;
  const tell = (timeMs: number, what: string) => say(`${timeMs.toFixed(1).padStart(10)} ${what}`);
  const outcome = await attemptSeed({ seed, only }, command.verbose ? tell : null);
  const absent = only?.filter((name) => !outcome.happened.some((one) => one === name || one.startsWith(`${name}@`)));
  if (absent !== undefined && absent.length > 0) say(`did not happen: ${absent.join(', ')}`);
  if (command.json) console.log(JSON.stringify(plainOutcome(outcome)));
  if (!outcome.broken) {
    const coverage = new Coverage();
    coverage.addAll(outcome.counts);
    if (command.coverage) say(coverageText(coverage));
    say(`seed ${seed}: trace ${outcome.traceHash}, ${outcome.steps} steps, ${outcome.happened.length} faults`);
    return KEPT;
  }
  if (only !== null || command.verbose) say(`seed ${seed} breaks a promise: ${outcome.stack}`);
  else {
    const pool = new SeedPool({ workers: command.workers ?? undefined });
    await tellBroken(outcome, pool, say);
    await pool.close();
  }
  return BROKEN;
}

async function runMutants(command: SimulationCommand, say: Say): Promise<number> {
  const options = { seedsMax: command.count ?? MUTANT_SEEDS_MAX, atOnce: command.workers ?? availableParallelism() };
  const startedMs = performance.now();
  const named = MUTANTS.filter(({ name }) => name.includes(command.mutant ?? ''));
  const hunted = await huntAll(named, options, (one) => say(huntedText(one)));
  const lost = hunted.filter(({ seed }) => seed === null);
  const seeds = hunted.reduce((sum, { runs }) => sum + runs, 0);
  const seconds = (performance.now() - startedMs) / 1000;
  say(`${hunted.length - lost.length} of ${hunted.length} mistakes found, ${seeds} seeds, ${seconds.toFixed(0)} s`);
  if (command.json) {
    const table = hunted.map(({ mutant: { name }, oracle, others, seed, runs }) => {
      return { name, seed, oracle, runs, others: Object.fromEntries(others) };
    });
    console.log(JSON.stringify({ mutants: table, seconds }));
  }
  return lost.length === 0 ? KEPT : BROKEN;
}

async function runSweep(command: SimulationCommand, say: Say): Promise<number> {
  if (command.points !== null) return await runPoints(command, say);
  const pool = new SeedPool({ workers: command.workers ?? undefined });
  const results: SweepResult[] = [];
  for (const golden of command.golden === null ? (['small', 'tiny'] as const) : [command.golden]) {
    let progress = new Progress('runs', 1);
    const told = {
      more: (runs: number) => {
        progress = new Progress('runs', runs);
      },
      one: () => progress.one(),
    };
    results.push(await sweep(pool, golden, golden === 'tiny' ? SIDES : [], told));
    progress.end();
    say(sweepText(results[results.length - 1]));
  }
  await pool.close();
  if (command.json) console.log(JSON.stringify(results));
  return results.every(({ broken }) => broken === null) ? KEPT : BROKEN;
}

async function runPoints(command: SimulationCommand, say: Say): Promise<number> {
  const { golden, points } = command;
  const tell = (timeMs: number, what: string) => say(`${timeMs.toFixed(1).padStart(10)} ${what}`);
  const order = { seed: 1, only: null, sweep: { golden: golden ?? 'small', points: points ?? [] } };
  const outcome = await attemptSeed(order, tell);
  if (outcome.broken) say(outcome.stack);
  else say(`${outcome.operations} operations, ${outcome.crashes} crashes: every promise kept`);
  if (command.json) console.log(JSON.stringify(plainOutcome(outcome)));
  return outcome.broken ? BROKEN : KEPT;
}

function plainOutcome(outcome: SeedOutcome): object {
  return outcome.broken ? outcome : { ...outcome, counts: Object.fromEntries([...outcome.counts].sort()) };
}

async function main(): Promise<number> {
  let command: SimulationCommand | 'help';
  try {
    command = readCommand(process.argv.slice(2));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`);
    return REFUSED;
  }
  if (command === 'help') {
    console.log(HELP);
    return KEPT;
  }
  const say: Say = command.json ? (line) => console.error(line) : (line) => console.log(line);
  if (command.kind === 'mutants') return await runMutants(command, say);
  if (command.kind === 'sweep') return await runSweep(command, say);
  if (command.count === 1) return await runOne(command, say);
  return await runSeeds(command, say);
}

process.exitCode = await main();
