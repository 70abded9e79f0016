// Jobs with windows over records, joins, lookups and the functions that ship; what tests run and explain.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { by, samples, topic, tumbling } from '#jobs/descriptions.ts';
import { counterIncrease, deduplicate, rate, topK } from '#jobs/function-words.ts';
import { records } from '#jobs/record-words.ts';
import { countWindow, globalWindow, session, sliding } from '#jobs/window-words.ts';

export interface Click {
  readonly user: string;
  readonly page: string;
  readonly at: number;
}

const CLICKS = { topic: 'clicks', timestamp: (click: Click) => click.at, outOfOrderness: '5s' };

/** Windows of every kind over one key. */
export function clicksJob(): JobDefinition {
  return defineJob({
    name: 'clicks',
    source: records<Click>(CLICKS),
    exchangePartitions: 2,
    build: (clicks) => {
      const byUser = clicks.keyBy('by-user', ({ user }) => user);
      const visits = byUser
        .window('visits', session('30s', { allowedLateness: '1m' }))
        .process((pages, { key, startMs, endMs }) => [
          { user: key, from: startMs, to: endMs, pages: pages.map(({ page }) => page) },
        ]);
      visits.to(topic('visits'));
      visits.side<Click>('late').to(topic('clicks.late'));
      byUser
        .window('ten', countWindow(3, { slide: 2 }))
        .process((last, { key }) => [`${key}: ${last.map(({ page }) => page).join()}`])
        .to(topic('last-pages', { format: 'text' }));
      byUser
        .window('ever', globalWindow({ trigger: { early: { every: '10s', by: 'clock' } } }))
        .aggregate(count)
        .to(topic('clicks-ever'));
      byUser
        .window('hops', sliding('20s', '10s', { offset: '-5s', trigger: { count: 2, atEnd: true } }))
        .reduce(
          (a, b) => (a.page > b.page ? a : b),
          ({ page }, { startMs }) => [startMs, page],
        )
        .to(topic('hops'));
    },
  });
}

const count = {
  create: () => 0,
  add: (held: number) => held + 1,
  result: (held: number) => held,
  merge: (a: number, b: number) => a + b,
};

/** Aggregates split before the exchange, and the ranking of them. */
export function busiestJob(split: boolean): JobDefinition {
  return defineJob({
    name: 'busiest',
    source: records<Click>(CLICKS),
    exchangePartitions: 2,
    build: (clicks) => {
      clicks
        .keyBy('by-page', ({ page }) => page)
        .window('per-page', sliding('60s', '20s'))
        .aggregate(count, (clicked, { key, endMs }) => ({ page: key, clicked, at: endMs }), { split })
        .keyBy('by-end', ({ at }) => String(at))
        .window('busiest', tumbling('20s'))
        .aggregate(topK({ k: 2, by: ({ clicked }) => clicked }))
        .to(topic('busiest'));
    },
  });
}

export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly at: number;
}

export interface Payment {
  readonly order: string;
  readonly at: number;
}

export interface Customer {
  readonly id: string;
  readonly name: string;
  readonly at: number;
  readonly gone?: boolean;
}

/** Orders with the customer as he was then, with their payments, each order once. */
export function ordersJob(): JobDefinition {
  const at = ({ at }: { readonly at: number }) => at;
  return defineJob({
    name: 'orders',
    sources: {
      orders: records<Order>({ topic: 'orders', timestamp: at, idleness: '10s' }),
      payments: records<Payment>({ topic: 'payments', timestamp: at, idleness: '10s' }),
      customers: records<Customer>({ topic: 'customers', timestamp: at, idleness: '10s', outOfOrderness: '1s' }),
    },
    exchangePartitions: 2,
    build: ({ orders, payments, customers }) => {
      const once = orders.keyBy('by-order', ({ id }) => id).process('once', deduplicate<Order>({ within: '10m' }));
      const known = once.lookup('customer', customers, {
        key: ({ customer }) => customer,
        tableKey: ({ id }) => id,
        kind: 'left',
        isDeleted: ({ gone }) => gone === true,
        join: (order, row) => ({ ...order, name: row === null ? null : row.name }),
      });
      const paid = known.intervalJoin('paid', payments, {
        key: ({ id }) => id,
        otherKey: ({ order }) => order,
        lower: '-10s',
        upper: '1m',
        kind: 'left',
        join: ({ id, name }, payment) => ({ id, name, paid: payment === null ? null : payment.at }),
      });
      paid.to(topic('paid'));
      paid.side('late-right').to(topic('payments.late'));
    },
  });
}

/** What counters gain, per series and over windows. */
export function countersJob(): JobDefinition {
  return defineJob({
    name: 'counters',
    source: samples({ topic: 'metrics.raw', outOfOrderness: '0s' }),
    exchangePartitions: 2,
    build: (raw) => {
      const byHost = raw.keyBy(by('host'));
      byHost.window('rates', tumbling('1m')).aggregate(rate()).to(topic('rates'));
      byHost.process('gains', counterIncrease()).to(topic('gains'));
    },
  });
}
