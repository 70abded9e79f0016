// The acceptance of joins: orders (some come twice) with the customer as he was then, looked up in a table several times
// what memory may hold, and with their payments, from three topics over three exchanges, through kill -9 at random
// moments. Orders and payments that come when their time is over go aside. The oracle has all records before it, and
// knows nothing of the engine. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import type { Customer, Order, Paid, Payment } from './jobs/shop.ts';
import { Random } from './oracle/random.ts';
import { Installation, type Product } from './process-harness.ts';
import { type FedRecord, RecordRun, swappedBytes } from './record-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20261122);
const ORDERS = 5_000;
const CUSTOMERS = 2_000;
const CHANGES = 3_000;
const KILLS = 5;
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const SPAN_MS = 16 * MINUTE_MS;
const BOUND_MS = MINUTE_MS;
const BEFORE_MS = 30 * SECOND_MS;
const AFTER_MS = 2 * MINUTE_MS;
const FILLING_BYTES = 6_000;
const LATE_MAX = 40;

type Kind = 'orders' | 'payments' | 'customers';
const PARTITIONS: Readonly<Record<Kind, number>> = { orders: 3, payments: 2, customers: 2 };

/** A record of one of the topics, and when it is written. */
type Draft = { readonly placeMs: number; readonly partition: number; readonly at: number } & (
  | { readonly kind: 'orders'; readonly value: Order }
  | { readonly kind: 'payments'; readonly value: Payment }
  | { readonly kind: 'customers'; readonly value: Customer }
);

/** What is not late, in the order it is written: each topic out of order within the bound. */
function draftsOf(random: Random, startMs: number): Draft[] {
  const drafts: Draft[] = [];
  const jitter = () => random.integer(BOUND_MS / 3);
  const somewhen = () => startMs + random.integer(SPAN_MS);
  const times = new Set<string>();
  for (let version = 0; version < CUSTOMERS + CHANGES; version++) {
    const number = version < CUSTOMERS ? version : random.integer(CUSTOMERS);
    const at = version < CUSTOMERS ? startMs - MINUTE_MS : somewhen();
    // Which of two changes of one time holds is a matter of their order in the log.
    if (times.has(`${number} ${at}`)) continue;
    times.add(`${number} ${at}`);
    const value = { id: `customer-${number}`, version, gone: version >= CUSTOMERS && random.chance(0.1), at };
    drafts.push({ kind: 'customers', value, partition: number % PARTITIONS.customers, at, placeMs: at + jitter() });
  }
  let payments = 0;
  for (let number = 0; number < ORDERS; number++) {
    const at = somewhen();
    const order = `order-${number}`;
    const value = { id: order, customer: `customer-${random.integer(CUSTOMERS + 50)}`, cents: number, at };
    const partition = number % PARTITIONS.orders;
    const placeMs = at + jitter();
    drafts.push({ kind: 'orders', value, partition, at, placeMs });
    // The same once more, or with another sum: the first that comes counts.
    if (random.chance(0.2)) {
      const again = { ...value, cents: -number, at: at + random.integer(10 * SECOND_MS) };
      drafts.push({ kind: 'orders', value: again, partition, at: again.at, placeMs: placeMs + 1 + jitter() });
    }
    for (let left = random.integer(3); left > 0; left--) {
      const paidMs = at - BEFORE_MS - 5_000 + random.integer(BEFORE_MS + AFTER_MS + 10_000);
      const payment = { number: payments++, order, at: paidMs };
      const where = number % PARTITIONS.payments;
      drafts.push({ kind: 'payments', value: payment, partition: where, at: paidMs, placeMs: paidMs + jitter() });
    }
  }
  return drafts.sort((a, b) => a.placeMs - b.placeMs);
}

/** One a partition, so much later that everything before is over; they themselves stay open. */
function closingDrafts(atMs: number): Draft[] {
  const each = <T>(kind: Kind, value: (name: string) => T) =>
    Array.from({ length: PARTITIONS[kind] }, (_, partition) => {
      return { kind, value: value(`closing-${partition}`), partition, at: atMs, placeMs: atMs } as unknown as Draft;
    });
  return [
    ...each('orders', (id): Order => ({ id, customer: id, cents: 0, at: atMs })),
    ...each('payments', (order): Payment => ({ number: -1, order, at: atMs })),
    ...each('customers', (id): Customer => ({ id, version: -1, gone: false, at: atMs })),
  ];
}

/** The order with the row that held at its time. */
function withCustomer({ id, at, cents, customer }: Order, rows: readonly Customer[]): Omit<Paid, 'payment'> {
  const held = rows.filter((row) => row.id === customer && row.at <= at).sort((a, b) => b.at - a.at)[0];
  const row = held === undefined || held.gone ? null : held;
  const filling = row === null ? '' : `${String.fromCharCode(97 + (row.version % 26))}${FILLING_BYTES}`;
  return { order: id, at, cents, version: row?.version ?? null, filling };
}

function expectationOf(drafts: readonly Draft[]): string[] {
  const rows = drafts.flatMap((draft) => (draft.kind === 'customers' ? [draft.value] : []));
  const rowsOf = Map.groupBy(rows, ({ id }) => id);
  const payments = drafts.flatMap((draft) => (draft.kind === 'payments' ? [draft.value] : []));
  const paymentsOf = Map.groupBy(payments, ({ order }) => order);
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const draft of drafts) {
    if (draft.kind !== 'orders' || seen.has(draft.value.id) || draft.value.id.startsWith('closing')) continue;
    const order = draft.value;
    seen.add(order.id);
    const known = withCustomer(order, rowsOf.get(order.customer) ?? []);
    const met = (paymentsOf.get(order.id) ?? []).filter(
      ({ at }) => at >= order.at - BEFORE_MS && at <= order.at + AFTER_MS,
    );
    if (met.length === 0) lines.push(textOf({ ...known, payment: null }));
    for (const { number } of met) lines.push(textOf({ ...known, payment: number }));
  }
  return lines.sort();
}

