// However many slots a job is spread over, and when that changes in the middle: where every series has one writer its
// rows are the same bytes; where it has several, a row's sum is the fold of what was exchanged, in the order of the log.

import { beforeAll, expect, test } from 'vitest';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import { decodeExchanged } from '#test/simulation/oracle/exchange-records.ts';
import { compareRows, type OutputRecord } from './oracle/comparison.ts';
import { CLOSING_METRIC, FULL_DATA_SET, midnightBefore, type Placement } from './oracle/data-set.ts';
import type { Expectation, ExpectedRow } from './oracle/rollup-oracle.ts';
import { until } from './oracle/until.ts';
import { type InProcessOptions, RollupsInProcess } from './rollups-in-process.ts';
import { outputTopics, requiredRows, Script, verdict } from './rollups-scenario.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260401);
const PARTITIONS = 8;
const SMALL = { ...FULL_DATA_SET, partitionCount: PARTITIONS, seriesCount: 240, rounds: 60 };
const STEP_RECORDS = 1_500;
const MINUTE_MS = 60_000;

type Log = 'embedded' | 'kafka';
type Declared = 'producer' | undefined;

/** Slots at the beginning, and those it is told to use between two parts of the input. */
type Course = readonly number[];

const COURSES: readonly (readonly [Log, Course])[] = [
  ['embedded', [1]],
  ['embedded', [2]],
  ['embedded', [4]],
  ['embedded', [1, 4, 2]],
  ['kafka', [1, 4, 2]],
];
const NOW_MS = Date.now();

let brokers: readonly string[];

beforeAll(async () => {
  brokers = (await sharedKafka()).brokers;
});

function scriptOf(placement: Placement): Script {
  return new Script({ ...SMALL, seed: SEED, placement, midnightMs: midnightBefore(NOW_MS), exact: false }, NOW_MS);
}

function optionsOf(log: Log, parallelism: number, partitionedBy: Declared): InProcessOptions {
  const own = { namespace: uniqueName('same'), partitionCount: PARTITIONS, parallelism };
  return { ...own, brokers: log === 'kafka' ? brokers : null, ...(partitionedBy && { partitionedBy }) };
}

async function feedAll(run: RollupsInProcess, script: Script): Promise<void> {
  while (!script.done) script.written(await run.feed(script.next(STEP_RECORDS)));
}

async function readRows(run: RollupsInProcess, expectation: Expectation): Promise<OutputRecord[]> {
  const topics = outputTopics(run.topics);
  for (const topic of topics) await run.untilRecords(topic, requiredRows(expectation, topic));
  return (await Promise.all(topics.map((topic) => run.read(topic)))).flat();
}

/** Every row whose window is over, to the byte, with its place but for the offset. */
function rowTexts(rows: readonly OutputRecord[], prefix: string): string[] {
  return rows
    .filter(({ key }) => !key?.toString().startsWith(CLOSING_METRIC))
    .map(({ topic, partition, timestampMs, key, value, headers }) => {
      const named = [...headers].map(([name, bytes]) => `${name}=${bytes.toString('hex')}`).join();
      return `${topic.slice(prefix.length)} ${partition} ${timestampMs} ${key} ${named} ${value?.toString('latin1')}`;
    })
    .sort();
}

async function rowsOfCourse(log: Log, [first, ...later]: Course, partitionedBy: Declared): Promise<string[]> {
  const run = await RollupsInProcess.start(optionsOf(log, first, partitionedBy));
  try {
    const script = scriptOf('producer');
    for (const parallelism of later) {
      script.written(await run.feed(script.next(STEP_RECORDS)));
      // Samples come in while tasks move.
      const moving = run.rescale(parallelism);
      script.written(await run.feed(script.next(STEP_RECORDS)));
      expect(await moving, 'tasks moved').toBeGreaterThan(0);
      expect(await run.slotsUsed()).toBe(parallelism);
    }
    expect(script.done, 'there is input behind the last change').toBe(false);
    await feedAll(run, script);
    const expectation = script.expectation();
    const rows = await readRows(run, expectation);
    const published = new Map(
      outputTopics(run.topics).map((name) => [name, rows.filter(({ topic }) => topic === name)]),
    );
    published.set(`${run.topics.source}.dead-letter`, await run.read(`${run.topics.source}.dead-letter`));
    const differences = verdict(expectation, run.topics, published, { rowPartitionCount: PARTITIONS });
    expect(differences === '' ? '' : `${differences}\nseed ${SEED}`).toBe('');
    return rowTexts(rows, run.topics.outputPrefix);
  } finally {
    await run.end();
  }
}

