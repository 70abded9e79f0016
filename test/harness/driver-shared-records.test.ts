// A record that several steps are given is the same for all of them: what one would change fails, with its name. What
// goes one way only may be changed.

import { describe, expect, test } from 'vitest';
import { defineJob, records, topic } from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

/** Authors write JavaScript, too: types keep nobody from anything here. */
interface LooseStream {
  readonly [word: string]: (...given: unknown[]) => LooseStream;
}
type Loose = (...given: unknown[]) => never;

async function outcome(build: (stream: LooseStream) => unknown, value: unknown): Promise<unknown[]> {
  const source = records({ topic: 'in', outOfOrderness: '0s' });
  const driver = await JobDriver.start(defineJob({ name: 'shared', source, build: build as unknown as () => void }));
  await driver.send('in', value);
  await driver.settle();
  const seen = driver.output('out').map((record) => record.value);
  await driver.stop();
  return seen;
}

const same = (record: unknown) => record;

/** Changes what it was given, on several levels. */
const changing = (change: (record: Loosest) => unknown) => (record: unknown) => {
  change(record as Loosest);
  return record;
};
interface Loosest {
  k?: string;
  inner: { n: number; list: number[]; more?: number };
}
const BRANCHES: readonly [string, string, (stream: LooseStream, change: Loose) => unknown][] = [
  [
    'the source',
    "map 'm'",
    (s, change) => {
      s.map('m', change).to(topic('out'));
      s.map('n', same).to(topic('other'));
    },
  ],
  [
    'a topic and a step',
    "flatMap 'm'",
    (s, change) => {
      const mapped = s.map('l', same);
      mapped.to(topic('out'));
      mapped.flatMap('m', ((record: unknown) => [change(record)]) as Loose).to(topic('other'));
    },
  ],
  [
    'a key',
    "process 'm'",
    (s, change) => {
      const keyed = s.keyBy('k', () => 'k');
      for (const [at, id] of ['m', 'n'].entries()) keyed.process(id, { process: change }).to(topic(`out-${at}`));
    },
  ],
  [
    'a function',
    "map 'm'",
    (s, change) => {
      const process = (record: unknown, { emit }: { readonly emit: (value: unknown) => void }) => emit(record);
      const processed = s.keyBy('k', () => 'k').process('p', { process });
      processed.map('n', same).to(topic('out'));
      processed.map('m', change).to(topic('other'));
    },
  ],
];

describe('a record that two steps are given', () => {
  const changes: [string, (record: Loosest) => unknown][] = [
    ['read only property', (record) => (record.inner.n = 2)],
    ['is not extensible', (record) => record.inner.list.push(1)],
    ['Cannot delete property', (record) => delete record.k],
  ];
  test.each(BRANCHES)('cannot be changed by one of them: behind %s', async (_, step, build) => {
    for (const [message, change] of changes) {
      const changed = (s: LooseStream) => build(s, changing(change) as Loose);
      await expect(outcome(changed, { k: 'a', inner: { n: 1, list: [] } })).rejects.toMatchObject({
        code: 'operator-failed',
        message: expect.stringMatching(`the function of ${step} threw '.*${message}`),
        remedy: expect.stringContaining('give a new value'),
      });
    }
  });
});

test('a record that goes one way only may be changed', async () => {
  const change = changing((record) => record.inner.list.push(record.inner.n++)) as Loose;
  const build = (s: LooseStream) =>
    s
      .map('m', change)
      .filter('f', () => true)
      .map('n', change)
      .to(topic('out'));
  expect(await outcome(build, { inner: { n: 1, list: [] } })).toEqual([{ inner: { n: 3, list: [1, 2] } }]);
});
