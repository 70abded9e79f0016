// Owns the workload of joins: orders looked up in a table of customers that comes through its own change log, and joined
// with payments by an interval; one of both, or one behind the other.

import { compileJob } from '#jobs/compile.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import type { RecordStream } from '#jobs/graph.ts';
import { records } from '#jobs/record-words.ts';
import type { JoinInfo } from '#operators/process/interval-join.ts';
import type { LookupInfo } from '#operators/process/table-lookup.ts';
import { JoinModel, type JoinRules } from '#test/simulation/oracle/join-model.ts';
import {
  type Customer,
  type KnownOrder,
  knownOrder,
  LookupModel,
  type LookupRules,
  type Order,
  rowAt,
} from '#test/simulation/oracle/lookup-model.ts';
import { ForwardModel, type RecordModel } from '#test/simulation/oracle/record-model.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { Draw, Evidence, Workload } from '#test/simulation/workloads/contract.ts';
import { drawFeed, type FedStream, RecordFeed } from '#test/simulation/workloads/record-feed.ts';
import { type InterpretedTask, judgeRecordJob } from '#test/simulation/workloads/record-judgement.ts';
import type { Random } from '#test/simulation/world/random.ts';

const ORDERS = 'orders';
const CUSTOMERS = 'customers';
const PAYMENTS = 'payments';
const KNOWN = 'orders.known';
const ORDERS_LATE = 'orders.late';
const PAID = 'orders.paid';
const LEFT_LATE = 'left.late';
const RIGHT_LATE = 'payments.late';
const COUNTRIES = ['nl', 'de', 'fr', 'es'];
const SOURCES = { [ORDERS]: 2, [CUSTOMERS]: 1, [PAYMENTS]: 1 };

interface Payment {
  readonly order: string;
  readonly n: number;
  readonly at: number;
}

interface Rules {
  readonly parts: 'lookup' | 'join' | 'both';
  readonly orderly: boolean;
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
  readonly lookup: Pick<LookupRules, 'mode' | 'kind' | 'allowedLatenessMs'>;
  readonly join: Pick<JoinRules, 'lowerMs' | 'upperMs' | 'kind' | 'allowedLatenessMs'>;
}

export function drawOrders({ orderly, random, settings }: Draw): Workload {
  const [lowerMs, upperMs] = random.pick([
    [-5_000, 5_000],
    [0, 20_000],
    [-10_000, -1_000],
    [3_000, 3_000],
  ]);
  const rules: Rules = {
    parts: random.pick(['lookup', 'lookup', 'join', 'join', 'both']),
    orderly,
    outOfOrdernessMs: random.pick([0, 2_000, 5_000]),
    maxSkewMs: random.pick([600_000, 10_800_000]),
    lookup: {
      mode: random.pick(['versioned', 'versioned', 'latest']),
      kind: random.pick(['inner', 'left']),
      allowedLatenessMs: random.pick([0, 10_000]),
    },
    join: {
      ...{ lowerMs, upperMs },
      kind: random.pick(['inner', 'left', 'right', 'full']),
      allowedLatenessMs: random.pick([0, 10_000]),
    },
  };
  const idlenessMs = orderly ? 30_000 : random.pick([1_000, 2_000, 30_000]);
  const job = compileJob(ordersJob(rules, idlenessMs, random.pick(['30s', '1h'])), settings);
  const shape = drawFeed(random, orderly, [20_000, 60_000]);
  const topics = job.plan.sources.map(({ topic: name }) => name) as (keyof typeof SOURCES)[];
  return {
    name: 'orders',
    shape: rules.parts === 'both' ? 'lookup and join' : rules.parts,
    job,
    upgrades: [],
    sources: Object.fromEntries(topics.map((name) => [name, SOURCES[name]])),
    closingMs: idlenessMs < 30_000 ? idlenessMs + rules.outOfOrdernessMs + 45_000 : null,
    memoryBytes: random.pick([null, null, 2_000]),
    burstBytesMax: null,
    pagesMax: 0,
    begin: (world, forked) => {
      // What a deletion means to changes that come too late is nowhere said: it may be forgotten by then.
      const deletes = orderly || rules.lookup.mode === 'latest';
      const streams = fedStreams(forked, deletes).filter((stream) =>
        topics.includes(stream.topic as keyof typeof SOURCES),
      );
      const feed = new RecordFeed(world, { ...rules, shape, streams }, forked);
      return { feed, judge: (evidence) => judge(evidence, rules) };
    },
  };
}

