// Owns the workload of the shipped writer into time-series databases: raw samples or rollup rows, as they come or when
// they are final, to a database that fails in every way it can.

import { compileJob } from '#jobs/compile.ts';
import tsdbWriter from '#jobs/tsdb-writer.ts';
import { lastEntry } from '#test/simulation/oracle/archive.ts';
import { WriterModel, type WriterRules } from '#test/simulation/oracle/writer-model.ts';
import type { Draw, Scene, Workload } from '#test/simulation/workloads/contract.ts';
import { drawFeed, type FeedShape, RecordFeed } from '#test/simulation/workloads/record-feed.ts';
import { type Connection, judgeWriter, type WriterJob } from '#test/simulation/workloads/writer-judgement.ts';
import { Database, drawDatabaseFaults, type Veil, WELL } from '#test/simulation/world/database.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { Inhabitant, World } from '#test/simulation/world/world.ts';

const PARTITIONS = 2;
const SERIES = 6;
const WINDOW_MS = 10_000;
/** More than clocks jump, less than a day: whether a record is ahead of the clock depends on no clock that jumps. */
const MAX_SKEW_MS = 10_800_000;
const BROKEN = ['', '{', 'null and more', '{"at":"soon"}', '{"at":1.5}', '{"at":9e15}'];

export function drawWriter({ clockJumps, orderly, random, settings }: Draw): Workload {
  const rows = random.chance(0.4);
  const final = random.chance(0.5);
  const corrections = random.pick(['wait', 'drop'] as const);
  const latenessMs = rows && corrections === 'wait' ? random.pick([0, 20_000]) : 0;
  const rules: WriterRules = { rows, hold: final ? { latenessMs, corrections } : null };
  const outOfOrdernessMs = random.pick([0, 2_000, 5_000]);
  const idlenessMs = orderly ? 30_000 : random.pick([1_000, 2_000, 30_000]);
  const name = rows ? 'rows' : 'samples';
  const bound = `${outOfOrdernessMs}ms`;
  const compiled = compileJob(
    tsdbWriter({
      rollups: rows ? [name] : false,
      raw: rows
        ? false
        : { topic: name, outOfOrderness: bound, maxSkew: `${MAX_SKEW_MS}ms`, idleness: `${idlenessMs}ms` },
      outOfOrderness: bound,
      idleness: `${idlenessMs}ms`,
      targets: [
        {
          name: 'db',
          url: 'http://database/api/v1/write',
          mode: final ? 'final' : 'replaceable',
          ...(final && rows ? { corrections, ...(latenessMs > 0 ? { lateness: `${latenessMs}ms` } : {}) } : {}),
          requestSamplesMax: random.pick([1, 3, 50]),
        },
      ],
    }),
    settings,
  );
  const maxSkewMs = rows ? 600_000 : MAX_SKEW_MS;
  const job: WriterJob = { topic: name, rules, outOfOrdernessMs, maxSkewMs, skewByEntryBefore: true };
  const drawn = drawFeed(random, orderly || final, rows ? [60_000, 120_000] : [20_000, 60_000]);
  const shape = { ...drawn, lateShare: orderly ? 0 : random.pick([0, 0.1]), futureShare: 0 };
  return {
    name: 'writer',
    shape: `${final ? 'final' : 'replaceable'} ${name}`,
    job: compiled,
    upgrades: [],
    sources: { [name]: PARTITIONS },
    closingMs: null,
    memoryBytes: null,
    burstBytesMax: null,
    pagesMax: 20,
    begin: (world, forked) => new WriterScene(world, forked, job, { ...shape, clockJumps, orderly: orderly || final }),
  };
}

interface WriterShape extends FeedShape {
  readonly orderly: boolean;
  readonly clockJumps: boolean;
}

class WriterScene implements Scene {
  readonly feed: RecordFeed;
  readonly #database: Database;
  readonly #connections: Connection[] = [];
  readonly #world: World;
  readonly #job: WriterJob;

