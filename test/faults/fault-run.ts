// Owns one run: the schedule against the world, fault by fault, each recovered before the next begins, and what was
// measured from outside. Never judges a time. Liveness: every task commits again, or the run fails.

import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '#test/integration/oracle/until.ts';
import { longestGap, silenceAround } from './commit-times.ts';
import { type Hit, strike } from './fault-actions.ts';
import { drawSchedule, type FaultKind, type PlannedFault } from './schedule.ts';
import { BROKERS, FaultWorld, type Judgement, type WatchedTask } from './world.ts';

const LIVELY_MS = 120_000;

export interface RunOptions {
  readonly seed: number;
  readonly kills: number;
  readonly workers: number;
  readonly slots: number;
  readonly recordsPerSecond: number;
  readonly seriesCount: number;
  readonly kinds?: readonly FaultKind[] | undefined;
  readonly tell: (line: string) => void;
}

export interface StruckFault {
  readonly plan: PlannedFault;
  /** Since the load began. */
  readonly atMs: number;
  /** Of each task that was hit. */
  readonly recoveriesMs: readonly number[];
  /** Tasks that began from a checkpoint, or from entry 0, until all had recovered. */
  readonly restores: number;
}

export interface RunResult extends Judgement {
  readonly options: Omit<RunOptions, 'tell'>;
  readonly faults: readonly StruckFault[];
  readonly leftOut: readonly FaultKind[];
  readonly seconds: number;
  readonly restores: number;
  /** Time in which no row of a minute became visible: in any partition, and in the worst one. */
  readonly longestGapMs: { readonly anywhere: number; readonly partition: number };
}

export async function runFaults(options: RunOptions): Promise<RunResult> {
  const { tell, ...plain } = options;
  const schedule = drawSchedule({ ...plain, brokers: BROKERS });
  tell(`seed ${options.seed}: ${schedule.map(({ kind }) => kind).join(', ')}`);
  const world = await FaultWorld.start(options);
  try {
    const possible = schedule.filter(({ kind }) => kind !== 'disk-full' || world.hasSmallDisk);
    const faults: StruckFault[] = [];
    const startMs = performance.now();
    for (const plan of possible) faults.push(await struck(plan, world, startMs, tell));
    const endMs = performance.now();
    tell(`${seconds(endMs - startMs)} the load ends; all rows are waited for and compared`);
    const gaps = world.outputs.map(({ commits }) => longestGap(commits, startMs, endMs));
    const all = world.outputs.flatMap(({ commits }) => commits).sort((left, right) => left - right);
    const judgement = await world.judge();
    world.check();
    return {
      options: plain,
      faults,
      leftOut: [...new Set(schedule.filter((plan) => !possible.includes(plan)).map(({ kind }) => kind))],
      seconds: (endMs - startMs) / 1000,
      restores: world.workers.restores,
      longestGapMs: { anywhere: longestGap(all, startMs, endMs), partition: Math.max(...gaps) },
      ...judgement,
    };
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${world.report()}`, { cause: error });
  } finally {
    await world.end();
  }
}

async function struck(
  plan: PlannedFault,
  world: FaultWorld,
  startMs: number,
  tell: (line: string) => void,
): Promise<StruckFault> {
  await sleep(plan.calmMs);
  const restoresBefore = world.workers.restores;
  const { calmMs: _, number, kind, ...detail } = plan;
  tell(`${seconds(performance.now() - startMs)} ${number} ${kind} ${JSON.stringify(detail)}`);
  const hit = await strike(plan, world);
  const tasks = hitOf(hit, world.tasks);
  let late = '';
  const recovered = () => {
    world.check();
    const silent = world.tasks.filter(({ commits }) => silenceAround(commits, hit.atMs, hit.feltMs) === null);
    late = silent.map(({ partition, stage }) => `${stage}/${partition}`).join();
    return silent.length === 0;
  };
  await until(recovered, `every task to commit after ${kind}`, LIVELY_MS, () => `silent: ${late}`);
  const recoveriesMs = tasks.flatMap(({ commits }) => {
    const silence = silenceAround(commits, hit.atMs, hit.feltMs);
    return silence === null ? [] : [silence.toMs - (hit.fromFault ? hit.atMs : silence.fromMs)];
  });
  const restores = world.workers.restores - restoresBefore;
  tell(
    `          recovered after ${Math.round(Math.max(...recoveriesMs))} ms: ${tasks.length} tasks, ${restores} restored`,
  );
  return { plan, atMs: hit.atMs - startMs, recoveriesMs, restores };
}

function hitOf(hit: Hit, all: readonly WatchedTask[]): readonly WatchedTask[] {
  const { tasks } = hit;
  if (tasks === null) return all;
  return all.filter(({ partition, stage }) =>
    tasks.some((task) => task.stage === stage && task.partition === partition),
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(7)} s`;
}