function textOf({ order, at, cents, version, filling, payment }: Paid): string {
  return `${order} at ${at} of ${cents} by version ${version} ${filling} paid by ${payment}`;
}

function recordOf({ kind, partition, at, value }: Draft, prefix: string): FedRecord {
  return { topic: `${prefix}.${kind}`, partition, key: String(partition), value, at };
}

test('orders find the customer of their time and their payments once, through kills; what is late goes aside', async () => {
  const { brokers } = await sharedKafka();
  const random = new Random(SEED);
  const prefix = uniqueName('shop');
  const nowMs = Date.now();
  const drafts = draftsOf(random, nowMs - SPAN_MS - 3 * MINUTE_MS);
  const options = {
    prefix,
    exchangePartitions: 4,
    outOfOrderness: `${BOUND_MS / SECOND_MS}s`,
    before: `${BEFORE_MS / SECOND_MS}s`,
    after: `${AFTER_MS / SECOND_MS}s`,
    fillingBytes: FILLING_BYTES,
  };
  const shop = {
    module: 'test/integration/jobs/shop.ts',
    parallelism: 2,
    checkpointInterval: '1s',
    state: 'leveldb',
    options,
  } as const;
  const installation = await Installation.create({
    brokers,
    namespace: prefix,
    stateMemory: '16MiB',
    jobs: { shop },
  });
  const fed = Object.fromEntries(Object.entries(PARTITIONS).map(([kind, count]) => [`${prefix}.${kind}`, count]));
  const [paid, lateOrders, latePayments] = ['paid', 'late-orders', 'late-payments'].map((name) => `${prefix}.${name}`);
  const run = await RecordRun.open(brokers, fed, [paid, lateOrders, latePayments]);
  const write = (some: readonly Draft[]) => run.write(some.map((draft) => recordOf(draft, prefix)));
  let written = 0;
  let swapped = 0;
  const writeNext = async (product: Product, share: number) => {
    const before = run.seen(paid).length;
    const chunk = drafts.slice(written, written + share);
    written += chunk.length;
    await write(chunk);
    await run.waitFor(paid, (values) => values.length > before, 'more output', { product, installation });
    swapped = Math.max(swapped, await swappedBytes(installation));
  };
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const product = installation.start();
      // The table as it is at first stands before everything else.
      const share = Math.ceil((drafts.length - CUSTOMERS) / (KILLS + 1));
      await writeNext(product, kill === 0 ? CUSTOMERS + share : share);
      await sleep(random.integer(1_500));
      await product.kill();
    }
    const product = installation.start();
    // Their time is over in the task that they come to: it has said that they stay alone.
    const alone = run.seen<Paid>(paid).filter(({ payment }) => payment === null);
    const over = random.shuffled(alone).slice(0, LATE_MAX);
    expect(over.length).toBeGreaterThan(LATE_MAX / 2);
    const late = lateDrafts(over);
    await write(late);
    await writeNext(product, drafts.length - written);
    await write(closingDrafts(nowMs + 4 * MINUTE_MS));
    const expected = expectationOf(drafts);
    const enough = (values: readonly Paid[]) => values.length >= expected.length;
    await run.waitFor<Paid>(paid, enough, 'all orders', { product, installation }).catch((error) => {
      process.stderr.write(`${error.message}\n`);
    });
    expect((await product.stop()).code).toBe(0);
    const lines = (await run.finish<Paid>(paid)).map(textOf).sort();
    const [missing, extra] = [without(expected, lines), without(lines, expected)];
    expect({ missing: missing.slice(0, 5), extra: extra.slice(0, 5) }).toEqual({ missing: [], extra: [] });
    expect(lines).toHaveLength(expected.length);
    const payments = (await run.finish<Payment>(latePayments)).map(({ number }) => number).sort((a, b) => a - b);
    expect(payments).toEqual(late.flatMap((one) => (one.kind === 'payments' ? [one.value.number] : [])));
    const rows = drafts.flatMap((draft) => (draft.kind === 'customers' ? [draft.value] : []));
    const orders = (await run.finish<Omit<Paid, 'payment'>>(lateOrders)).map((one) =>
      textOf({ ...one, payment: null }),
    );
    const ordersExpected = late.flatMap((one) => (one.kind === 'orders' ? [withCustomer(one.value, rows)] : []));
    expect(orders.sort()).toEqual(ordersExpected.map((one) => textOf({ ...one, payment: null })).sort());
    expect(swapped).toBeGreaterThan(4 << 20);
  } finally {
    await installation.remove();
    await run.close();
  }
}, 600_000);

/** For each order a payment in its time, and the order again from so long ago that it counts as another. */
function lateDrafts(over: readonly Paid[]): Draft[] {
  return over.flatMap(({ order, at }, place): Draft[] => {
    const number = Number(order.slice('order-'.length));
    const payment = { number: 1_000_000 + place, order, at };
    const agoMs = at - 20 * MINUTE_MS + 20 * SECOND_MS;
    const again = { id: order, customer: 'customer-1', cents: 1_000_000 + place, at: agoMs };
    return [
      { kind: 'payments', value: payment, partition: number % PARTITIONS.payments, at, placeMs: 0 },
      { kind: 'orders', value: again, partition: number % PARTITIONS.orders, at: agoMs, placeMs: 0 },
    ];
  });
}

/** Lines of one list that the other does not have, as often as they are too many. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}
