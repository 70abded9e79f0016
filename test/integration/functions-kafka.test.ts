// The acceptance of keyed functions: bookings of 4 partitions come together by account over an exchange of 6, through
// kill -9 at random moments. Every state change of every account is published, so an account that lost or doubled
// anything is seen at once. The oracle knows nothing of the engine. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import type { Booking } from './jobs/accounts.ts';
import { CommittedTail } from './oracle/committed-tail.ts';
import type { OutputRecord } from './oracle/comparison.ts';
import { createTopic, KafkaFeed } from './oracle/kafka-feed.ts';
import { Random } from './oracle/random.ts';
import { until } from './oracle/until.ts';
import { Installation, type Product } from './process-harness.ts';
import { swappedBytes } from './record-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const PARTITIONS = 4;
const EXCHANGE_PARTITIONS = 6;
const ACCOUNTS = 3000;
const BOOKINGS = 30_000;
const KILLS = 10;
const CHUNK = 500;
/** Filling of an account: all of them are several times what may be in memory. */
const PAYLOAD_BYTES = 20_000;
const MEMORY_BYTES = 16 << 20;
const PATIENCE_MS = 120_000;
const MINUTE_MS = 60_000;
const CLOSING = 'closing';
const KINDS = ['card', 'cash', '__proto__', 'wire'];

type PlacedBooking = Booking & { readonly partition: number };

/** Bookings in the order they are written, an account always on the same partition, out of order within the bound. */
function bookingsOf(random: Random, startMs: number): PlacedBooking[] {
  return Array.from({ length: BOOKINGS }, (_, number) => {
    const account = random.integer(ACCOUNTS);
    const at = startMs + Math.floor((number * 600_000) / BOOKINGS) - random.integer(4_000);
    const kind = KINDS[random.integer(KINDS.length)];
    const partition = account % PARTITIONS;
    return { account: `account-${account}`, kind, amount: random.integer(2_000) - 1_000, at, partition };
  });
}

/** One a partition, later than the end of every minute before; their own minute stays open. */
function closingBookings(atMs: number): PlacedBooking[] {
  return Array.from({ length: PARTITIONS }, (_, partition) => {
    return { account: `${CLOSING}-${partition}`, kind: 'card', amount: 1, at: atMs, partition };
  });
}

interface Expected {
  /** By account, one line for each booking in order. */
  readonly booked: ReadonlyMap<string, readonly string[]>;
  /** `account minute sum`, sorted. */
  readonly minutes: readonly string[];
}

function expectationOf(bookings: readonly Booking[]): Expected {
  const booked = new Map<string, string[]>();
  const minutes = new Map<string, number>();
  const state = new Map<string, { total: number; history: number[]; kinds: Map<string, number> }>();
  for (const { account, amount, kind, at } of bookings) {
    const own = state.get(account) ?? { total: 0, history: [] as number[], kinds: new Map<string, number>() };
    state.set(account, own);
    own.total += amount;
    own.history.push(amount);
    own.kinds.set(kind, (own.kinds.get(kind) ?? 0) + 1);
    const lines = booked.get(account) ?? [];
    booked.set(account, lines);
    lines.push(lineOf(account, own.history.length, own.total, own.history.slice(-5), own.kinds));
    if (account.startsWith(CLOSING)) continue;
    const name = `${account} ${Math.floor(at / MINUTE_MS) * MINUTE_MS}`;
    minutes.set(name, (minutes.get(name) ?? 0) + amount);
  }
  return { booked, minutes: [...minutes].map(([name, sum]) => `${name} ${sum}`).sort() };
}

