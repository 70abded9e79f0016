// Input that nobody should send, on both logs: each sample ends in a row, is counted as not finite, or lies in the
// dead-letter topic as it came; its neighbours are unharmed. What the job was told to refuse stops it with a remedy.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import type { OutputRecord } from './oracle/comparison.ts';
import { type DataRecord, midnightBefore } from './oracle/data-set.ts';
import { KafkaFeed } from './oracle/kafka-feed.ts';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import { Installation } from './process-harness.ts';
import { refusalOf, USER_VIEW } from './refusal.ts';
import { finishWork, withLog } from './rollups-embedded-log.ts';

const MIB = 1024 * 1024;
const START_MS = midnightBefore(Date.now()) - 86_400_000;
const BIG_COUNT = 50_000;
const YEAR_3000_MS = Date.UTC(3000, 0, 1);

function sample(labels: string, value: string, timestampMs = START_MS): string {
  return `{"metric_name":"m","timestamp":${timestampMs},"value":${value},"labels":${labels}}`;
}

const GARBAGE = Buffer.alloc(5 * MIB, 'not JSON ');
const LONG_LABEL = Buffer.from(sample(`{"h":"${'x'.repeat(5 * MIB)}"}`, '1'));
const FUTURE = Buffer.from(sample('{"h":"a"}', '7', YEAR_3000_MS));
const NOT_FINITE = ['"NaN"', '"+Inf"', '"-Inf"', 'null'];
const INPUT: readonly Buffer[] = [
  Buffer.from(sample('{"h":"a"}', '1')),
  FUTURE,
  ...NOT_FINITE.map((value) => Buffer.from(sample('{"h":"a"}', value))),
  Buffer.from(sample('{"__proto__":"x","constructor":"y"}', '2')),
  Buffer.from(sample('{}', '3')),
  Buffer.from(sample('{"h":"","__proto__":""}', '4')),
  GARBAGE,
  Buffer.from(`[${Array.from({ length: BIG_COUNT }, () => sample('{"h":"big","pad":"0123456789012345678"}', '5'))}]`),
  LONG_LABEL,
  Buffer.from(sample('{"h":"a"}', '6')),
  // Closes every window.
  Buffer.from(sample('{"closing":"1"}', '1', START_MS + 86_400_000 + 3_600_000)),
];
const ROWS = {
  m: { labels: {}, count: 2, sum: 7 },
  'm{__proto__="x",constructor="y"}': { labels: JSON.parse('{"__proto__":"x","constructor":"y"}'), count: 1, sum: 2 },
  'm{h="a"}': { labels: { h: 'a' }, count: 2, sum: 7 },
  'm{h="big",pad="0123456789012345678"}': {
    labels: { h: 'big', pad: '0123456789012345678' },
    count: BIG_COUNT,
    sum: BIG_COUNT * 5,
  },
};
const LETTERS: readonly { readonly code: string; readonly value: Buffer; readonly message: RegExp }[] = [
  { code: 'timestamp-ahead', value: FUTURE, message: /timestamp/ },
  { code: 'json-invalid', value: GARBAGE, message: /JSON/ },
  { code: 'sample-invalid', value: LONG_LABEL, message: /./ },
];

interface Names {
  readonly source: string;
  readonly rollup: string;
}

type Feed = Pick<LogFeed, 'write' | 'close'>;

async function write(
  client: LogClient,
  source: string,
  values: readonly Buffer[],
  open: () => Promise<Feed> = () => LogFeed.open(client, source, 1),
): Promise<void> {
  await client.admin.createTopics([
    { topic: source, partitionCount: 1, config: { 'max.message.bytes': String(6 * MIB), 'retention.ms': '-1' } },
  ]);
  const feed = await open();
  for (const value of values) {
    const intent = { finite: 0, notFinite: 0, bad: 0 };
    const record: DataRecord = { partition: 0, key: null, value, headers: [], timestampMs: START_MS, intent };
    await feed.write([record]);
  }
  await feed.close();
}

async function judge(client: LogClient, { source, rollup }: Names): Promise<void> {
  for (const resolution of ['1m', '5m', '1h', '1d']) {
    const rows = await readTopic(client, `${rollup}.${resolution}`);
    const byKey = rows.map(({ key, value }) => [`${key}`, value === null ? null : pick(JSON.parse(`${value}`))]);
    expect(byKey.length, resolution).toBe(Object.keys(ROWS).length);
    expect(Object.fromEntries(byKey), resolution).toEqual(ROWS);
  }
  expect(await readTopic(client, `${source}.late`)).toEqual([]);
  const letters = await readTopic(client, `${source}.dead-letter`);
  expect(letters.map((letter) => header(letter, 'error-code'))).toEqual(LETTERS.map(({ code }) => code));
  for (const [index, { value, message }] of LETTERS.entries()) {
    // Not compared by the test library: a difference of 5 MB would be printed.
    expect(letters[index].value?.equals(value), `dead letter ${index} as it came`).toBe(true);
    expect(header(letters[index], 'error-message')).toMatch(message);
    expect(header(letters[index], 'source-topic')).toBe(source);
    expect(header(letters[index], 'source-offset')).toMatch(/^\d+$/);
  }
}