test.each<[Declared]>([[undefined], ['producer']])(
  'declared %s: the same bytes on 1, 2 and 4 slots and for changes in the middle, on either log',
  async (declared) => {
    const all: string[][] = [];
    for (const [log, course] of COURSES) all.push(await rowsOfCourse(log, course, declared));
    expect(all[0].length).toBeGreaterThan(SMALL.seriesCount * 10);
    for (const rows of all.slice(1)) expect(rows).toEqual(all[0]);
  },
  300_000,
);

test.each<[Log, Course]>([
  ['embedded', [4]],
  ['embedded', [1, 4, 2]],
  ['kafka', [1, 4, 2]],
])(
  'on the %s log, series with several writers, slots %j: sums are folds of what was exchanged',
  async (log, course) => {
    const [first, ...later] = course;
    const run = await RollupsInProcess.start(optionsOf(log, first, undefined));
    try {
      const script = scriptOf('spread');
      const exchanged = new Map<string, OutputRecord>();
      const part = STEP_RECORDS * 2;
      for (const parallelism of later) {
        script.written(await run.feed(script.next(part)));
        // Checkpoints are made when tasks move, and what is behind them is removed: it is read before.
        await untilExchanged(run, exchanged, script.expectation());
        expect(await run.rescale(parallelism), 'tasks moved').toBeGreaterThan(0);
      }
      expect(script.done, 'there is input behind the last change').toBe(false);
      await feedAll(run, script);
      const expectation = script.expectation();
      const rows = await readRows(run, expectation);
      await untilExchanged(run, exchanged, expectation);
      const records = [...exchanged.values()].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
      const folded = withSums(expectation, minuteSums(records));
      const differences = compareRows(folded, rows, { rowPartitionCount: PARTITIONS });
      expect(differences.total === 0 ? '' : `${differences}\nseed ${SEED}`).toBe('');
      expect(differing(folded, expectation), 'the order mattered').toBeGreaterThan(0);
    } finally {
      await run.end();
    }
  },
  300_000,
);

/** Until every sample is there that was fed and can be decoded, those that are not finite included. */
async function untilExchanged(
  run: RollupsInProcess,
  exchanged: Map<string, OutputRecord>,
  { counts }: Expectation,
): Promise<void> {
  const done = async () => {
    for (const record of await run.exchanged()) exchanged.set(`${record.partition}@${record.offset}`, record);
    const samples = [...exchanged.values()].flatMap((record) => samplesOf(record));
    return samples.filter(({ value }) => Number.isFinite(value)).length === counts.folded;
  };
  await until(done, `${counts.folded} samples exchanged`, 60_000);
}

function samplesOf(record: OutputRecord): ReturnType<typeof decodeExchanged>['samples'] {
  return decodeExchanged({ ...record, transaction: null }).samples;
}

/** Left folds of what was exchanged, by series and minute. */
function minuteSums(records: readonly OutputRecord[]): ReadonlyMap<string, ReadonlyMap<number, number>> {
  const sums = new Map<string, Map<number, number>>();
  for (const { series, timestampMs, value } of records.flatMap(samplesOf)) {
    if (!Number.isFinite(value)) continue;
    const minutes = sums.get(series) ?? new Map<number, number>();
    const minute = Math.floor(timestampMs / MINUTE_MS) * MINUTE_MS;
    minutes.set(minute, (minutes.get(minute) ?? 0) + value);
    sums.set(series, minutes);
  }
  return sums;
}

/** The expectation with sums of these minutes, each larger window in the order of their start. */
function withSums(expectation: Expectation, sums: ReadonlyMap<string, ReadonlyMap<number, number>>): Expectation {
  const rows = [...expectation.rows].map(([id, row]): [string, ExpectedRow] => {
    const minutes = [...(sums.get(row.series) ?? [])].sort(([a], [b]) => a - b);
    const own = minutes.filter(([minute]) => minute >= row.windowStartMs && minute < row.windowEndMs);
    return [id, { ...row, sum: own.reduce((total, [, sum]) => total + sum, 0) }];
  });
  return { ...expectation, rows: new Map(rows) };
}

function differing(one: Expectation, other: Expectation): number {
  return [...one.rows].filter(([id, { sum }]) => other.rows.get(id)?.sum !== sum).length;
}