function lineOf(account: string, count: number, total: number, history: readonly number[], kinds: Map<string, number>) {
  const sorted = [...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map((one) => one.join(':'));
  return `${account} ${count} ${total} [${history.join()}] ${sorted.join()}`;
}

interface Booked {
  readonly account: string;
  readonly count: number;
  readonly total: number;
  readonly history: readonly number[];
  readonly kinds: Readonly<Record<string, number>>;
}

function judgeBooked(records: readonly OutputRecord[], expected: Expected): string[] {
  const faults: string[] = [];
  const seen = new Map<string, string[]>();
  const partitionOf = new Map<string, number>();
  for (const { key, value, partition } of records) {
    const { account, count, total, history, kinds } = JSON.parse(String(value)) as Booked;
    if (String(key) !== account) faults.push(`${account} has the key ${key}`);
    if ((partitionOf.get(account) ?? partition) !== partition) faults.push(`${account} is on two partitions`);
    partitionOf.set(account, partition);
    const lines = seen.get(account) ?? [];
    seen.set(account, lines);
    lines.push(lineOf(account, count, total, history, new Map(Object.entries(kinds))));
  }
  for (const [account, lines] of expected.booked) {
    const got = seen.get(account) ?? [];
    if (got.length !== lines.length) faults.push(`${account}: ${got.length} lines instead of ${lines.length}`);
    const wrong = lines.findIndex((line, at) => got[at] !== line);
    if (wrong >= 0) faults.push(`line ${wrong} is '${got[wrong]}' instead of '${lines[wrong]}'`);
  }
  return faults;
}

test('a keyed function over an exchange of 4 × 6, on LevelDB with more state than memory, is exact through ten kills', async () => {
  const { brokers } = await sharedKafka();
  const random = new Random(SEED);
  const namespace = uniqueName('accounts');
  const source = `${namespace}.bookings`;
  const nowMs = Date.now();
  const bookings = [...bookingsOf(random, nowMs - 660_000), ...closingBookings(nowMs + 120_000)];
  await createTopic(kafkaJs(brokers), source, PARTITIONS);
  const options = { topic: source, exchangePartitions: EXCHANGE_PARTITIONS, payloadBytes: PAYLOAD_BYTES };
  const accounts = {
    module: 'test/integration/jobs/accounts.ts',
    parallelism: 2,
    checkpointInterval: '1s',
    state: 'leveldb',
    options,
  } as const;
  const installation = await Installation.create({
    brokers,
    namespace,
    stateMemory: `${MEMORY_BYTES}B`,
    jobs: { accounts },
  });
  const feed = await KafkaFeed.open(brokers, source, PARTITIONS);
  let written = 0;
  const write = async (count: number) => {
    for (let left = count; left > 0; left -= CHUNK) {
      const chunk = bookings.slice(written, written + Math.min(left, CHUNK));
      written += chunk.length;
      await feed.write(
        chunk.map(({ partition, ...booking }) => ({
          partition,
          key: Buffer.from(booking.account),
          value: Buffer.from(JSON.stringify(booking)),
          headers: [],
          timestampMs: booking.at,
          intent: { finite: 0, notFinite: 0, bad: 0 },
        })),
      );
    }
  };
  await createTopic(kafkaJs(brokers), `${source}.booked`, PARTITIONS);
  await createTopic(kafkaJs(brokers), `${source}.minutes`, PARTITIONS);
  const booked = await CommittedTail.start(brokers, `${source}.booked`);
  const minutes = await CommittedTail.start(brokers, `${source}.minutes`);
  const grown = async (product: Product) => {
    const before = booked.records.length;
    const state = () => installation.report();
    await until(() => !product.running || booked.records.length > before, 'more output', PATIENCE_MS, state);
    if (!product.running) throw new Error(`the process ended by itself:\n${installation.report()}`);
  };
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const product = installation.start();
      await write(Math.floor(BOOKINGS / (KILLS + 1)));
      await grown(product);
      await sleep(random.integer(1_500));
      await product.kill();
    }
    const product = installation.start();
    await write(bookings.length - written);
    await grown(product);
    const expected = expectationOf(bookings);
    const all = (count: number) => (records: readonly OutputRecord[]) => records.length >= count;
    await booked.waitFor(all(bookings.length), 'all bookings', PATIENCE_MS).catch(() => {});
    await minutes.waitFor(all(expected.minutes.length), 'all minutes', PATIENCE_MS).catch(() => {});
    // More lies on the disk than may be in memory, or this would say nothing of it.
    expect(await swappedBytes(installation)).toBeGreaterThan(MEMORY_BYTES);
    const exit = await product.stop();
    expect(exit.code).toBe(0);
    const faults = judgeBooked(await booked.finish(), expected);
    const sums = (await minutes.finish()).map(({ value }) => {
      const { account, minute, sum } = JSON.parse(String(value)) as { account: string; minute: number; sum: number };
      return `${account} ${minute} ${sum}`;
    });
    expect(faults.slice(0, 10)).toEqual([]);
    expect(sums.sort()).toEqual(expected.minutes);
  } finally {
    await installation.remove();
    await Promise.all([booked.stop(), minutes.stop(), feed.close()]);
  }
}, 600_000);
