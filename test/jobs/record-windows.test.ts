// Windows over records, joins, lookups and shipped functions as jobs: what the real tasks commit, through crashes.

import { describe, expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { stats, topic, tumbling } from '#jobs/descriptions.ts';
import { explain } from '#jobs/explain.ts';
import { deduplicate, increase, topK } from '#jobs/function-words.ts';
import type { RecordStream } from '#jobs/graph.ts';
import { records } from '#jobs/record-words.ts';
import { countWindow, globalWindow, session, sliding } from '#jobs/window-words.ts';
import { JobDriver } from '#test/harness/driver.ts';
import { busiestJob, clicksJob, countersJob, ordersJob } from './window-jobs.ts';

function values(driver: JobDriver, name: string): unknown[] {
  return driver.output(name).map(({ value }) => value);
}

describe('windows over records', () => {
  test('of every kind give the same through crashes as without', async () => {
    const run = async (crashes: boolean) => {
      const driver = await JobDriver.start(clicksJob());
      const t = driver.nowMs;
      const click = async (user: string, page: string, second: number) => {
        await driver.send('clicks', { user, page, at: t + second * 1000 });
        await driver.settle();
        if (crashes) await driver.restore();
      };
      for (const [at, page] of ['home', 'search', 'item', 'cart', 'pay'].entries()) await click('ann', page, at * 7);
      await click('bob', 'home', 3);
      // Between both visits of ann: one of them is over and has fired, and goes on.
      await click('ann', 'again', 80);
      await click('ann', 'between', 55);
      await click('bob', 'far', 400);
      await click('ann', 'too late', 60);
      await driver.advance('11s');
      if (crashes) await driver.restore();
      const outputs = ['visits', 'clicks.late', 'last-pages', 'clicks-ever', 'hops'].map((name) =>
        values(driver, name),
      );
      await driver.stop();
      return { outputs, t };
    };
    const plain = await run(false);
    const crashed = await run(true);
    expect(crashed.outputs.map((rows) => rows.map(String).length)).toEqual(plain.outputs.map((rows) => rows.length));
    expect(crashed.outputs).toEqual(plain.outputs);
    const [visits, late, last, , hops] = plain.outputs;
    const { t } = plain;
    const pages = ['home', 'search', 'item', 'cart', 'pay'];
    expect(visits.filter((visit) => (visit as { user: string }).user === 'ann')).toEqual([
      { user: 'ann', from: t, to: t + 58_000, pages },
      { user: 'ann', from: t, to: t + 110_000, pages: [...pages, 'again', 'between'] },
    ]);
    expect(late).toEqual([{ user: 'ann', page: 'too late', at: t + 60_000 }]);
    expect(last.filter((line) => (line as string).startsWith('ann'))).toEqual([
      'ann: home,search',
      'ann: search,item,cart',
      'ann: cart,pay,again',
      'ann: again,between,too late',
    ]);
    expect(hops).toContainEqual([t - 5_000, 'search']);
  });

  test('give the same whenever the process is killed', async () => {
    const outputs = [];
    for (const steps of [null, 0, 15, 40, 75, 120, 160, 220, 300, 400]) {
      const driver = await JobDriver.start(clicksJob(), { partitions: { clicks: 2 } });
      const t = driver.nowMs;
      if (steps !== null) driver.crashAfter(steps);
      for (let i = 0; i < 24; i++) {
        const user = `u${i % 3}`;
        const second = i * 9 - (i % 4 === 3 ? 150 : 0);
        await driver.send('clicks', { user, page: `p${i}`, at: t + second * 1000 }, { partition: i % 2 });
        await driver.settle();
        if (!driver.running) await driver.restore();
      }
      if (!driver.running) await driver.restore();
      await driver.advance('5m');
      if (!driver.running) await driver.restore();
      await driver.advance('5m');
      outputs.push(['visits', 'clicks.late', 'last-pages', 'hops'].map((name) => values(driver, name)));
      expect(driver.crashes).toBe(steps === null ? 0 : 1);
      await driver.stop();
    }
    const [plain, ...crashed] = outputs;
    expect(plain.every((rows) => rows.length > 0)).toBe(true);
    for (const output of crashed) expect(output).toEqual(plain);
  });

  test('split before the exchange give what they give whole', async () => {
    const outputs = [];
    for (const split of [false, true]) {
      const driver = await JobDriver.start(busiestJob(split), { partitions: { clicks: 2 } });
      const t = driver.nowMs;
      for (let i = 0; i < 60; i++) {
        await driver.send('clicks', { user: 'u', page: `p${(i * i) % 7}`, at: t + i * 1000 }, { partition: i % 2 });
        if (i % 20 === 19) await driver.restore();
      }
      await driver.advance('5m');
      outputs.push(driver.output('busiest').map(({ value }) => value));
      await driver.stop();
    }
    expect(outputs[0].length).toBeGreaterThan(3);
    expect(outputs[1]).toEqual(outputs[0]);
  });
});

describe('joins and lookups', () => {
  test('pair what belongs together, and send aside what is late', async () => {
    const driver = await JobDriver.start(ordersJob());
    const t = driver.nowMs;
    const send = (name: string, record: object, second: number) =>
      driver.send(name, { ...record, at: t + second * 1000 });
    await send('customers', { id: 'c1', name: 'Ann' }, 0);
    await send('customers', { id: 'c1', name: 'Anne' }, 20);
    await send('customers', { id: 'c2', name: 'Bob' }, 0);
    await send('customers', { id: 'c2', name: 'Bob', gone: true }, 5);
    await send('orders', { id: 'o1', customer: 'c1' }, 10);
    await send('orders', { id: 'o1', customer: 'c1' }, 11);
    await send('orders', { id: 'o3', customer: 'c2' }, 12);
    await send('orders', { id: 'o2', customer: 'c1' }, 30);
    await send('payments', { order: 'o1' }, 5);
    await send('payments', { order: 'o2' }, 90);
    await driver.settle();
    await driver.restore();
    await driver.advance('1m');
    await driver.restore();
    await driver.advance('5m');
    const paid = values(driver, 'paid') as { id: string }[];
    expect(paid.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
      { id: 'o1', name: 'Ann', paid: t + 5_000 },
      { id: 'o2', name: 'Anne', paid: t + 90_000 },
      { id: 'o3', name: null, paid: null },
    ]);
    await send('payments', { order: 'o3' }, 31);
    await driver.settle();
    expect(values(driver, 'payments.late')).toEqual([{ order: 'o3', at: t + 31_000 }]);
    await driver.stop();
  });
});

