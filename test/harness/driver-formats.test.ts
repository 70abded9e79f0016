// The driver writes and reads what topics hold in the format that the job says of them.

import { expect, test } from 'vitest';
import { defineJob, json, record, records, samples, topic, tumbling, valueState } from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

interface Visit {
  readonly user: string;
  readonly page: string;
}

const avroSchema = {
  type: 'record',
  name: 'Visit',
  fields: [
    { name: 'user', type: 'string' },
    { name: 'page', type: 'string' },
  ],
};

test('records go in and come out as their topics have them', async () => {
  const job = defineJob({
    name: 'avro',
    source: records<Visit>({ topic: 'in', format: 'avro', avroSchema }),
    build: (visits) => {
      visits.to(topic('again', { format: 'avro', avroSchema }));
      visits.map('bytes', ({ user }) => Buffer.from(user)).to(topic('bytes', { format: 'bytes' }));
    },
  });
  const driver = await JobDriver.start(job);
  await driver.send('in', { user: 'ann', page: 'a' });
  await driver.send('in', Buffer.from([1, 2, 3]));
  await expect(driver.send('in', { user: 5 })).rejects.toMatchObject({ code: 'record-refused' });
  await driver.settle();
  expect(driver.output('again').map(({ value }) => ({ ...(value as Visit) }))).toEqual([{ user: 'ann', page: 'a' }]);
  expect(driver.output<Buffer>('bytes').map(({ value }) => value.toString())).toEqual(['ann']);
  expect(driver.deadLetters<Buffer>().map(({ value }) => [...value])).toEqual([[1, 2, 3]]);
  await driver.stop();
});

const sample = { metric_name: 'cpu', labels: { host: 'a' }, value: 1 };

test('formats of samples that objects do not become are told', async () => {
  const job = (format: 'influx' | 'otlp') =>
    defineJob({
      name: 'formats',
      source: samples({ topic: 'in', format }),
      build: (raw) => {
        raw.flatMap('all', (sample) => [sample]).to(topic('out'));
      },
    });
  const influx = await JobDriver.start(job('influx'));
  await influx.send('in', `cpu,host=a usage=1 ${influx.nowMs}000000`);
  await influx.settle();
  expect(influx.output('out').map(({ value }) => value)).toMatchObject([
    { labels: { host: 'a' }, value: 1, timestamp: influx.nowMs },
  ]);
  await expect(influx.send('in', sample)).rejects.toMatchObject({ remedy: 'send lines as a text' });
  const otlp = await JobDriver.start(job('otlp'));
  await expect(otlp.send('in', sample)).rejects.toMatchObject({ code: 'record-refused' });
});

test('records that no state could keep are dead letters, and the job goes on', async () => {
  const job = defineJob({
    name: 'hostile',
    source: records<Visit>({ topic: 'in' }),
    build: (visits) => {
      const kept = visits
        .keyBy('by-user', ({ user }) => user)
        .process('last', {
          state: { last: valueState(json<Visit>()) },
          process(visit, { state, emit }) {
            emit({ before: state.last.get(), visit });
            state.last.set(visit);
          },
        });
      kept.to(topic('out'));
    },
  });
  const driver = await JobDriver.start(job);
  const hostile = ['{"user":"\\ud800"}', '{"user":"ann","page":1e999}', '['.repeat(100_000), '{"user":"\ufffd'];
  for (const text of hostile) await driver.send('in', Buffer.from(text));
  await driver.send('in', Buffer.from('{"user":"ann","page":"\\u0061","__proto__":{"page":"b"}}'));
  await driver.settle();
  expect(driver.deadLetters().map(({ value }) => value)).toEqual(hostile);
  expect(driver.output('out').map(({ value }) => JSON.stringify(value))).toEqual([
    '{"before":null,"visit":{"user":"ann","page":"a","__proto__":{"page":"b"}}}',
  ]);
  await driver.stop();
});

test('Avro records with NaN, infinities and bytes go through exchanges, windows, joins and states', async () => {
  interface Reading {
    readonly user: string;
    readonly value: Uint8Array | number | null;
  }
  const schema = {
    type: 'record',
    name: 'Reading',
    fields: [
      { name: 'user', type: 'string' },
      { name: 'value', type: ['null', 'bytes', 'double'] },
    ],
  };
  const avro = { format: 'avro', avroSchema: schema } as const;
  const job = defineJob({
    name: 'readings',
    sources: {
      readings: records<Reading>({ topic: 'in', ...avro, idleness: '1s' }),
      others: records<Reading>({ topic: 'others', ...avro, idleness: '1s' }),
    },
    build: ({ readings, others }) => {
      const user = ({ user }: Reading) => user;
      const keyed = readings.keyBy('by-user', user);
      keyed
        .process('last', {
          state: { last: valueState(record<Reading>()) },
          process(reading, { state, emit }) {
            emit(state.last.get() ?? reading);
            state.last.set(reading);
          },
        })
        .to(topic('last', avro));
      keyed
        .window('1m', tumbling('1m'))
        .reduce(
          (_, b) => b,
          (reading) => reading,
        )
        .to(topic('reduced', avro));
      readings
        .intervalJoin('both', others, {
          key: user,
          otherKey: user,
          lower: '-1m',
          upper: '1m',
          join: (_, other) => other,
        })
        .to(topic('joined', avro));
    },
  });
  const values = [Number.NaN, Number.NEGATIVE_INFINITY, Buffer.from([0, 255]), null];
  const driver = await JobDriver.start(job);
  for (const value of values) {
    await driver.send('in', { user: `${value}`, value });
    await driver.send('in', { user: `${value}`, value });
    await driver.send('others', { user: `${value}`, value });
  }
  await driver.advance('10s');
  await driver.crash();
  await driver.restore();
  await driver.restart();
  await driver.advance('5m');
  const twice = values.flatMap((value) => [value, value]);
  const written = (name: string) => driver.output<Reading>(name).map(({ value }) => value.value);
  expect(written('last')).toEqual(expect.arrayContaining(twice));
  expect(written('last')).toHaveLength(8);
  expect(written('reduced')).toEqual(expect.arrayContaining(values));
  expect(written('joined')).toHaveLength(8);
  expect(driver.state('last', 'last', `${Number.NaN}`)).toEqual({ user: 'NaN', value: Number.NaN });
  await driver.stop();
});

test('records of megabytes go through exchanges, and aside when they are bad', async () => {
  const job = defineJob({
    name: 'large',
    source: records<Visit>({ topic: 'in' }),
    build: (visits) => {
      visits
        .keyBy('by-user', ({ user }) => user)
        .process('same', { state: {}, process: (visit, { emit }) => emit(visit) })
        .to(topic('out'));
    },
  });
  const driver = await JobDriver.start(job);
  const visit = { user: 'ann', page: 'words '.repeat(400_000) };
  const bad = 'no JSON '.repeat(400_000);
  await driver.send('in', visit);
  await driver.send('in', Buffer.from(bad));
  await driver.settle();
  expect(driver.output<Visit>('out').map(({ value }) => value.page === visit.page)).toEqual([true]);
  expect(driver.deadLetters().map(({ value }) => value === bad)).toEqual([true]);
  await driver.stop();
});