function fedStreams(random: Random, deletes: boolean): FedStream[] {
  let n = 0;
  const order = () => `order-${random.int(10)}`;
  const customer = () => `customer-${random.int(5)}`;
  return [
    { topic: ORDERS, partitions: 2, record: () => ({ order: order(), customer: customer(), n: n++ }) },
    {
      topic: CUSTOMERS,
      partitions: 1,
      record: () => ({ customer: customer(), country: random.pick(COUNTRIES), gone: deletes && random.chance(0.2) }),
    },
    { topic: PAYMENTS, partitions: 1, weight: 2, record: () => ({ order: order(), n: n++ }) },
  ];
}

function ordersJob(rules: Rules, idlenessMs: number, keyTtl: string): JobDefinition {
  const read = <T extends { readonly at: number }>(name: string) =>
    records<T>({
      topic: name,
      timestamp: ({ at }) => at,
      outOfOrderness: `${rules.outOfOrdernessMs}ms`,
      idleness: `${idlenessMs}ms`,
      maxSkew: `${rules.maxSkewMs}ms`,
      keyTtl,
    });
  const common = { name: 'orders', exchangePartitions: 2 };
  const orders = read<Order>(ORDERS);
  const customers = read<Customer>(CUSTOMERS);
  const payments = read<Payment>(PAYMENTS);
  switch (rules.parts) {
    case 'lookup':
      return defineJob({
        ...common,
        sources: { orders, customers },
        build: (streams) => lookUp(streams.orders, streams.customers, rules).to(topic(KNOWN)),
      });
    case 'join':
      return defineJob({
        ...common,
        sources: { orders, payments },
        build: (streams) => joinWith(streams.orders, streams.payments, rules),
      });
    case 'both':
      return defineJob({
        ...common,
        sources: { orders, customers, payments },
        build: (streams) => joinWith(lookUp(streams.orders, streams.customers, rules), streams.payments, rules),
      });
  }
}

function lookUp(orders: RecordStream<Order>, customers: RecordStream<Customer>, { lookup }: Rules) {
  const { allowedLatenessMs, kind, mode } = lookup;
  const known = orders.lookup('customer', customers, {
    key: ({ customer }) => customer,
    tableKey: ({ customer }) => customer,
    mode,
    ...(mode === 'versioned' ? { allowedLateness: `${allowedLatenessMs}ms` } : {}),
    isDeleted: ({ gone }) => gone,
    kind,
    join: (order: Order, row: Customer | null, { rowMs }: LookupInfo) => ({
      ...order,
      country: row?.country ?? 'unknown',
      rowMs,
    }),
  });
  if (mode === 'versioned') known.side('late').to(topic(ORDERS_LATE));
  return known;
}

function joinWith(left: RecordStream<Order>, payments: RecordStream<Payment>, { join }: Rules): void {
  const paid = left.intervalJoin('paid', payments, {
    key: ({ order }) => order,
    otherKey: ({ order }) => order,
    lower: `${join.lowerMs}ms`,
    upper: `${join.upperMs}ms`,
    allowedLateness: `${join.allowedLatenessMs}ms`,
    kind: join.kind,
    join: (order: Order | null, payment: Payment | null, { leftMs, rightMs }: JoinInfo) => ({
      left: order?.n ?? null,
      right: payment?.n ?? null,
      leftMs,
      rightMs,
    }),
  });
  paid.to(topic(PAID));
  paid.side('late-left').to(topic(LEFT_LATE));
  paid.side('late-right').to(topic(RIGHT_LATE));
}

const left = (value: unknown) => [0, value];
const right = (value: unknown) => [1, value];
const byOrder = (value: unknown) => (value as Payment).order;
const byCustomer = (value: unknown) => (value as Customer).customer;

function modelOf(stage: string, { join, lookup, parts }: Rules): RecordModel {
  switch (stage) {
    case ORDERS:
      return parts === 'join'
        ? new ForwardModel('paid', byOrder, left)
        : new ForwardModel('customer', byCustomer, left);
    case CUSTOMERS:
      return new ForwardModel('customer', byCustomer, right);
    case PAYMENTS:
      return new ForwardModel('paid', byOrder, right);
    case 'customer':
      return new LookupModel({
        ...lookup,
        to: parts === 'both' ? 'paid' : KNOWN,
        keyOf: parts === 'both' ? byOrder : byCustomer,
        sent: parts === 'both' ? left : (value) => value,
        lateTo: ORDERS_LATE,
      });
    default:
      return new JoinModel({ ...join, to: PAID, lateTo: [LEFT_LATE, RIGHT_LATE] });
  }
}

