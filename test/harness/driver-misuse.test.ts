// What functions of a job may do wrong is said with the step that did it, before anything of it is committed; what they
// may do, however odd, comes through crashes and restarts unchanged.

import { describe, expect, test } from 'vitest';
import {
  aggregatingState,
  defineJob,
  integer,
  type JobDefinition,
  json,
  listState,
  mapState,
  records,
  text,
  topic,
  valueState,
} from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

/** Authors write JavaScript, too: types keep nobody from anything here. */
type Loose = (...given: unknown[]) => never;
interface LooseStream {
  readonly [word: string]: (...given: unknown[]) => LooseStream;
}

function looseJob(build: (stream: LooseStream) => unknown, source: object = {}): JobDefinition {
  const from = records({ topic: 'in', outOfOrderness: '0s', ...source });
  return defineJob({ name: 'loose', source: from, build: build as unknown as () => void });
}

/** A function under the key that records name as `k`. */
const processed =
  (spec: object) =>
  (stream: LooseStream): unknown =>
    stream
      .keyBy('key', (({ k }: { k: string }) => k) as Loose)
      .process('p', { process: () => {}, ...spec })
      .to(topic('out'));

/** What comes out, and whether it is the same after a crash and after a clean restart. */
async function outcome(job: JobDefinition, values: readonly unknown[]): Promise<unknown[]> {
  const driver = await JobDriver.start(job);
  const out = () => driver.output('out').map(({ value }) => value);
  for (const value of values) {
    await driver.send('in', value);
    await driver.settle();
  }
  const seen = out();
  await driver.crash();
  await driver.restore();
  expect(out()).toEqual(seen);
  await driver.restart();
  expect(out()).toEqual(seen);
  await driver.stop();
  return seen;
}

const ONE = [{ k: 'a' }];
const same = (record: unknown) => record;
const later = async () => {
  throw new Error('later');
};

describe('a function that answers later', () => {
  test.each<[string, (stream: LooseStream) => unknown, object]>([
    ["map 'm'", (s) => s.map('m', later).to(topic('out')), {}],
    ["filter 'f'", (s) => s.filter('f', later).to(topic('out')), {}],
    ["flatMap 'f'", (s) => s.flatMap('f', later).to(topic('out')), {}],
    [
      "keyBy 'k'",
      (s) =>
        s
          .keyBy('k', later)
          .process('p', { process: () => {} })
          .to(topic('out')),
      {},
    ],
    ["process 'p'", processed({ process: later }), {}],
    ["process 'p'", processed({ process: (_: unknown, c: Context) => c.timers.onEventTime(0), onTimer: later }), {}],
    ["sink 'm-to-out'", (s) => s.map('m', same).to(topic('out', { key: later as never })), {}],
    ["source 'records'", (s) => s.map('m', same).to(topic('out')), { read: later }],
    ["source 'records'", (s) => s.map('m', same).to(topic('out')), { timestamp: later }],
  ])('is refused: %s', async (step, build, source) => {
    await expect(outcome(looseJob(build, source), ONE)).rejects.toMatchObject({
      code: 'operator-failed',
      message: expect.stringMatching(new RegExp(`the function of ${step} is asynchronous`)),
    });
  });
});

interface Context {
  readonly key: string;
  readonly watermarkMs: number;
  readonly state: Record<string, LooseHandle>;
  readonly timers: Record<string, (timeMs: unknown) => void>;
  emit(value: unknown, timestampMs?: unknown): void;
  side(name: string, value: unknown): void;
}
interface LooseHandle {
  readonly size: number;
  get(key?: unknown): unknown;
  set(key: unknown, value?: unknown): void;
  add(value: unknown): void;
  delete(key: unknown): boolean;
  entries(): Iterable<[unknown, unknown]>;
}

const withState = (description: unknown, use: (handle: LooseHandle, context: Context) => void) =>
  processed({ state: { s: description }, process: (_: unknown, c: Context) => use(c.state['s'], c) });

