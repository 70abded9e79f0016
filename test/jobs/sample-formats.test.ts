// Sources in every format, from the words of a job to rows.

import avsc from 'avsc';
import { compressSync } from 'snappy';
import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { type SamplesOptions, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { explain } from '#jobs/explain.ts';
import { records } from '#jobs/record-words.ts';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { ROLLUP_ROW_SCHEMA } from '#operators/formats/row-encoder.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { StageBench } from '#test/jobs/stage-bench.ts';
import { SCHEMAS } from '#test/operators/formats/avro-generator.ts';
import { bytesField, double, fixed64 } from '#test/operators/formats/protobuf-bytes.ts';
import { referenceRemoteWrite } from '#test/operators/formats/reference-remote-write.ts';
import { label, sample } from '#test/operators/formats/remote-write-generator.ts';

const START_MS = 1_700_006_400_000;
const SCHEMA = SCHEMAS.get(1);

function job(options: Partial<SamplesOptions>) {
  return defineJob({
    name: 'formats',
    source: samples({ topic: 'raw', ...options }),
    build: (raw) => raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('rows')),
  });
}

function faultsOf(options: object): string[] {
  try {
    compileJob(job(options));
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    return error.message
      .split('\n')
      .slice(1)
      .filter((line) => !line.includes('remedy:'));
  }
  return [];
}

test('one topic in every format gives one series', () => {
  const bench = new StageBench(
    job({ format: 'auto', avroSchema: SCHEMA, partitionedBy: 'producer' }),
    START_MS + 60_000,
  );
  const at = (second: number) => START_MS + second * 1000;
  const schema = parseAvroSchema(SCHEMA);
  if (typeof schema === 'string') throw new Error(schema);
  const request = bytesField(1, label('__name__', 'cpu_load'), label('host', 'a'), sample(2, at(2)));
  const point = bytesField(
    1,
    fixed64(3, BigInt(at(3)) * 1000000n),
    double(4, 3),
    bytesField(7, bytesField(1, 'host'), bytesField(2, bytesField(1, 'a'))),
  );
  const otlp = bytesField(1, bytesField(2, bytesField(2, bytesField(1, 'cpu.load'), bytesField(5, point))));
  bench.feed([
    { metric_name: 'cpu_load', timestamp: at(1), value: 1, labels: { host: 'a' } },
    compressSync(request, { copyOutputData: true }) as Buffer,
    otlp,
    `cpu,host=a load=4 ${at(4)}000000`,
    schema.encode({ metric_name: 'cpu_load', timestamp: at(5), value: 5, labels: { host: 'a' } }),
    'of no format',
  ]);
  bench.feed([{ metric_name: 'cpu_load', timestamp: at(70), value: 1, labels: { host: 'a' } }]);
  const rows = bench.rows<{ labels: object; count: number; sum: number }>('rows');
  expect(rows).toMatchObject([{ metric_name: 'cpu_load', labels: { host: 'a' }, count: 5, sum: 15 }]);
  expect(bench.topics.get('raw.dead-letter')?.map(({ value }) => value.toString())).toEqual(['of no format']);
});

test('the unit of Influx timestamps is what the source says', () => {
  const bench = new StageBench(
    job({ format: 'influx', influxPrecision: 's', partitionedBy: 'producer' }),
    START_MS + 60_000,
  );
  bench.feed([`m v=1 ${START_MS / 1000}\nm v=2 ${START_MS / 1000 + 65}`]);
  expect(bench.rows('rows')).toMatchObject([{ metric_name: 'm_v', count: 1, window_start: START_MS }]);
});

test('a format, a unit or a schema that cannot be is a fault of its option', () => {
  expect(faultsOf({ format: 'xml' })[0]).toContain("source.format: 'xml' is not possible");
  expect(faultsOf({ influxPrecision: 'm' })[0]).toContain("source.influxPrecision: 'm' is not possible");
  expect(faultsOf({ format: 'avro' })[0]).toContain('source.avroSchema: is missing');
  expect(faultsOf({ avroSchema: '{' })[0]).toContain('source.avroSchema: is no Avro schema');
  const record = { type: 'record', name: 'S', fields: [{ name: 'metric_name', type: 'string' }] };
  expect(faultsOf({ avroSchema: record })[0]).toContain("source.avroSchema: the schema has no field 'timestamp'");
});

