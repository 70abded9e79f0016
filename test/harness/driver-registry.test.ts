// Jobs whose schemas lie in a registry: the driver has one in memory, which may be silent for a while. Records wait for
// it, also in replay; what it does not have, or the source cannot read, is refused.

import { describe, expect, test } from 'vitest';
import { defineJob, integer, type JobDefinition, records, samples, topic, valueState } from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

interface Order {
  readonly id: string;
  readonly euros: number;
  readonly note?: string;
}

const field = (name: string, type: string, fallback?: unknown) => ({
  name,
  type,
  ...(fallback === undefined ? {} : { default: fallback }),
});
const order = (...fields: object[]) => ({ type: 'record', name: 'Order', fields });
const FIRST = order(field('id', 'string'), field('euros', 'int'));
const SECOND = order(field('note', 'string'), field('id', 'string'), field('euros', 'double'));
const WITHOUT_ID = order(field('euros', 'int'));
const WANTED = order(field('id', 'string'), field('euros', 'double'), field('note', 'string', 'none'));
const SCHEMAS = { 1: FIRST, 2: JSON.stringify(SECOND), 3: WITHOUT_ID };

/** Counts the orders of each id. */
function ordersJob(avroSchema?: unknown): JobDefinition {
  return defineJob({
    name: 'orders',
    source: records<Order>({ topic: 'orders', format: 'avro', registry: 'https://registry:8081', avroSchema }),
    build: (orders) => {
      orders
        .keyBy('by-id', ({ id }) => id)
        .process('count', {
          state: { n: valueState(integer()) },
          process({ euros, note }, { state, emit, key }) {
            const n = (state.n.get() ?? 0) + 1;
            state.n.set(n);
            emit([key, n, euros, note ?? null]);
          },
        })
        .to(topic('counts'));
    },
  });
}

const counts = (driver: JobDriver) => driver.output('counts').map(({ value }) => value);
const letters = (driver: JobDriver) => driver.deadLetters().map(({ headers }) => headers['error-code']);

describe('a job with a registry', () => {
  test('reads records as they were written, or as its own schema says', async () => {
    for (const [avroSchema, none] of [
      [undefined, null],
      [WANTED, 'none'],
    ]) {
      const driver = await JobDriver.start(ordersJob(avroSchema), { schemas: SCHEMAS });
      await driver.send('orders', { id: 'a', euros: 5 }, { schemaId: 1 });
      await driver.send('orders', { id: 'a', euros: 5.5, note: 'n' }, { schemaId: 2 });
      await driver.settle();
      expect(counts(driver)).toEqual([
        ['a', 1, 5, none],
        ['a', 2, 5.5, 'n'],
      ]);
      await driver.restart();
      await driver.stop();
    }
  });

  test('waits while the registry is silent, through a crash, and goes on where it waited', async () => {
    const driver = await JobDriver.start(ordersJob(), { schemas: SCHEMAS });
    await driver.send('orders', { id: 'a', euros: 1 }, { schemaId: 1 });
    await driver.settle();
    driver.registry.stop();
    await driver.send('orders', { id: 'a', euros: 2 }, { schemaId: 1 });
    await driver.send('orders', { id: 'a', euros: 3, note: '' }, { schemaId: 2 });
    await driver.send('orders', { id: 'a', euros: 4 }, { schemaId: 1 });
    await driver.advance('10m');
    expect(counts(driver).map((value) => (value as unknown[])[2])).toEqual([1, 2]);
    // What was known is asked for again by the next process, and its replay waits for it.
    await driver.restore();
    await driver.advance('10m');
    expect(driver.crashes).toBe(1);
    driver.registry.start();
    await driver.advance('2s');
    expect(counts(driver)).toEqual([1, 2, 3, 4].map((n) => ['a', n, n, n === 3 ? '' : null]));
    expect(driver.state('count', 'n', 'a')).toBe(4);
    await driver.stop();
  });

  test('refuses what names no schema, or one that does not go with its own; later it may be there', async () => {
    const driver = await JobDriver.start(ordersJob(WANTED), { schemas: SCHEMAS });
    const frame = (id: number) => Buffer.from([0, 0, 0, 0, id, 2, 97, 2]);
    await driver.send('orders', frame(9));
    await driver.send('orders', { euros: 1 }, { schemaId: 3 });
    await driver.send('orders', { id: 'b', euros: 2.5, note: 'plain' });
    await driver.settle();
    expect(letters(driver)).toEqual(['schema-unknown', 'schema-mismatch']);
    driver.registry.register(9, FIRST);
    // Replay refuses again what was refused, although the schema is there now.
    await driver.restore();
    await driver.send('orders', frame(9));
    await driver.settle();
    expect(letters(driver)).toHaveLength(2);
    expect(counts(driver)).toEqual([
      ['b', 1, 2.5, 'plain'],
      ['a', 1, 1, 'none'],
    ]);
    await driver.stop();
  });

  test('of samples, in Avro and beside other formats', async () => {
    const fields = [field('metric_name', 'string'), field('timestamp', 'long'), field('value', 'double')];
    const source = samples({ topic: 'raw', format: 'auto', registry: 'https://registry:8081' });
    const job = defineJob({
      name: 'all',
      source,
      build: (raw) => raw.flatMap('values', ({ metric_name: name, value }) => [[name, value]]).to(topic('out')),
    });
    const driver = await JobDriver.start(job, { schemas: { 7: { type: 'record', name: 'S', fields } } });
    driver.registry.stop();
    await driver.send('raw', { metric_name: 'json', value: 1 });
    await driver.send('raw', { metric_name: 'avro', value: 2 }, { schemaId: 7 });
    await driver.settle();
    expect(driver.take('out').map(({ value }) => value)).toEqual([['json', 1]]);
    driver.registry.start();
    await driver.settle();
    expect(driver.take('out').map(({ value }) => value)).toEqual([['avro', 2]]);
    await driver.stop();
  });
});

test('the driver says what it cannot write, and which schemas cannot be', async () => {
  const driver = await JobDriver.start(ordersJob(), { schemas: SCHEMAS });
  const send = (value: unknown, schemaId?: number) => driver.send('orders', value, { schemaId });
  await expect(send({ id: 'a', euros: 1 })).rejects.toMatchObject({
    code: 'record-refused',
    remedy: expect.stringContaining('schemaId: 1'),
  });
  await expect(send({ id: 'a', euros: 1 }, 8)).rejects.toMatchObject({
    code: 'record-refused',
    message: 'the registry has no schema 8',
  });
  await expect(send({ id: 'a' }, 1)).rejects.toMatchObject({ code: 'record-refused' });
  expect(() => driver.registry.register(1, FIRST)).toThrow('is there already');
  expect(() => driver.registry.register(4, '{')).toThrow('is no Avro schema');
  expect(() => driver.registry.register(-1, FIRST)).toThrow('no id');
  await driver.stop();
  const plain = defineJob({ name: 'plain', source: records({ topic: 'in' }), build: (all) => all.to(topic('out')) });
  const other = await JobDriver.start(plain, { schemas: SCHEMAS });
  await expect(other.send('in', {}, { schemaId: 1 })).rejects.toMatchObject({
    message: expect.stringContaining('takes no schema ids'),
  });
  await other.stop();
});
