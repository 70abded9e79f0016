// Owns the workload of a keyed job of two stages whose state is larger than memory: three partitions through an exchange
// of four, pages of state that leave memory between almost any two entries.

import { integer, text } from '#checkpoint/codecs.ts';
import { migrating, versioned } from '#checkpoint/state-migration.ts';
import { compileJob } from '#jobs/compile.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import type { ProcessedStream } from '#jobs/graph.ts';
import { aggregatingState, listState, mapState, records, valueState } from '#jobs/record-words.ts';
import {
  DeviceModel,
  type DeviceNews,
  type DeviceVersion,
  SiteModel,
  type Told,
} from '#test/simulation/oracle/device-models.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { Draw, Evidence, Workload } from '#test/simulation/workloads/contract.ts';
import { drawFeed, RecordFeed } from '#test/simulation/workloads/record-feed.ts';

import { judgeRecordJob } from '#test/simulation/workloads/record-judgement.ts';
import { Random } from '#test/simulation/world/random.ts';

const TOLD = 'told';
const DEVICES = 'devices';
const SITES = 'sites';
const TALLY = 'tally';
const NEWS = 'sites.news';
const TALLIES = 'sites.tallies';
const PARTITIONS = 3;
const EXCHANGE_PARTITIONS = 4;
const SITE_COUNT = 20;
const LAST_MAX = 3;
const WORDS = ['up', 'down', 'slow', 'hot'];

/** Of the job. */
interface Version extends DeviceVersion {
  /** The count of a device is kept twice as large. */
  readonly doubled: boolean;
  readonly exchangePartitions: number;
}

interface Rules {
  readonly orderly: boolean;
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
}

export function drawDevices({ orderly, random, seed, settings }: Draw): Workload {
  const rules: Rules = { orderly, outOfOrdernessMs: 2_000, maxSkewMs: random.pick([600_000, 10_800_000]) };
  const idlenessMs = orderly ? 30_000 : random.pick([2_000, 30_000]);
  const keyTtl = random.pick(['10s', '1h']);
  const versions = drawVersions(new Random(seed * 49_157 + 53));
  const [job, ...upgrades] = versions.map(
    (one) => () => compileJob(devicesJob(rules, idlenessMs, keyTtl, one), settings),
  );
  const shape = { ...drawFeed(random, orderly, [20_000, 300_000]), recordsMax: random.pick([4, 10]) };
  const devices = random.pick([9, 90, 150]);
  return {
    name: 'devices',
    shape: 'state outside memory',
    job: job(),
    upgrades,
    sources: { [TOLD]: PARTITIONS },
    closingMs: null,
    memoryBytes: random.pick([1, 3_000, 20_000]),
    burstBytesMax: null,
    pagesMax: 80,
    begin: (world, forked) => {
      let n = 0;
      const stream = {
        topic: TOLD,
        partitions: PARTITIONS,
        record: (_at: number, partition: number) => {
          const one = forked.int(devices / PARTITIONS) * PARTITIONS + partition;
          const names = { device: `device-${one}`, site: `site-${one % SITE_COUNT}` };
          return { ...names, n: n++, word: forked.pick(WORDS), retired: forked.chance(0.1) };
        },
      };
      const feed = new RecordFeed(world, { ...rules, shape, streams: [stream] }, forked);
      return { feed, judge: (evidence) => judge(evidence, rules, versions) };
    },
  };
}

/** The first as it always was; each of the others changes something of the one before. */
function drawVersions(random: Random): Version[] {
  const versions: Version[] = [{ step: 1, doubled: false, tally: false, exchangePartitions: EXCHANGE_PARTITIONS }];
  for (const kind of random.shuffle(CHANGES)) {
    const before = versions[versions.length - 1];
    versions.push(kind(before, random));
  }
  return versions;
}

const CHANGES: readonly ((before: Version, random: Random) => Version)[] = [
  (before) => ({ ...before, step: before.step * 10 }),
  (before) => ({ ...before, doubled: true, step: before.step + 1 }),
  (before) => ({ ...before, tally: true }),
  (before) => ({ ...before, tally: false, step: before.step + 2 }),
  (before, random) => ({ ...before, exchangePartitions: random.pick([2, 3, 5]) }),
];

