// The driver runs the real tasks of a job: what is committed, late, refused, fired and remembered is what a process
// would have, whenever it is killed.

import { describe, expect, test } from 'vitest';
import {
  defineJob,
  integer,
  type JobDefinition,
  json,
  listState,
  records,
  samples,
  series,
  stats,
  topic,
  tumbling,
  valueState,
} from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

interface Visit {
  readonly user: string;
  readonly page: string;
}

/** Visits become sessions: a visit opens one, half a minute of event time without another closes it. */
function sessionsJob(options: { partitionedBy?: 'producer'; ttl?: string } = {}): JobDefinition {
  const { ttl = '1h', partitionedBy } = options;
  return defineJob({
    name: 'sessions',
    source: records<Visit>({ topic: 'visits', outOfOrderness: '0s', partitionedBy }),
    build: (visits) => {
      const sessions = visits
        .keyBy('by-user', ({ user }) => user)
        .process('sessions', {
          state: { pages: listState(json<string>()), ever: valueState(integer(), { ttl }) },
          sides: ['first'],
          process({ page }, { key, state, timers, timestampMs, emit, side }) {
            const ever = state.ever.get() ?? 0;
            if (ever === 0) side('first', `${key} comes for the first time`);
            state.ever.set(ever + 1);
            state.pages.add(page);
            timers.onEventTime(timestampMs + 30_000);
            timers.onClock(timestampMs + 3_600_000);
            if (page === 'exit') emit({ user: key, left: true });
          },
          onTimer({ kind, timeMs }, { key, state, emit, clockMs }) {
            if (kind === 'clock') return emit({ user: key, anHourLater: clockMs });
            emit({ user: key, pages: state.pages.get(), closed: timeMs });
            state.pages.clear();
          },
        });
      sessions.to(topic('sessions'));
      sessions.side<string>('first').to(topic('first-visits', { format: 'text' }));
    },
  });
}

function minutesJob(allowedLateness = '0s'): JobDefinition {
  return defineJob({
    name: 'minutes',
    source: samples({ topic: 'raw', outOfOrderness: '5s' }),
    build: (raw) => {
      raw.keyBy(series).window('1m', tumbling('1m', { allowedLateness })).aggregate(stats()).to(topic('minutes'));
    },
  });
}

const cpu = (host: string, value: number, timestamp: number) => ({
  metric_name: 'cpu',
  labels: { host },
  value,
  timestamp,
});

function values(driver: JobDriver, name: string): unknown[] {
  return driver.output(name).map(({ value }) => value);
}

describe('records through a function with state and timers', () => {
  test('come out as soon as they are settled, and not before', async () => {
    const driver = await JobDriver.start(sessionsJob());
    await driver.send('visits', { user: 'ann', page: 'exit' });
    expect(driver.output('sessions')).toEqual([]);
    await driver.settle();
    expect(driver.output('sessions')).toEqual([
      {
        key: 'ann',
        value: { user: 'ann', left: true },
        timestampMs: driver.nowMs,
        partition: 0,
        offset: 0,
        headers: {},
      },
    ]);
    expect(values(driver, 'first-visits')).toEqual(['ann comes for the first time']);
    await driver.stop();
  });

  test('fire event-time timers when later records raise the watermark', async () => {
    const driver = await JobDriver.start(sessionsJob());
    const startMs = driver.nowMs;
    await driver.send('visits', { user: 'ann', page: 'a' });
    await driver.send('visits', { user: 'bob', page: 'b' }, { timestampMs: startMs + 29_999 });
    await driver.settle();
    expect(driver.output('sessions')).toEqual([]);
    await driver.send('visits', { user: 'bob', page: 'c' }, { timestampMs: startMs + 30_000 });
    await driver.settle();
    expect(driver.watermark()).toBe(startMs + 30_000);
    expect(values(driver, 'sessions')).toEqual([{ user: 'ann', pages: ['a'], closed: startMs + 30_000 }]);
    await driver.stop();
  });

  test('fire event-time timers while the source is idle, and clock timers by the clock', async () => {
    const driver = await JobDriver.start(sessionsJob());
    const startMs = driver.nowMs;
    await driver.send('visits', { user: 'ann', page: 'a' });
    await driver.advance('59s');
    expect(driver.output('sessions')).toEqual([]);
    await driver.advance('5s');
    expect(values(driver, 'sessions')).toEqual([{ user: 'ann', pages: ['a'], closed: startMs + 30_000 }]);
    await driver.advance('1h');
    expect(values(driver, 'sessions').slice(1)).toEqual([{ user: 'ann', anHourLater: startMs + 3_600_000 }]);
    await driver.stop();
  });

  test('find that their state has expired while nothing ran', async () => {
    for (const [downMs, first] of [
      [3_599_999, 1],
      [3_600_000, 2],
    ]) {
      const driver = await JobDriver.start(sessionsJob());
      await driver.send('visits', { user: 'ann', page: 'a' });
      await driver.settle();
      await driver.crash();
      await driver.advance(downMs);
      await driver.send('visits', { user: 'bob', page: 'a' });
      await driver.send('visits', { user: 'ann', page: 'a' });
      await driver.restore();
      expect(driver.output('first-visits').filter(({ key }) => key === 'ann')).toHaveLength(first);
      await driver.stop();
    }
  });

  test('keep their state through a clean restart', async () => {
    const driver = await JobDriver.start(sessionsJob());
    const startMs = driver.nowMs;
    await driver.send('visits', { user: 'ann', page: 'a' });
    await driver.restart();
    await driver.send('visits', { user: 'ann', page: 'b' }, { timestampMs: startMs + 10_000 });
    await driver.advance('2m');
    expect(values(driver, 'first-visits')).toHaveLength(1);
    expect(values(driver, 'sessions')).toEqual([
      { user: 'ann', pages: ['a', 'b'], closed: startMs + 30_000 },
      { user: 'ann', pages: [], closed: startMs + 40_000 },
    ]);
    await driver.stop();
  });
});