  constructor(world: World, random: Random, job: WriterJob, shape: WriterShape) {
    const { orderly } = shape;
    const { outOfOrdernessMs, rules, topic } = job;
    let n = 0;
    const next = (at: number, partition: number) => {
      const labels = labelsOf(random.int(SERIES / PARTITIONS) * PARTITIONS + partition);
      return rules.rows
        ? rowText(at, n++, labels, random)
        : { metric_name: 'm', timestamp: at, value: n++ / 64, labels };
    };
    const stream = { topic, partitions: PARTITIONS, record: next };
    const options = { shape, orderly, outOfOrdernessMs, streams: [stream], broken: BROKEN };
    this.feed = new RecordFeed(world, options, random);
    this.#world = world;
    this.#job = job;
    const refused = random.pick([null, 'one', 'one', 'p99']);
    const refuses = (series: string) => {
      if (refused === 'p99' && rules.rows) return series.startsWith('m:10s:p99{host="h-1"');
      return refused !== null && series.includes('host="h-2"');
    };
    this.#database = new Database(random.fork(), drawDatabaseFaults(random), () => world.scheduler.nowMs, refuses);
    this.#database.datesAsked = !shape.clockJumps;
    this.#job = { ...job, refuses };
    for (let times = random.pick([0, 0, 1, 2]); times > 0; times--) this.#hide(random);
  }

  #hide(random: Random): void {
    const { scheduler } = this.#world;
    const veil = random.pick<Veil>(['down', 'refuses-all', 'page']);
    const forMs = random.between(500, 20_000);
    scheduler.schedule(random.float() * 15_000, 'database hides', null, () => {
      if (!random.occurrences.happens(`database-${veil}`)) return;
      this.#database.veil = veil;
      scheduler.schedule(forMs, 'database is back', null, () => {
        this.#database.veil = null;
      });
    });
  }

  connect({ process }: Inhabitant, isOwner: () => boolean): ReturnType<NonNullable<Scene['connect']>> {
    return () => {
      // A process that was replaced meanwhile may have read the log before that.
      this.#connections.push({ committed: isOwner() ? this.#committed() : [] });
      return this.#database.connect(process, isOwner);
    };
  }

  /** Number of the last entry of each task that the log shows now. */
  #committed(): number[] {
    const { cluster } = this.#world;
    const name = [...cluster.topics.keys()].find((topic) => topic.includes('.commits.'))!;
    return Array.from({ length: PARTITIONS }, (_, partition) =>
      Number(lastEntry(this.#world, name, partition)?.['number'] ?? -1),
    );
  }

  heal(): void {
    this.#database.faults = WELL;
    this.#database.veil = null;
  }

  judge(evidence: Parameters<Scene['judge']>[0]): void {
    const { counts, taken, turnedAway } = this.#database;
    for (const [name, count] of Object.entries(counts)) evidence.coverage.add(`database: ${name}`, count);
    const models = evidence.tasks.map(() => new WriterModel(this.#job.rules));
    judgeWriter(evidence, this.#job, { models, taken, turnedAway, connections: this.#connections });
  }
}

function labelsOf(series: number): Readonly<Record<string, string>> {
  // Prometheus has no label of such a name.
  return { host: `h-${series}`, ...(series === 5 ? { 'bad-name': 'x' } : {}) };
}

function rowText(at: number, n: number, labels: Readonly<Record<string, string>>, random: Random): object {
  const window_start = Math.floor(at / WINDOW_MS) * WINDOW_MS;
  const numbers = {
    count: n + 1,
    sum: n + 0.25,
    min: n - 0.5,
    max: n + 0.5,
    avg: n + 0.125,
    p50: n,
    p95: n,
    p99: n + 0.75,
  };
  return {
    metric_name: 'm',
    labels,
    resolution: '10s',
    window_start,
    window_end: window_start + WINDOW_MS,
    ...numbers,
    ...(random.chance(0.1) ? { sum: null } : {}),
    run: 0,
    revision: random.int(3),
  };
}
