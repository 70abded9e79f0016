// Owns one run: the schedule against the world, fault by fault, each recovered before the next begins, and what was
// measured from outside. Never judges a time. Liveness: every task commits again, or the run fails.

import { availableParallelism, loadavg } from 'node:os';
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
  readonly overlapShare: number;
  readonly kinds?: readonly FaultKind[] | undefined;
  readonly tell: (line: string) => void;
}

export interface StruckFault {
  readonly plan: PlannedFault;
  /** Since the load began. */
  readonly atMs: number;
  /** Another one came while it lasted, or it came during another: nothing is measured. */
  readonly overlapped: boolean;
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
  /** Times mean something only where the load of the machine is below its cores. */
  readonly machine: { readonly cores: number; readonly load: readonly number[] };
  readonly restores: number;
  /** Time in which no row of a minute became visible: in any partition, and in the worst one. */
  readonly longestGapMs: { readonly anywhere: number; readonly partition: number };
}

interface Running {
  readonly world: FaultWorld;
  readonly startMs: number;
  readonly tell: (line: string) => void;
}

export async function runFaults(options: RunOptions): Promise<RunResult> {
  const { tell, ...plain } = options;
  const schedule = drawSchedule({ ...plain, brokers: BROKERS });
  tell(`seed ${options.seed}: ${schedule.map(({ kind }) => kind).join(', ')}`);
  const load = [loadavg()[0]];
  const beginsMs = performance.now();
  const world = await FaultWorld.start(options);
  try {
    tell(`${seconds(performance.now() - beginsMs)} until every task committed and the readers read`);
    const possible = schedule.filter(({ kind }) => kind !== 'disk-full' || world.hasSmallDisk);
    const faults: StruckFault[] = [];
    const startMs = performance.now();
    for (const plans of together(possible)) faults.push(...(await struck(plans, { world, startMs, tell })));
    const endMs = performance.now();
    tell(`${seconds(endMs - startMs)} the load ends; all rows are waited for and compared`);
    const gaps = world.outputs.map(({ commits }) => longestGap(commits, startMs, endMs));
    const all = world.outputs.flatMap(({ commits }) => commits).sort((left, right) => left - right);
    const judgedMs = performance.now();
    const judgement = await world.judge();
    world.check();
    tell(`${seconds(performance.now() - judgedMs)} for that`);
    load.push(loadavg()[0]);
    return {
      options: plain,
      machine: { cores: availableParallelism(), load },
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

/** Strikes, together with the next one where they overlap, and waits until every task commits again. */
async function struck(plans: readonly PlannedFault[], run: Running): Promise<StruckFault[]> {
  const { startMs, tell, world } = run;
  const restoresBefore = world.workers.restores;
  const hits: Promise<Hit>[] = [];
  for (const plan of plans) {
    const { calmMs, during, kind, number, ...detail } = plan;
    await sleep(calmMs);
    const what = `${number} ${kind} ${JSON.stringify(detail)}${during ? ' meanwhile' : ''}`;
    tell(`${seconds(performance.now() - startMs)} ${what}`);
    const hit = strike(plan, world);
    // It is awaited below, when all have struck.
    hit.catch(() => {});
    hits.push(hit);
  }
  const struckHits = await Promise.all(hits);
  const late = () => world.tasks.filter(({ commits }) => struckHits.some((hit) => silence(commits, hit) === null));
  const recovered = () => {
    world.check();
    return late().length === 0;
  };
  const silent = () => `silent: ${late().map(({ partition, stage }) => `${stage}/${partition}`)}`;
  const kinds = plans.map(({ kind }) => kind).join(' and ');
  await until(recovered, `every task to commit after ${kinds}`, LIVELY_MS, silent);
  const restores = world.workers.restores - restoresBefore;
  const overlapped = plans.length > 1;
  const all = struckHits.map((hit) => recoveries(hit, world));
  const slowestMs = Math.round(Math.max(0, ...all.flat()));
  tell(`          recovered after ${slowestMs} ms: ${all.flat().length} tasks, ${restores} restored`);
  return plans.map((plan, at) => {
    const recoveriesMs = overlapped ? [] : all[at];
    return { plan, atMs: struckHits[at].atMs - startMs, overlapped, recoveriesMs, restores: at === 0 ? restores : 0 };
  });
}

function silence(commits: readonly number[], { atMs, feltMs }: Hit) {
  return silenceAround(commits, atMs, feltMs);
}

function recoveries(hit: Hit, { tasks }: FaultWorld): readonly number[] {
  return hitOf(hit, tasks).flatMap(({ commits }) => {
    const found = silence(commits, hit);
    return found === null ? [] : [found.toMs - (hit.fromFault ? hit.atMs : found.fromMs)];
  });
}

/** Each with those that come while it lasts. */
function together(plans: readonly PlannedFault[]): PlannedFault[][] {
  const groups: PlannedFault[][] = [];
  for (const plan of plans) {
    const last = groups.at(-1);
    if (plan.during && last !== undefined) last.push(plan);
    else groups.push([plan]);
  }
  return groups;
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
