// Rollups that go on as another generation: windows that are open, waiting panes, corrections, and partitions that were
// added to the source. Each row comes once, and the newest of each window is that of an undisturbed run.

import { describe, expect, test } from 'vitest';
import { rollups } from '#jobs/millrace.ts';
import { type JobProcess, JobWorld } from '#test/harness/job-world.ts';
import { Random } from '#test/simulation/world/random.ts';

interface Row {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly resolution: string;
  readonly window_start: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly p95: number;
  readonly revision: number;
}

const START_MS = Date.UTC(2023, 10, 14, 12);
const SERIES = 40;
const ROUNDS = 6;

function job(exchangePartitions: number) {
  return rollups({
    topic: 'raw',
    outOfOrderness: '5s',
    idleness: '1h',
    maxSkew: '300d',
    allowedLateness: '10m',
    exchangePartitions,
    outputPrefix: 'rollup',
  });
}

class RollupWorld extends JobWorld {
  #t = START_MS;

  constructor(seed: number, exchangePartitions: number, partitions: number) {
    super({ job: job(exchangePartitions), partitions: { raw: partitions }, seed });
  }

  feed(random: Random, count: number): void {
    const partitions = this.partitions['raw'];
    for (let i = 0; i < count; i++) {
      this.#t += random.int(4_000);
      const host = random.int(SERIES);
      const late = random.chance(0.1) ? random.int(300_000) : random.int(4_000);
      // Whole numbers, so that the order in which they are added up does not show.
      const sample = {
        metric_name: 'cpu',
        labels: { host: `h-${host}` },
        timestamp: this.#t - late,
        value: random.int(1000),
      };
      this.send('raw', host % partitions, sample);
    }
    for (let partition = 0; partition < partitions; partition++) {
      const labels = { host: `clock-${partition}` };
      this.send('raw', partition, { metric_name: 'up', labels, timestamp: this.#t, value: 1 });
    }
  }

  get rows(): Row[] {
    return ['1m', '5m', '1h', '1d'].flatMap((resolution) => this.output<Row>(`rollup.${resolution}`));
  }
}

function nameOfRow({ metric_name, labels, resolution, window_start }: Row): string {
  return `${metric_name} ${labels['host']} ${resolution} ${window_start}`;
}

/** The newest row of each window, without its revision. */
function newest(rows: readonly Row[]): Map<string, string> {
  const found = new Map<string, Row>();
  for (const row of rows) {
    const known = found.get(nameOfRow(row));
    if (known === undefined || known.revision < row.revision) found.set(nameOfRow(row), row);
  }
  const said = ({ count, sum, min, p95 }: Row) => `${count} ${sum} ${min} ${p95}`;
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, row]) => [name, said(row)] as const));
}

async function drained(world: RollupWorld, process: JobProcess): Promise<void> {
  await world.pass(2_500);
  await world.until(() => world.drained(process));
  await world.pass(2_500);
}

async function next(world: RollupWorld, process: JobProcess, exchangePartitions: number): Promise<JobProcess> {
  const savepoint = await world.taken(process, `s${world.generation}`);
  await world.stop(process);
  world.job = world.compile(job(exchangePartitions));
  await world.begin(savepoint);
  return world.launch();
}

/** Runs with a new generation, of so many tasks, before some of the rounds. */
async function run(seed: number, tasks: readonly (number | null)[], grow = false): Promise<Row[]> {
  const world = new RollupWorld(seed, 3, 2);
  const random = new Random(seed);
  const chance = new Random(seed + 1);
  let process = world.launch();
  for (let round = 0; round < ROUNDS; round++) {
    const exchangePartitions = tasks[round] ?? null;
    if (exchangePartitions !== null) process = await next(world, process, exchangePartitions);
    world.feed(random, 50);
    await world.pass(chance.int(800));
  }
  await drained(world, process);
  if (grow) expect(world.generation).toBeGreaterThan(0);
  return world.rows;
}

describe('rollups', () => {
  test.each([
    [1, [null, 3, 3, 3, 3, 3]],
    [2, [null, 5, null, 2, null, 4]],
    [3, [null, null, 1, null, 6, null]],
  ])(
    'that go on as other generations have the rows of an undisturbed run, each once (seed %i, tasks %j)',
    async (seed, tasks) => {
      const rows = await run(seed, tasks);
      const once = rows.map((row) => `${nameOfRow(row)} ${row.revision}`);
      expect(new Set(once).size).toBe(once.length);
      expect(rows.some(({ revision }) => revision > 0)).toBe(true);
      const undisturbed = newest(await run(seed, []));
      expect(undisturbed.size).toBeGreaterThan(100);
      expect(newest(rows)).toEqual(undisturbed);
    },
  );

  test('read partitions that were added to their source from the start, beside those they had', async () => {
    const world = new RollupWorld(4, 2, 2);
    const random = new Random(4);
    const first = world.launch();
    world.feed(random, 60);
    await world.pass(1_000);
    world.partitions['raw'] = 4;
    world.world.cluster.createPartitions('raw', 4);
    // Before anybody reads them.
    world.feed(random, 60);
    const second = await next(world, first, 3);
    world.feed(random, 60);
    await drained(world, second);
    const all = world.records('raw', (bytes) => JSON.parse(bytes.toString()));
    const starts = second.plans.filter(({ writers }) => writers === 0).map(({ origin }) => origin?.parts.length);
    expect(starts).toEqual([1, 1, 0, 0]);
    const minutes = newest(world.rows.filter(({ resolution }) => resolution === '1m'));
    const counted = [...minutes.values()].reduce((sum, said) => sum + Number(said.split(' ')[0]), 0);
    const watermarkMs = Math.max(...[...second.supervisors.values()].map((one) => one.status()?.watermarkMs ?? 0));
    const closed = all.filter(({ value }) => {
      const { timestamp } = value as { timestamp: number };
      return Math.floor(timestamp / 60_000) * 60_000 + 60_000 <= watermarkMs;
    });
    expect(counted).toBe(closed.length);
  });
});
