// Streams that become one by union: every record once, in the order in which it was taken, which a replay repeats; what
// depends on time waits for the slowest of them.

import { expect, test } from 'vitest';
import {
  defineJob,
  integer,
  type JobDefinition,
  listState,
  records,
  samples,
  topic,
  tumbling,
} from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

interface Step {
  readonly user: string;
  readonly n: number;
}

/** Two topics, one of them twice, and samples; each user's history so far comes out with each of his steps. */
function stepsJob(): JobDefinition {
  const record = { outOfOrderness: '1s', idleness: '1h' } as const;
  return defineJob({
    name: 'steps',
    sources: {
      web: records<Step>({ topic: 'web', ...record }),
      mobile: records<Step>({ topic: 'mobile', ...record }),
      raw: samples({ topic: 'raw', ...record }),
    },
    exchangePartitions: 3,
    build: ({ web, mobile, raw }) => {
      const again = mobile.map('again', ({ user, n }) => ({ user, n: n + 1000 }));
      const measured = raw.flatMap('measured', ({ labels, value }) => [{ user: labels['user'] ?? '', n: value }]);
      const all = web.union(mobile, again, measured).keyBy('by-user', ({ user }) => user);
      all
        .process('history', {
          state: { history: listState(integer()) },
          process({ n }, { state, emit, key }) {
            state.history.add(n);
            emit({ user: key, history: [...state.history.get()] });
          },
        })
        .to(topic('history'));
      all
        .window('minutes', tumbling('1m'))
        .reduce(
          ({ user, n }, b) => ({ user, n: n + b.n }),
          ({ user, n }, { startMs }) => ({ user, n, startMs }),
        )
        .to(topic('minutes'));
    },
  });
}

const USERS = ['ann', 'bob', 'cid'];

async function send(driver: JobDriver, number: number): Promise<void> {
  const user = USERS[number % 3];
  await driver.send('web', { user, n: number }, { partition: number % 2 });
  await driver.send('mobile', { user, n: number + 100 });
  await driver.send('raw', { metric_name: 'steps', labels: { user }, value: number + 200, timestamp: driver.nowMs });
}

test('takes each record of each stream once, whatever step a crash comes at', async () => {
  let crashes = 0;
  for (let steps = 0; ; steps += 40) {
    const driver = await JobDriver.start(stepsJob(), { partitions: { web: 2 } });
    driver.crashAfter(steps);
    for (let number = 0; number < 6; number++) {
      await send(driver, number);
      await driver.settle();
      if (!driver.running) await driver.restore();
    }
    const histories = driver.output<{ user: string; history: number[] }>('history').map(({ value }) => value);
    for (const [at, user] of USERS.entries()) {
      const own = histories.filter((one) => one.user === user).map(({ history }) => history);
      expect(own.map(({ length }) => length)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      const last = own[7];
      // Each grew out of the one before: the order that was taken once is kept.
      for (const [count, history] of own.entries()) expect(history).toEqual(last.slice(0, count + 1));
      const numbers = [at, at + 3].flatMap((n) => [n, n + 100, n + 1100, n + 200]);
      expect(last.toSorted((a, b) => a - b)).toEqual(numbers.sort((a, b) => a - b));
    }
    await driver.stop();
    if (driver.crashes === 0) break;
    crashes++;
  }
  expect(crashes).toBeGreaterThan(10);
});

test('waits for the slowest stream before it closes a window', async () => {
  const driver = await JobDriver.start(stepsJob(), { partitions: { web: 2 } });
  await send(driver, 0);
  await send(driver, 3);
  const laterMs = driver.nowMs + 90_000;
  const sentinel = { user: 'zoe', n: 0 };
  const minutes = () => driver.output<{ user: string; n: number }>('minutes').map(({ value }) => value);
  await driver.send('web', sentinel, { partition: 0, timestampMs: laterMs });
  await driver.send('mobile', sentinel, { timestampMs: laterMs });
  await driver.send('raw', { metric_name: 'steps', labels: { user: 'zoe' }, value: 0, timestamp: laterMs });
  await driver.settle();
  expect(minutes()).toEqual([]);
  await driver.send('web', sentinel, { partition: 1, timestampMs: laterMs });
  await driver.settle();
  expect(minutes()).toMatchObject([{ user: 'ann', n: 0 + 3 + 100 + 103 + 1100 + 1103 + 200 + 203 }]);
  await driver.stop();
});