describe('state', () => {
  test('is read by key, with the timers that wait, and changes nothing', async () => {
    const driver = await JobDriver.start(sessionsJob(), { partitions: { visits: 2 } });
    const startMs = driver.nowMs;
    for (const user of ['ann', 'bob']) {
      await driver.send('visits', { user, page: 'a' }, { key: user });
      await driver.send('visits', { user, page: 'b' }, { key: user, timestampMs: startMs + 1 });
    }
    await driver.settle();
    const look = () => [
      driver.state('sessions', 'pages', 'bob'),
      driver.state('sessions', 'ever', 'bob'),
      driver.timers('sessions', 'bob'),
      driver.keys('sessions'),
    ];
    const seen = look();
    expect(seen).toEqual([
      ['a', 'b'],
      2,
      { eventTimeMs: [startMs + 30_000, startMs + 30_001], clockMs: [startMs + 3_600_000, startMs + 3_600_001] },
      ['ann', 'bob'],
    ]);
    expect(driver.state('sessions', 'ever', 'cid')).toBe(null);
    await driver.crash();
    expect(() => driver.state('sessions', 'ever', 'bob')).toThrow('no process runs');
    await driver.restore();
    expect(look()).toEqual(seen);
    await driver.restart();
    expect(look()).toEqual(seen);
    expect(() => driver.state('sessions', 'page', 'bob')).toThrow("operator 'sessions' has no state 'page'");
    expect(() => driver.keys('sesions')).toThrow("no operator with state 'sesions'");
    expect(() => driver.watermark('sesions')).toThrow("no stage 'sesions'");
    await driver.stop();
  });

  test('is not seen any more when its time to live is over', async () => {
    const driver = await JobDriver.start(sessionsJob({ ttl: '1m' }));
    await driver.send('visits', { user: 'ann', page: 'a' });
    await driver.settle();
    expect(driver.state('sessions', 'ever', 'ann')).toBe(1);
    await driver.send('visits', { user: 'bob', page: 'a' }, { timestampMs: driver.nowMs + 60_000 });
    await driver.settle();
    expect(driver.state('sessions', 'ever', 'ann')).toBe(null);
    await driver.stop();
  });
});

