// Owns the crash-point sweep: a golden run once without a crash, then again for every request and disk operation that it
// begins, dying before and after it; and for every pair of them, of which the second counts what came behind the first.

import type { GoldenName } from '#test/simulation/golden.ts';
import type { SeedBroken, SeedKept } from '#test/simulation/seed-attempt.ts';
import type { SeedPool } from '#test/simulation/seed-pool.ts';
import { type CrashPoint, type CrashSide, pointText } from '#test/simulation/world/operations.ts';

export const SIDES: readonly CrashSide[] = ['before', 'after'];

export interface SweepResult {
  readonly golden: GoldenName;
  /** Operations of the run without a crash. */
  readonly operations: number;
  readonly runs: number;
  /** Runs in which every point was reached. */
  readonly crashed: number;
  /** The first that breaks a promise, and where it crashed. */
  readonly broken: { readonly points: readonly CrashPoint[]; readonly outcome: SeedBroken } | null;
}

/** What happens while it goes on. */
export interface SweepTold {
  /** So many more runs are to come. */
  readonly more: (runs: number) => void;
  readonly one: () => void;
}

const SILENT: SweepTold = { more: () => {}, one: () => {} };

/** Every single point; with `pairSides` every pair of points on these sides, too. */
export async function sweep(
  pool: SeedPool,
  golden: GoldenName,
  pairSides: readonly CrashSide[],
  told: SweepTold = SILENT,
): Promise<SweepResult> {
  const run = (points: readonly CrashPoint[]) => pool.run({ seed: 1, only: null, sweep: { golden, points } });
  const whole = await run([]);
  if (whole.broken) return { golden, operations: 0, runs: 1, crashed: 0, broken: { points: [], outcome: whole } };
  const totals = { runs: 1, crashed: 0 };
  const singles = pointsBetween(1, whole.operations, SIDES).map((point) => [point]);
  const first = await all(singles);
  if (first.broken !== null) return { golden, operations: whole.operations, ...totals, broken: first.broken };
  const doubles = first.kept.flatMap(({ outcome, points }) => {
    if (!pairSides.includes(points[0].side)) return [];
    return pointsBetween(points[0].operation + 1, outcome.operations, pairSides).map((point) => [...points, point]);
  });
  const second = await all(doubles);
  return { golden, operations: whole.operations, ...totals, broken: second.broken };

  async function all(lists: readonly (readonly CrashPoint[])[]) {
    told.more(lists.length);
    const kept: { readonly points: readonly CrashPoint[]; readonly outcome: SeedKept }[] = [];
    let broken: SweepResult['broken'] = null;
    let brokenAt = Number.POSITIVE_INFINITY;
    let next = 0;
    const work = async () => {
      for (let at = next++; at < lists.length && brokenAt === Number.POSITIVE_INFINITY; at = next++) {
        const points = lists[at];
        const outcome = await run(points);
        totals.runs++;
        told.one();
        if (!outcome.broken) {
          kept.push({ points, outcome });
          if (outcome.crashes === points.length) totals.crashed++;
        } else if (at < brokenAt) {
          brokenAt = at;
          broken = { points, outcome };
        }
      }
    };
    await Promise.all(Array.from({ length: pool.workers }, work));
    return { kept, broken };
  }
}

function pointsBetween(from: number, to: number, sides: readonly CrashSide[]): CrashPoint[] {
  const points: CrashPoint[] = [];
  for (let operation = from; operation <= to; operation++) {
    for (const side of sides) points.push({ operation, side });
  }
  return points;
}

export function sweepText({ broken, crashed, golden, operations, runs }: SweepResult): string {
  if (broken === null)
    return `${golden} run: ${operations} operations, ${runs} runs, ${crashed} crashed at every point`;
  const points = broken.points.map(pointText).join(',');
  const replay = `npm run sim -- --sweep --golden ${golden} --point ${points === '' ? 'none' : points}`;
  return `${golden} run breaks a promise: ${broken.outcome.stack}\nreplay it: ${replay}`;
}
