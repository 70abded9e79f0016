// Owns what may be said to `npm run sim`: its options, their meaning and what is refused.

import { parseArgs } from 'node:util';
import type { GoldenName } from '#test/simulation/golden.ts';
import { type CrashPoint, readPoint } from '#test/simulation/world/operations.ts';

export const HELP = `usage: npm run sim -- [options]

  --seeds N      so many seeds (default 1000)
  --from S       from this one on (default 1)
  --seed S       this one alone; with --seeds from this one on
  --only LIST    with --seed: only these of its faults happen, as crash@3,leader-moves or none
  --verbose      with --seed: what happens, and what the product says
  --coverage     how often which fault and which branch of recovery happened
  --workers N    threads that run seeds (default: one for each core)
  --json         the result as one line of JSON
  --mutants      plants every known mistake and tells which seed and which oracle finds it
  --mutant TEXT  the same with those whose names hold this
  --sweep        a small run, crashed before and after each of its requests and disk operations
  --golden NAME  with --sweep: the small run with its single points, or the tiny one with every pair (default both)
  --point LIST   with --golden: only this one, as 17-before or 17-before,44-after, and what happens

ends with 0 when every promise was kept, 1 when one was broken, 2 when it cannot be run so`;

export interface SimulationCommand {
  readonly kind: 'seeds' | 'mutants' | 'sweep';
  readonly from: number;
  /** Null: as many as are usual. */
  readonly count: number | null;
  readonly only: readonly string[] | null;
  /** Part of the names of the mistakes that are planted; null: all. */
  readonly mutant: string | null;
  /** Null: both. */
  readonly golden: GoldenName | null;
  readonly points: readonly CrashPoint[] | null;
  readonly workers: number | null;
  readonly verbose: boolean;
  readonly coverage: boolean;
  readonly json: boolean;
}

const OPTIONS = {
  seeds: { type: 'string' },
  seed: { type: 'string' },
  from: { type: 'string' },
  only: { type: 'string' },
  golden: { type: 'string' },
  point: { type: 'string' },
  mutant: { type: 'string' },
  workers: { type: 'string' },
  verbose: { type: 'boolean', default: false },
  coverage: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  mutants: { type: 'boolean', default: false },
  sweep: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** Throws an Error with one sentence when it cannot be done; 'help' when that is asked for. */
export function readCommand(args: readonly string[]): SimulationCommand | 'help' {
  const { values } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: false });
  if (values.help) return 'help';
  const { sweep, verbose } = values;
  const mutants = values.mutants || values.mutant !== undefined;
  const seed = natural('seed', values.seed);
  const from = natural('from', values.from);
  const count = natural('seeds', values.seeds);
  if (seed !== null && from !== null) throw new Error('say --seed or --from, not both');
  if (mutants && sweep) throw new Error('say --mutants or --sweep, not both');
  if ((mutants || sweep) && (seed ?? from) !== null) throw new Error('--mutants and --sweep know their own seeds');
  const alone = seed !== null && (count ?? 1) === 1;
  if ((values.only !== undefined || verbose) && !alone) throw new Error('--only and --verbose need --seed, one alone');
  const golden = values.golden ?? null;
  if (golden !== null && !sweep) throw new Error('--golden needs --sweep');
  if (golden !== null && golden !== 'small' && golden !== 'tiny') throw new Error('--golden is small or tiny');
  if (values.point !== undefined && golden === null) throw new Error('--point needs --sweep and --golden');
  return {
    kind: mutants ? 'mutants' : sweep ? 'sweep' : 'seeds',
    from: seed ?? from ?? 1,
    count: alone ? 1 : count,
    only: values.only === undefined ? null : listed(values.only),
    mutant: values.mutant ?? null,
    golden,
    points: values.point === undefined ? null : listed(values.point).map(readPoint),
    workers: natural('workers', values.workers),
    verbose,
    coverage: values.coverage,
    json: values.json,
  };
}

function natural(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number from 1, not '${text}'`);
  return value;
}

function listed(text: string): string[] {
  return text === 'none' ? [] : text.split(',').map((name) => name.trim());
}