describe('a function that', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  test.each<[string, string, (stream: LooseStream) => unknown]>([
    [
      'sends to a side that nobody named',
      "sent to the side output 'nope', which leads nowhere",
      processed({ process: (_: unknown, c: Context) => c.side('nope', 1) }),
    ],
    [
      'emits at half a millisecond',
      'event time 1.5, which is not in whole milliseconds, for key a',
      processed({ process: (_: unknown, c: Context) => c.emit(1, 1.5) }),
    ],
    [
      'asks for a timer at no time',
      'asked for a timer at NaN',
      processed({ process: (_: unknown, c: Context) => c.timers.onEventTime(Number.NaN) }),
    ],
    [
      'asks for a timer beyond all time',
      'asked for a timer at 9007199254740992',
      processed({ process: (_: unknown, c: Context) => c.timers.onClock(2 ** 53) }),
    ],
    [
      'asks for its own timer again',
      'asked in its timer of 5 for one at 5, which is not after it',
      processed({
        process: (_: unknown, c: Context) => c.timers.onEventTime(5),
        onTimer: (_: unknown, c: Context) => c.timers.onEventTime(5),
      }),
    ],
    [
      'asks for a timer of each second since 1970',
      'asked for more than 100000 timers of the past, one after the other, for key a at 99999000',
      processed({
        process: (_: unknown, c: Context) => (c.watermarkMs > 0 ? c.timers.onEventTime(0) : undefined),
        onTimer: ({ timeMs }: { timeMs: number }, c: Context) => c.timers.onEventTime(timeMs + 1_000),
      }),
    ],
    [
      'keeps a Map as JSON',
      "process 'p' for key a at \\d+: state cannot hold this value: \\$ is a Map",
      withState(valueState(json()), (s) => s.set(new Map())),
    ],
    ['keeps itself', 'state cannot hold this value', withState(valueState(json()), (s) => s.set(circle))],
    ['keeps a fraction as an integer', 'state cannot hold', withState(valueState(integer()), (s) => s.set(1.5))],
    [
      'changes what it kept',
      'read only property',
      withState(valueState(json()), (s) => {
        const value = { n: 1 };
        s.set(value);
        value.n = 2;
      }),
    ],
    [
      'changes a list that it was given',
      'not extensible',
      withState(listState(json()), (s) => {
        s.add(1);
        (s.get() as unknown[]).push(2);
      }),
    ],
    ...[1, 'yes', null, undefined].map((answer): [string, string, (stream: LooseStream) => unknown] => [
      `keeps records by ${JSON.stringify(answer)}`,
      `filter 'f' gave ${JSON.stringify(answer)} instead of a boolean`,
      (s) => s.filter('f', () => answer).to(topic('out')),
    ]),
    [
      'emits a promise',
      'a promise, which JSON would lose',
      processed({ process: (_: unknown, c: Context) => c.emit([Promise.resolve(1)]) }),
    ],
    [
      'emits NaN',
      'is NaN, which JSON would lose',
      processed({ process: (_: unknown, c: Context) => c.emit({ n: Number.NaN }) }),
    ],
    [
      'sends a Map through an exchange',
      "'exchange-p' on its way to .*: .* is a Map",
      (s) =>
        s
          .map('m', () => new Map())
          .keyBy('k', () => 'k')
          .process('p', { process: () => {} })
          .to(topic('out')),
    ],
    ...[
      ['', '""'],
      [5, '5'],
      [undefined, 'undefined'],
      [null, 'null'],
      [{}, '{}'],
    ].map(([key, shown]): [string, string, (stream: LooseStream) => unknown] => [
      `names the key ${shown}`,
      `keyBy 'k' gave ${shown} instead of a text`,
      (s) =>
        s
          .keyBy('k', () => key)
          .process('p', { process: () => {} })
          .to(topic('out')),
    ]),
    [
      'names half a surrogate pair as the key',
      "keyBy 'k' gave a text with half a surrogate pair",
      (s) =>
        s
          .keyBy('k', () => 'a\ud800')
          .process('p', { process: () => {} })
          .to(topic('out')),
    ],
    [
      'names half a surrogate pair as the key of a topic',
      "sink 'm-to-out' gave a key with half a surrogate pair",
      (s) => s.map('m', same).to(topic('out', { key: () => '\udc00' })),
    ],
    [
      'writes half a surrogate pair as text',
      'the text holds half a surrogate pair',
      (s) => s.map('m', () => '\ud83d').to(topic('out', { format: 'text' })),
    ],
    [
      'names a key that is too long',
      'gave a key of 65537 bytes',
      (s) =>
        s
          .keyBy('k', () => 'x'.repeat(65_537))
          .process('p', { process: () => {} })
          .to(topic('out')),
    ],
  ])('%s is named', async (_, message, build) => {
    const failure = { code: 'operator-failed', message: expect.stringMatching(message) };
    await expect(outcome(looseJob(build), [...ONE, ...ONE])).rejects.toMatchObject(failure);
  });

  test.each<[string, string, (stream: LooseStream) => unknown]>([
    [
      'a state has a name of ours',
      "'time-to-live' is taken",
      processed({ state: { 'time-to-live': valueState(integer()) } }),
    ],
    [
      'a state is called __proto__',
      "'__proto__' is no name of a state",
      processed({ state: { ['__proto__']: valueState(integer()) } }),
    ],
    [
      'process stands behind process',
      "process 'q': has no key",
      (s) =>
        s
          .keyBy('k', () => 'k')
          .process('p', { process: () => {} })
          .process('q', { process: () => {} })
          .to(topic('out')),
    ],
    [
      'a union goes on without a key',
      'union: is followed by topic, not by keyBy',
      (s) => (s.map('a', same).union as Loose as (other: LooseStream) => LooseStream)(s).to(topic('out')),
    ],
  ])('a job is refused when %s', async (_, message, build) => {
    await expect(JobDriver.start(looseJob(build))).rejects.toMatchObject({
      code: 'job-invalid',
      message: expect.stringContaining(message),
    });
  });
});