test('a plan says nothing of formats when it is the usual one', () => {
  const { plan } = compileJob(job({}));
  expect(Object.keys(plan.sources[0])).not.toContain('avroSchema');
  const otlp = compileJob(job({ format: 'otlp' }));
  expect(explain(otlp.plan, otlp.settings)).toContain('(format otlp, out of order');
});

test.each(['avro', 'remote-write'] as const)('rows go out as %s when the topic says so', (format) => {
  const written = defineJob({
    name: 'formats',
    source: samples({ topic: 'raw', partitionedBy: 'producer' }),
    build: (raw) => raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('rows', { format })),
  });
  const bench = new StageBench(written, START_MS + 60_000);
  bench.feed([{ metric_name: 'm', timestamp: START_MS, value: 5, labels: { a: 'b' } }]);
  bench.feed([{ metric_name: 'm', timestamp: START_MS + 70_000, value: 5 }]);
  const value = bench.topics.get('rows')?.[0].value as Buffer;
  if (format === 'remote-write') {
    expect(referenceRemoteWrite(value, Number.MAX_SAFE_INTEGER).rows[1]).toEqual({
      series: 'm:1m:sum{a="b"}',
      timestampMs: START_MS + 60_000,
      value: 5,
    });
    return;
  }
  const row = avsc.Type.forSchema(JSON.parse(JSON.stringify(ROLLUP_ROW_SCHEMA))).fromBuffer(value);
  expect(row).toMatchObject({ metric_name: 'm', labels: { a: 'b' }, resolution: '1m', count: 1, sum: 5, run: 0 });
});

const LOGIN = {
  type: 'record',
  name: 'Login',
  fields: [
    { name: 'user', type: 'string' },
    { name: 'at', type: 'long' },
  ],
};

test('records of a user come and go in Avro', () => {
  const login = (user: string, at: number) => {
    const schema = parseAvroSchema(LOGIN);
    if (typeof schema === 'string') throw new Error(schema);
    return schema.encode({ user, at });
  };
  const logins = defineJob({
    name: 'logins',
    source: records<{ user: string; at: number }>({
      topic: 'raw',
      format: 'avro',
      avroSchema: LOGIN,
      timestamp: ({ at }) => at,
    }),
    build: (raw) => {
      raw.filter('no-root', ({ user }) => user !== 'root').to(topic('users', { format: 'avro', avroSchema: LOGIN }));
    },
  });
  const bench = new StageBench(logins, START_MS);
  bench.feed([login('ann', START_MS), login('root', START_MS), login('bob', START_MS + 1), 'nonsense']);
  expect(bench.topics.get('users')?.map(({ value }) => value)).toEqual([
    login('ann', START_MS),
    login('bob', START_MS + 1),
  ]);
  expect(bench.topics.get('raw.dead-letter')).toHaveLength(1);
});

test('Avro records need a schema, and nothing else has one', () => {
  const read = (options: object) => {
    try {
      compileJob(
        defineJob({ name: 'x', source: records({ topic: 'raw', ...options }), build: (raw) => raw.to(topic('a')) }),
      );
    } catch (error) {
      return (error as Error).message.split('\n')[1];
    }
    return null;
  };
  expect(read({ format: 'avro' })).toContain('source.avroSchema: is missing');
  expect(read({ format: 'avro', avroSchema: '"nothing"' })).toContain('source.avroSchema: is no Avro schema');
  expect(read({ avroSchema: LOGIN })).toContain('source.avroSchema: is of Avro only');
  expect(read({ format: 'avro', avroSchema: LOGIN })).toBeNull();
  const registry = 'https://registry:8081';
  expect(read({ format: 'avro', registry })).toBeNull();
  expect(read({ format: 'avro', registry, avroSchema: LOGIN })).toBeNull();
  expect(read({ format: 'avro', registry, avroSchema: '{' })).toContain('source.avroSchema: is no Avro schema');
  expect(read({ registry })).toContain('source.registry: is of Avro only');
  expect(read({ format: 'avro', registry: 'registry' })).toContain("source.registry.url: 'registry' is no");
});
