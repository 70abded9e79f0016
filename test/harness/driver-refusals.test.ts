// What the driver refuses, with code and remedy: jobs with faults, topics that are not there, functions that fail or are
// not the same at their second run.

import { expect, test } from 'vitest';
import {
  defineJob,
  float64,
  integer,
  type JobDefinition,
  records,
  type StateCodec,
  samples,
  topic,
  valueState,
} from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

function numbersJob(): JobDefinition {
  return defineJob({
    name: 'failing',
    source: records<number>({ topic: 'numbers' }),
    build: (numbers) => {
      numbers
        .map('halve', (number) => {
          if (number % 2 === 1) throw new RangeError('is odd');
          return number / 2;
        })
        .to(topic('halves'));
    },
  });
}

test('the driver refuses a job with faults, all of them', async () => {
  const job = defineJob({ name: 'A', source: samples({ topic: '' }), build: () => {} });
  await expect(JobDriver.start(job)).rejects.toMatchObject({ code: 'job-invalid' });
});

test('the driver refuses topics that the job does not have', async () => {
  const options = { partitions: { letters: 2 } };
  await expect(JobDriver.start(numbersJob(), options)).rejects.toMatchObject({
    code: 'topic-unknown',
    remedy: expect.stringContaining('numbers'),
  });
  const driver = await JobDriver.start(numbersJob());
  await expect(driver.send('halves', 1)).rejects.toMatchObject({ code: 'topic-unknown' });
  expect(() => driver.output('numbers')).toThrow("writes no topic 'numbers'");
  await expect(driver.send('numbers', {}, { partition: 1 })).rejects.toMatchObject({ code: 'record-refused' });
  await expect(driver.advance('soon')).rejects.toMatchObject({ code: 'config-invalid' });
  await driver.stop();
});

test('the driver refuses to go on behind a function that failed, and says which', async () => {
  const driver = await JobDriver.start(numbersJob());
  await driver.send('numbers', 4);
  await driver.settle();
  await driver.send('numbers', 3);
  const failure = { code: 'operator-failed', message: expect.stringContaining("map 'halve' threw 'is odd' for 3") };
  await expect(driver.settle()).rejects.toMatchObject(failure);
  await expect(driver.send('numbers', 2)).rejects.toMatchObject(failure);
  await expect(driver.restore()).rejects.toMatchObject(failure);
  expect(driver.output('halves').map(({ value }) => value)).toEqual([2]);
});

test('the driver refuses a function that is not the same at its second run', async () => {
  let calls = 0;
  const job = defineJob({
    name: 'counting',
    source: records<string>({ topic: 'in' }),
    build: (all) => {
      all
        .keyBy('key', (one) => one)
        .process('count', {
          state: { seen: valueState(integer()) },
          process: (_, { state, emit }) => {
            state.seen.set(++calls);
            emit(1);
          },
        })
        .to(topic('out'));
    },
  });
  const driver = await JobDriver.start(job);
  await driver.send('in', 'a');
  await driver.settle();
  await driver.crash();
  await expect(driver.restore()).rejects.toMatchObject({
    code: 'replay-diverged',
    message: expect.stringContaining('counting/count/0: its state at entry'),
  });
});

test('the driver refuses a codec that reads something else than it wrote', async () => {
  const codec: StateCodec<number> = { ...float64(), read: (input) => input.f64() + 1 };
  const job = defineJob({
    name: 'codec',
    source: records<string>({ topic: 'in' }),
    build: (all) => {
      all
        .keyBy('key', (one) => one)
        .process('count', { state: { n: valueState(codec) }, process: (_, { state }) => state.n.set(1) })
        .to(topic('out'));
    },
  });
  const driver = await JobDriver.start(job);
  await driver.send('in', 'a');
  await expect(driver.restart()).rejects.toMatchObject({
    code: 'replay-diverged',
    message: "state 'n' of 'count' for key a is another than before the restart",
  });
});