describe('it is all right', () => {
  test.each(['__proto__', 'constructor', 'a\nb"{}', 'x'.repeat(65_536), 'é'.repeat(32_768)])(
    'to have the key %.20s',
    async (key) => {
      const count = (_: unknown, { state, emit, key: seen }: Context) => {
        state['n'].set(((state['n'].get() as number) ?? 0) + 1);
        emit([seen.length, state['n'].get()]);
      };
      const build = (s: LooseStream) =>
        s
          .keyBy('k', () => key)
          .process('p', { state: { n: valueState(integer()) }, process: count })
          .to(topic('out'));
      expect(await outcome(looseJob(build), [1, 2])).toEqual([
        [key.length, 1],
        [key.length, 2],
      ]);
    },
  );

  test('to fire timers of the past, of either clock, also before 1970', async () => {
    const build = processed({
      process(_: unknown, { timers }: Context) {
        for (const timeMs of [0, -5, -(2 ** 50), 7]) timers.onEventTime(timeMs);
        timers.onClock(3);
      },
      onTimer: ({ kind, timeMs }: { kind: string; timeMs: number }, { emit }: Context) => emit([kind, timeMs]),
    });
    expect(await outcome(looseJob(build), ONE)).toEqual([
      ['event-time', -(2 ** 50)],
      ['event-time', -5],
      ['event-time', 0],
      ['event-time', 7],
      ['clock', 3],
    ]);
  });

  test('to change a map while it is gone through, and to have any key in it', async () => {
    const names = ['__proto__', 'b', 'a', ''];
    const build = withState(mapState(text(), json()), (s, { emit }) => {
      for (const name of names) s.set(name, name);
      for (const [name] of s.entries()) {
        s.delete(name);
        s.set(`${String(name)}!`, 1);
      }
      emit([...s.entries()].map(([name]) => name));
    });
    const first = names.map((name) => `${name}!`);
    expect((await outcome(looseJob(build), [...ONE, ...ONE]))[0]).toEqual(first);
  });

  test('to change an accumulator in place', async () => {
    const sum = {
      create: () => ({ n: 0 }),
      add: (all: { n: number }) => {
        all.n++;
        return all;
      },
      result: ({ n }: { n: number }) => n,
    };
    const build = withState(aggregatingState(json<{ n: number }>(), sum), (s, { emit }) => {
      s.add(1);
      emit(s.get());
    });
    expect(await outcome(looseJob(build), [...ONE, ...ONE, ...ONE])).toEqual([1, 2, 3]);
  });

  test.each([{}, { partitionedBy: 'producer' }])(
    'to key again right behind a function, to take streams twice: %j',
    async (source) => {
      const count = {
        state: { n: valueState(integer()) },
        process(record: unknown, { state, emit, key }: Context) {
          state['n'].set(((state['n'].get() as number) ?? 0) + 1);
          emit([key, record, state['n'].get()]);
        },
      };
      const build = (s: LooseStream) => {
        const odd = s.keyBy('parity', ((n: number) => `p${n % 2}`) as Loose).process('first', count);
        const both = (odd.map('odd', same).union as Loose as (...others: LooseStream[]) => LooseStream)(odd);
        return both
          .keyBy('third', (([, n]: [string, number]) => `t${n % 3}`) as Loose)
          .process('second', count)
          .to(topic('out'));
      };
      const numbers = [1, 2, 3, 4];
      const seen = await outcome(looseJob(build, source), numbers);
      expect(seen).toHaveLength(8);
      const counts = seen.map((one) => {
        const [key, [parity, n], times] = one as [string, [string, number], number];
        expect([key, parity]).toEqual([`t${n % 3}`, `p${n % 2}`]);
        return `${n} ${times}`;
      });
      expect(counts).toEqual(['1 1', '1 2', '2 1', '2 2', '3 1', '3 2', '4 3', '4 4']);
    },
  );
});