test('counters of samples are measured per key', async () => {
  const driver = await JobDriver.start(countersJob());
  const t = driver.nowMs;
  for (const [second, value] of [
    [0, 100],
    [15, 115],
    [30, 130],
    [45, 5],
    [75, 10],
  ]) {
    const sample = { metric_name: 'requests_total', labels: { host: 'a' }, value, timestamp: t + second * 1000 };
    await driver.send('metrics.raw', sample);
  }
  await driver.settle();
  expect(values(driver, 'rates')).toEqual([
    { key: 'requests_total{host="a"}', window_start: t, window_end: t + 60_000, revision: 0, value: 35 / 45 },
  ]);
  expect(values(driver, 'gains').map((gain) => (gain as { increase: number }).increase)).toEqual([15, 15, 5, 5]);
  await driver.stop();
});

describe('the compiler', () => {
  const faultsOf = (build: Parameters<typeof defineJob>[0]['build']): string => {
    try {
      compileJob(defineJob({ name: 'faulty', source: records<{ k: string }>({ topic: 't' }), build } as never));
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const one = { create: () => 0, add: (a: number) => a + 1, result: (a: number) => a };

  test.each<[RegExp, Parameters<typeof faultsOf>[0]]>([
    [/w'.size: 'nonsense' is no duration/, (it) => keyed(it).window('w', tumbling('nonsense')).reduce(first).to(out)],
    [
      /w'.slide: puts each record into 86400 windows/,
      (it) => keyed(it).window('w', sliding('1d', '1s')).reduce(first).to(out),
    ],
    [/has no merge, and sessions merge/, (it) => keyed(it).window('w', session('1m')).aggregate(one).to(out)],
    [
      /never fires/,
      (it) =>
        keyed(it)
          .window('w', globalWindow({ trigger: {} }))
          .reduce(first)
          .to(out),
    ],
    [
      /a global window has no end/,
      (it) =>
        keyed(it)
          .window('w', globalWindow({ trigger: { atEnd: true } }))
          .reduce(first)
          .to(out),
    ],
    [
      /w'.trigger.purge: is missing: all records of every key would be kept for ever/,
      (it) =>
        keyed(it)
          .window('w', globalWindow({ trigger: { count: 2 } }))
          .process(() => [])
          .to(out),
    ],
    [
      /by event time fires at the end as well/,
      (it) =>
        keyed(it)
          .window('w', tumbling('1m', { trigger: { atEnd: false, early: { every: '1s' } } }))
          .reduce(first)
          .to(out),
    ],
    [/needs windows of time/, (it) => keyed(it).window('w', countWindow(3)).aggregate(increase()).to(out)],
    [/size: 0 is not possible/, (it) => keyed(it).window('w', countWindow(0)).reduce(first).to(out)],
    [
      /takes samples but is fed records/,
      (it) =>
        (keyed(it).window('w', tumbling('1m')) as never as { aggregate(a: unknown): { to(t: unknown): void } })
          .aggregate(stats())
          .to(out),
    ],
    [
      /w'.reduce: undefined is no function/,
      (it) =>
        keyed(it)
          .window('w', tumbling('1m'))
          .reduce(undefined as never)
          .to(out),
    ],
    [
      /w'.split: needs an aggregate with merge/,
      (it) => keyed(it).window('w', tumbling('1m')).aggregate(one, undefined, { split: true }).to(out),
    ],
    [
      /w'.split: needs tumbling or sliding windows/,
      (it) =>
        keyed(it)
          .window('w', session('1m'))
          .aggregate({ ...one, merge: (a: number) => a }, undefined, { split: true })
          .to(out),
    ],
    [
      /feeds 'other' as well, which takes records/,
      (it) => {
        const byKey = keyed(it);
        byKey
          .window('w', tumbling('1m'))
          .aggregate({ ...one, merge: (a: number) => a }, undefined, { split: true })
          .to(out);
        byKey.window('other', tumbling('1m')).reduce(first).to(topic('other'));
      },
    ],
    [
      /deduplicate: within is 'soon'/,
      (it) =>
        keyed(it)
          .process('p', deduplicate({ within: 'soon' }))
          .to(out),
    ],
    [
      /topK: k is 0/,
      (it) =>
        keyed(it)
          .window('w', tumbling('1m'))
          .aggregate(topK({ k: 0, by: () => 1 }))
          .to(out),
    ],
    [/lower: lies above the upper bound/, (it) => join(it, '5s', '1s').to(out)],
    [/lower: 'x' is no duration/, (it) => join(it, 'x', '1s').to(out)],
    [
      /side 'early': is no side output of 'w' \(declared: late\)/,
      (it) => {
        const windows = keyed(it).window('w', tumbling('1m')).reduce(first);
        windows.side('early').to(out);
      },
    ],
  ])('says %s', (message, build) => {
    expect(faultsOf(build)).toMatch(message);
  });

  test.each([
    ['clicks', clicksJob()],
    ['busiest', busiestJob(true)],
    ['orders', ordersJob()],
    ['counters', countersJob()],
  ])('explains %s', async (name, job) => {
    const { plan, settings } = compileJob(job);
    await expect(explain(plan, settings)).toMatchFileSnapshot(`../golden/plans/${name}.txt`);
  });
});

type Records = RecordStream<{ k: string }>;

const out = topic('out');
const first = (a: { k: string }): { k: string } => a;
const keyed = (it: unknown) => (it as Records).keyBy('by-k', ({ k }) => k);
const join = (it: unknown, lower: string, upper: string) =>
  (it as Records).intervalJoin('j', it as Records, {
    key: ({ k }) => k,
    otherKey: ({ k }) => k,
    lower,
    upper,
    join: (left) => left,
  });