function judge(evidence: Evidence, rules: Rules): void {
  const { lookup, parts } = rules;
  const [looksUp, joins] = [parts !== 'join', parts !== 'lookup'];
  const sources = [ORDERS, ...(looksUp ? [CUSTOMERS] : []), ...(joins ? [PAYMENTS] : [])];
  const tasks = judgeRecordJob(evidence, {
    rules: Object.fromEntries(sources.map((name) => [name, rules])),
    exchanges: {
      ...(looksUp ? { customer: [ORDERS, CUSTOMERS] } : {}),
      ...(joins ? { paid: [parts === 'both' ? 'customer' : ORDERS, PAYMENTS] } : {}),
    },
    topics: [...(parts === 'lookup' ? [KNOWN] : []), ...(joins ? [PAID] : [])],
    lateTopics: [
      ...(looksUp && lookup.mode === 'versioned' ? [ORDERS_LATE] : []),
      ...(joins ? [LEFT_LATE, RIGHT_LATE] : []),
    ],
    modelOf: (stage) => modelOf(stage, rules),
  });
  const { closed, complete, coverage } = evidence;
  for (const { model } of tasks) {
    if (model instanceof JoinModel) {
      coverage.add('pairs joined', model.pairs);
      coverage.add('went alone', model.alone);
      coverage.add('too late to be joined', model.late);
    } else if (model instanceof LookupModel) {
      coverage.add('looked up', model.answered);
      coverage.add('too late to be looked up', model.late);
      if (!closed) continue;
      coverage.add('closed by idle time');
      require(model.waiting === 0, 'liveness', () => `${model.waiting} orders wait although all sources are idle`);
    }
  }
  if (!rules.orderly || !complete) return;
  if (parts === 'lookup' && lookup.mode === 'versioned') judgeLookedUp(evidence, rules, tasks);
  if (parts === 'join') judgePairs(evidence, rules, tasks);
}

/** All that a source gave, in the order of its log; and how far all sources are at least. */
function taken<T>(tasks: readonly InterpretedTask[], stage: string): T[] {
  return tasks.flatMap((one) => (one.stage === stage ? one.story.taken.map(({ value }) => value as T) : []));
}

function passedMs(tasks: readonly InterpretedTask[], { outOfOrdernessMs }: Rules): number {
  const sources = tasks.filter(({ task }) => !task.plan.input.internal);
  const largest = sources.map(({ story }) => Math.max(...story.taken.map(({ timestampMs }) => timestampMs)));
  return Math.min(...largest) - outOfOrdernessMs;
}

/** Without any commit log: where nothing is late, each order has the row of its time. */
function judgeLookedUp(evidence: Evidence, rules: Rules, tasks: readonly InterpretedTask[]): void {
  const changes = taken<Customer>(tasks, CUSTOMERS);
  const expected = new Map<number, KnownOrder>();
  for (const order of taken<Order>(tasks, ORDERS)) {
    const found = rowAt(
      changes.filter(({ customer }) => customer === order.customer),
      order.at,
    );
    const row = found === undefined || found.gone ? null : found;
    if (row !== null || rules.lookup.kind === 'left') expected.set(order.n, knownOrder(order, row));
  }
  const oracle = 'order-free-rows';
  for (const { value } of evidence.output(KNOWN)) {
    const { n } = JSON.parse(String(value)) as KnownOrder;
    const text = JSON.stringify(expected.get(n));
    require(String(value) === text, oracle, () => `${value} was looked up, expected ${text}`);
    expected.delete(n);
  }
  const untilMs = passedMs(tasks, rules);
  for (const one of expected.values()) {
    require(one.at >= untilMs, oracle, () => `${JSON.stringify(one)} is missing`);
  }
}

/** Without any commit log: where nothing is late, the pairs follow from the records alone. */
function judgePairs(evidence: Evidence, { join }: Rules, tasks: readonly InterpretedTask[]): void {
  const payments = taken<Payment>(tasks, PAYMENTS);
  const expected = new Set<string>();
  for (const { at, n, order } of taken<Order>(tasks, ORDERS)) {
    for (const payment of payments) {
      const apartMs = payment.at - at;
      if (payment.order !== order || apartMs < join.lowerMs || apartMs > join.upperMs) continue;
      expected.add(`${n} and ${payment.n}`);
    }
  }
  const oracle = 'order-free-rows';
  for (const { value } of evidence.output(PAID)) {
    const pair = JSON.parse(String(value)) as { readonly left: number | null; readonly right: number | null };
    if (pair.left === null || pair.right === null) continue;
    const name = `${pair.left} and ${pair.right}`;
    require(expected.delete(name), oracle, () => `${name} are no pair, or came twice`);
  }
  for (const name of expected) require(false, oracle, () => `${name} were not joined`);
}