/** What the process said that it counted, of all its tasks together. */
function setAside(lines: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of lines.filter((one) => one.includes('that enter no result'))) {
    for (const [name, value] of Object.entries(JSON.parse(line))) {
      if (typeof value === 'number') counts[name] = (counts[name] ?? 0) + value;
    }
  }
  return counts;
}

function pick({ labels, count, sum }: { labels: object; count: number; sum: number }) {
  return { labels, count, sum };
}

function header(record: OutputRecord, name: string): string {
  return `${record.headers.get(name)}`;
}

function installationOn(
  names: Names,
  more: Readonly<Record<string, unknown>>,
  kafka?: { readonly brokers: readonly string[]; readonly namespace: string },
): Promise<Installation> {
  const options = { topic: names.source, outputPrefix: names.rollup, ...more };
  return Installation.create({ ...kafka, jobs: { rollups: { module: 'jobs/rollups.ts', options } }, env: USER_VIEW });
}

test('bad and odd samples on the embedded log', async () => {
  const names = { source: 'metrics.raw', rollup: 'metrics.rollup' };
  const installation = await installationOn(names, {});
  try {
    await withLog(installation, (client) => write(client, names.source, INPUT));
    const product = installation.start();
    await finishWork(product, installation);
    expect(setAside(product.lines)).toEqual({ 'not-finite': NOT_FINITE.length, 'dead-letter': LETTERS.length });
    await withLog(installation, (client) => judge(client, names));
  } finally {
    await installation.remove();
  }
}, 60_000);

test.each([
  {
    what: "badRecords: 'fail'",
    options: { badRecords: 'fail' },
    says: /^job rollups: source 'samples': record at metrics\.raw\/0 offset 1 is bad: .*timestamp/,
    remedy: /^repair the producer, or set badRecords to 'dead-letter' or 'skip'$/,
  },
  {
    what: 'seriesMax',
    options: { seriesMax: 2, partitionedBy: 'producer' },
    says: /^job rollups: series table samples\/series holds 2 live series, and '\S+' is one more$/,
    remedy: /seriesMax/,
  },
])(
  '$what stops the job with a remedy and publishes nothing',
  async ({ options, says, remedy }) => {
    const names = { source: 'metrics.raw', rollup: 'metrics.rollup' };
    const installation = await installationOn(names, options);
    try {
      await withLog(installation, (client) =>
        write(
          client,
          names.source,
          INPUT.filter((value) => value.length < MIB),
        ),
      );
      const refusal = await refusalOf(installation.start());
      expect(refusal).toMatchObject({ code: 1, stack: [], what: [expect.stringMatching(says)] });
      expect(refusal.remedies).toEqual([expect.stringMatching(remedy)]);
      await withLog(installation, async (client) => {
        expect(await readTopic(client, 'metrics.rollup.1m')).toEqual([]);
      });
    } finally {
      await installation.remove();
    }
  },
  60_000,
);

let kafka: LogClient;
let brokers: string[];

beforeAll(async () => {
  ({ brokers } = await sharedKafka());
  kafka = connectKafka({ brokers, clientId: 'test', clock: systemClock });
});
afterAll(() => kafka?.close());

test('bad and odd samples on Kafka, and rows that their topic does not take', async () => {
  const namespace = uniqueName('input');
  const names = { source: `${namespace}.raw`, rollup: `${namespace}.rollup` };
  const installation = await installationOn(names, {}, { brokers, namespace });
  try {
    await write(kafka, names.source, INPUT, () => KafkaFeed.open(brokers, names.source, 1));
    const tooSmall = { topic: `${names.rollup}.5m`, partitionCount: 1, config: { 'max.message.bytes': '200' } };
    await kafka.admin.createTopics([tooSmall]);
    const refused = installation.start();
    const refusal = await refusalOf(refused);
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    expect(refusal.what).toEqual([
      expect.stringMatching(
        /^job rollups: \S+\.rollup\.5m\/0 does not take a batch of \d+ bytes with \d+ records?: MESSAGE_TOO_LARGE/,
      ),
    ]);
    expect(refusal.remedies).toEqual([expect.stringMatching(/^raise max\.message\.bytes of topic '\S+\.rollup\.5m'/)]);
    expect(await readTopic(kafka, `${names.rollup}.1m`)).toEqual([]);
    // What is the remedy here without an interface for it: the topic made anew, since it is empty.
    await kafka.admin.deleteTopics([tooSmall.topic]);
    const product = installation.start();
    const rows = async () => (await readTopic(kafka, `${names.rollup}.1d`).catch(() => [])).length;
    await until(
      async () => !product.running || (await rows()) > 0,
      'rows of the day',
      60_000,
      () => product.tail(),
    );
    expect(await product.stop()).toEqual({ code: 0, signal: null });
    const counted = setAside([...refused.lines, ...product.lines]);
    expect(counted).toEqual({ 'not-finite': NOT_FINITE.length, 'dead-letter': LETTERS.length });
    await judge(kafka, names);
  } finally {
    await installation.remove();
  }
}, 120_000);
