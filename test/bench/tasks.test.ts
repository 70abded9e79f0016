// Many tasks in one process start, read everything, stop and start again, and hold no more sockets than one
// each for every broker.

import { expect, test } from 'vitest';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import { measureManyTasks } from './tasks.ts';

const COMMON = { slots: 2, idleSeconds: 0.1, loadSeconds: 2, progress: () => {} };
/** Of the main thread and two slots: small questions, reading. */
const SOCKETS_BESIDE = 30;

test('two hundred tasks run in one process on the embedded log', async () => {
  const measure = await measureManyTasks({ ...COMMON, tasks: 200, brokers: null, namespace: 'many' });
  expect(measure.fedRecords).toBeGreaterThan(0);
  expect(measure.readRecords).toBe(measure.fedRecords);
});

test.runIf(process.platform === 'linux')('sixty tasks run in one process on Kafka, each with its socket', async () => {
  const { brokers } = await sharedKafka();
  const own = { tasks: 60, brokers, namespace: uniqueName('many') };
  const measure = await measureManyTasks({ ...COMMON, ...own });
  expect(measure.readRecords).toBe(measure.fedRecords);
  expect(measure.sockets).toBeGreaterThanOrEqual(60);
  expect(measure.sockets).toBeLessThan(60 * brokers.length + SOCKETS_BESIDE);
});