/** Counts as they were kept, twice. */
const DOUBLED = migrating(versioned(integer(), 2), { from: integer(), migrate: (n: number) => 2 * n });

function devicesJob(
  { maxSkewMs, outOfOrdernessMs }: Rules,
  idlenessMs: number,
  keyTtl: string,
  { doubled, exchangePartitions, step, tally }: Version,
): JobDefinition {
  const factor = doubled ? 2 : 1;
  const sum = { create: () => 0, add: (before: number, by: number) => before + by, result: (total: number) => total };
  return defineJob({
    name: 'devices',
    exchangePartitions,
    source: records<Told>({
      topic: TOLD,
      timestamp: ({ at }) => at,
      partitionedBy: 'producer',
      outOfOrderness: `${outOfOrdernessMs}ms`,
      idleness: `${idlenessMs}ms`,
      maxSkew: `${maxSkewMs}ms`,
      keyTtl,
    }),
    build: (told) => {
      const news = told
        .keyBy('by-device', ({ device }) => device)
        .process(DEVICES, {
          state: {
            count: valueState(doubled ? DOUBLED : integer()),
            last: listState(integer()),
            words: mapState(text(), integer()),
          },
          process({ device, n, retired, site, word }, { emit, state }) {
            if (retired) {
              state.count.clear();
              state.last.clear();
              state.words.clear();
              return;
            }
            const count = (state.count.get() ?? 0) / factor + step;
            state.count.set(count * factor);
            state.last.add(n);
            const last = state.last.get();
            if (last.length > LAST_MAX) state.last.set(last.slice(1));
            state.words.set(word, n);
            emit({ device, site, n, count, last: state.last.get(), words: [...state.words.entries()] });
          },
        }) as ProcessedStream<DeviceNews>;
      const sites = news.keyBy('by-site', ({ site }) => site);
      sites
        .process(SITES, {
          state: {
            told: aggregatingState(integer(), sum),
            devices: mapState(text(), integer()),
          },
          process({ count, device, n }, { emit, key, state }) {
            state.told.add(1);
            state.devices.set(device, count);
            const all = [...state.devices.entries()];
            const total = all.reduce((before, [, one]) => before + one, 0);
            emit({ site: key, n, told: state.told.get(), devices: all, sum: total });
          },
        })
        .to(topic(NEWS));
      if (!tally) return;
      sites
        .process(TALLY, {
          state: { sum: valueState(integer()) },
          process({ n }, { emit, key, state }) {
            const all = (state.sum.get() ?? 0) + n;
            state.sum.set(all);
            emit({ site: key, n, tally: all });
          },
        })
        .to(topic(TALLIES));
    },
  });
}

function judge(evidence: Evidence, rules: Rules, versions: readonly Version[]): void {
  judgeRecordJob(evidence, {
    rules: { [TOLD]: rules },
    exchanges: { [SITES]: [DEVICES] },
    topics: evidence.partitionCount(TALLIES) === null ? [NEWS] : [NEWS, TALLIES],
    lateTopics: [],
    modelOf: (stage) =>
      stage === DEVICES ? new DeviceModel(SITES, LAST_MAX, versions) : new SiteModel(NEWS, TALLIES, versions),
  });
  if (rules.orderly && evidence.complete) judgePlaces(evidence);
}

/** Without any commit log: of each device that told something each number came out once, in the order it went in. */
function judgePlaces(evidence: Evidence): void {
  const expected = new Set<number>();
  for (const { input, plan } of evidence.tasks) {
    if (plan.input.internal) continue;
    for (const { value } of input) {
      const [told, n] = [/"retired":false/.test(String(value)), /"n":(\d+)/.exec(String(value))?.[1]];
      if (told && n !== undefined) expected.add(Number(n));
    }
  }
  for (const { value } of evidence.lineage(NEWS)) {
    const { n } = JSON.parse(String(value));
    require(expected.delete(n), 'order-free-rows', () => `${n} was never told, or came out twice`);
  }
  for (const n of expected) require(false, 'order-free-rows', () => `${n} was told and did not come out`);
}