describe('samples through windows', () => {
  test('are corrected within the lateness, and late behind it', async () => {
    const driver = await JobDriver.start(minutesJob('1m'));
    const t = driver.nowMs;
    await driver.send('raw', cpu('a', 1, t));
    await driver.send('raw', cpu('a', 2, t + 65_000));
    await driver.settle();
    expect(driver.take('minutes').map(({ value }) => value)).toMatchObject([{ window_start: t, sum: 1, revision: 0 }]);
    await driver.send('raw', cpu('a', 3, t + 1));
    await driver.settle();
    expect(driver.take('minutes').map(({ value }) => value)).toMatchObject([{ window_start: t, sum: 4, revision: 1 }]);
    await driver.send('raw', cpu('b', 5, t + 125_000));
    await driver.send('raw', cpu('a', 9, t + 2));
    await driver.settle();
    expect(driver.late().map(({ value, headers }) => [value, headers['source-offset']])).toEqual([
      [cpu('a', 9, t + 2), '4'],
    ]);
    expect(driver.take('minutes').map(({ value }) => value)).toMatchObject([{ window_start: t + 60_000, sum: 2 }]);
    await driver.stop();
  });

  test('close their windows when all partitions are idle', async () => {
    const driver = await JobDriver.start(minutesJob(), { partitions: { raw: 3 } });
    const t = driver.nowMs;
    for (const host of ['a', 'b', 'c', 'd', 'e']) await driver.send('raw', cpu(host, 1, t));
    await driver.advance('2m');
    expect(driver.output('minutes')).toHaveLength(5);
    await driver.stop();
  });

  test('go to the dead letters with the reason when they cannot be read', async () => {
    const driver = await JobDriver.start(minutesJob());
    await driver.send('raw', Buffer.from('{"metric_name":'), { key: 'k' });
    await driver.send('raw', [cpu('a', 1, driver.nowMs), { ...cpu('a', 1, driver.nowMs), value: 'one' }]);
    await driver.send('raw', cpu('a', 1, driver.nowMs + 3_600_000));
    await driver.settle();
    const letters = driver.deadLetters();
    expect(letters.map(({ headers }) => [headers['source-offset'], headers['error-path']])).toEqual([
      ['0', undefined],
      ['1', '$[1].value'],
      ['2', undefined],
    ]);
    expect(letters[0]).toMatchObject({ key: 'k', value: '{"metric_name":' });
    await driver.stop();
  });
});

describe('a crash', () => {
  /** Sessions of three users that overlap, over two partitions; without anything that the clock decides. */
  async function run(driver: JobDriver): Promise<unknown> {
    const t = driver.nowMs;
    const revive = async () => {
      if (!driver.running) await driver.restore();
    };
    for (let i = 0; i < 12; i++) {
      const user = ['ann', 'bob', 'cid'][i % 3];
      await driver.send('visits', { user, page: `${i}` }, { timestampMs: t + i * 7_000, key: user });
      if (i % 2 === 1) await driver.settle();
      await revive();
    }
    for (const partition of [0, 1]) {
      await driver.send('visits', { user: `zoe${partition}`, page: 'end' }, { timestampMs: t + 200_000, partition });
    }
    await driver.settle();
    await revive();
    const outputs = ['sessions', 'first-visits'].map((name) =>
      driver.output(name).map(({ key, value, timestampMs }) => JSON.stringify({ key, value, timestampMs })),
    );
    await driver.stop();
    return outputs.map((lines) => lines.toSorted());
  }

  test.each([
    ['with an exchange', {}, 7],
    ['without one', { partitionedBy: 'producer' }, 3],
  ] as const)('at any step changes nothing, %s', async (_, options, stride) => {
    const start = () => JobDriver.start(sessionsJob(options), { partitions: { visits: 2 } });
    const whole = await run(await start());
    expect(whole).toMatchObject([expect.arrayContaining([expect.stringContaining('closed')]), { length: 5 }]);
    let crashes = 0;
    for (let steps = 0; ; steps += stride) {
      const driver = await start();
      driver.crashAfter(steps);
      const outputs = await run(driver);
      expect(outputs, `after ${steps} steps`).toEqual(whole);
      if (driver.crashes === 0) break;
      crashes++;
    }
    expect(crashes).toBeGreaterThan(20);
  });
});

describe('the clock', () => {
  test('moved by an hour gives what it gives in small steps', async () => {
    const outputs = [];
    for (const step of [20_000, 3_600_000]) {
      const driver = await JobDriver.start(sessionsJob());
      for (let i = 0; i < 12; i++) {
        await driver.send('visits', { user: `u${i}`, page: 'x' }, { timestampMs: driver.nowMs - i * 997 * i });
      }
      for (let ms = 0; ms < 3_600_000; ms += step) await driver.advance(step);
      await driver.advance('20s');
      outputs.push(values(driver, 'sessions'));
      await driver.stop();
    }
    expect(outputs[0]).toHaveLength(24);
    expect(outputs[1]).toEqual(outputs[0]);
  });
});
