// Records and samples in Avro whose schemas lie in a registry that goes away, is ill and comes back, with kill -9 in
// between: what needs a schema that the process does not know waits, nothing is lost or doubled; what has no schema, or one
// that lost a field, is a dead letter, once.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import { LOGIN, type NumberedLogin } from './jobs/logins.ts';
import { CommittedTail } from './oracle/committed-tail.ts';
import { createTopic } from './oracle/kafka-feed.ts';
import { until } from './oracle/until.ts';
import { Installation, type Product } from './process-harness.ts';
import { type FedRecord, RecordRun } from './record-run.ts';
import { SchemaServer } from './schema-server.ts';

const PARTITIONS = 3;
const USERS = 50;
const MINUTE_MS = 60_000;
const PATIENCE_MS = 120_000;
const FIRST = 1;
const SECOND = 2;
const LOST_A_FIELD = 3;
const SAMPLE = 4;
const UNKNOWN = 9;

const fields = LOGIN.fields.map(({ name, type }) => ({ name, type }));
const sample = {
  type: 'record',
  name: 'Sample',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'timestamp', type: 'long' },
    { name: 'value', type: 'double' },
  ],
};
const SCHEMAS = {
  [FIRST]: { ...LOGIN, fields: [fields[0], { name: 'number', type: 'int' }] },
  [SECOND]: { ...LOGIN, fields: [fields[2], { name: 'place', type: 'string' }, fields[1], fields[0]] },
  [LOST_A_FIELD]: { ...LOGIN, fields: [fields[1]] },
  [SAMPLE]: sample,
};

/** Logins of the run in the order of their partitions. */
class Logins {
  readonly good: { readonly user: string; readonly number: number; readonly device: string }[] = [];
  readonly #topic: string;
  readonly #registry: SchemaServer;
  #next = 0;

  constructor(topic: string, registry: SchemaServer) {
    this.#topic = topic;
    this.#registry = registry;
  }

  /** So many of a schema. */
  of(schema: number, count: number): FedRecord[] {
    return Array.from({ length: count }, () => {
      const number = this.#next++;
      const user = `user-${number % USERS}`;
      const device = schema === SECOND ? `device-${number}` : 'unknown';
      this.good.push({ user, number, device });
      const value = schema === FIRST ? { user, number } : { user, number, device, place: 'x' };
      return this.record(this.#registry.framed(schema, value), number);
    });
  }

  /** Bytes on the partition of a user. */
  record(value: Buffer, number: number): FedRecord {
    const user = number % USERS;
    return { topic: this.#topic, partition: user % PARTITIONS, key: `user-${user}`, value, at: Date.now() };
  }
}

test('what needs a schema waits for its registry, through kills; what has none is put aside once', async () => {
  const { brokers } = await sharedKafka();
  const namespace = uniqueName('registry');
  const [logins, metrics] = [`${namespace}.logins`, `${namespace}.metrics`];
  const registry = new SchemaServer(SCHEMAS);
  await registry.start();
  const times = { checkpointInterval: '1s' };
  const numbered = { module: 'test/integration/jobs/logins.ts', options: { topic: logins, registry: registry.url } };
  const sampled = { topic: metrics, format: 'auto', registry: registry.url, outputPrefix: metrics, idleness: '1h' };
  const installation = await Installation.create({
    brokers,
    namespace,
    jobs: {
      logins: { ...numbered, ...times },
      rollups: { module: 'jobs/rollups.ts', options: sampled, ...times },
    },
  });
  const [out, rows, letters] = [`${logins}.numbered`, `${metrics}.1m`, `${logins}.dead-letter`];
  const run = await RecordRun.open(brokers, { [logins]: PARTITIONS, [metrics]: 1 }, [out, rows]);
  await createTopic(kafkaJs(brokers), letters, 1);
  const dead = await CommittedTail.start(brokers, letters);
  const made = new Logins(logins, registry);
  const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 5 * MINUTE_MS;
  const samples = (count: number, at: number): FedRecord[] =>
    Array.from({ length: count }, (_, i) => {
      const value = registry.framed(SAMPLE, { metric_name: 'cpu', timestamp: at + i, value: i });
      return { topic: metrics, partition: 0, key: 'cpu', value, at };
    });
  const published = (product: Product, count: number) =>
    run.waitFor(out, (all) => all.length >= count, `${count} logins`, { product, installation });
  const asked = async (more: number) => {
    const before = registry.asked;
    const report = () => installation.report();
    await until(() => registry.asked >= before + more, `${more} questions`, PATIENCE_MS, report);
  };
  try {
    const first = installation.start();
    await run.write(made.of(FIRST, 300));
    await published(first, 300);
    // Gone: what the process knows goes on, the rest waits.
    await registry.stop();
    await run.write(made.of(FIRST, 300));
    await published(first, 600);
    await run.write([...made.of(SECOND, 300), ...made.of(FIRST, 300), ...samples(200, minute)]);
    await sleep(1_000);
    await first.kill();
    // A process that knows no schema, not even what it has to replay; somebody answers, that he cannot.
    const second = installation.start();
    await sleep(1_500);
    registry.ill = true;
    await registry.start();
    await asked(4);
    expect(run.seen(out)).toHaveLength(600);
    await second.kill();
    const third = installation.start();
    await asked(4);
    registry.ill = false;
    await published(third, 1_200);
    const unknown = registry.framed(UNKNOWN, { number: 1, user: 'x', device: 'late' }, LOGIN_OF_UNKNOWN);
    const mismatched = registry.framed(LOST_A_FIELD, { number: 2 });
    await run.write([made.record(unknown, 0), made.record(mismatched, 1), ...made.of(SECOND, 100)]);
    await published(third, 1_300);
    registry.schemas.set(UNKNOWN, LOGIN_OF_UNKNOWN);
    await third.kill();
    // Refused is refused, also in replay; what comes now has its schema.
    const fourth = installation.start();
    await run.write([made.record(unknown, 0), ...samples(100, minute + 1_000), ...samples(1, minute + 3 * MINUTE_MS)]);
    made.good.push({ user: 'x', number: 1, device: 'late' });
    await published(fourth, 1_301);
    const counted = (all: readonly { readonly count: number }[]) => all.length > 0;
    await run.waitFor(rows, counted, 'the row of the minute', { product: fourth, installation });
    expect((await fourth.stop()).code).toBe(0);
    const nth = new Map<string, number>();
    const expected = made.good.map((login) => {
      nth.set(login.user, (nth.get(login.user) ?? 0) + 1);
      return { ...login, nth: nth.get(login.user) };
    });
    const byNumber = (a: { number: number; user: string }, b: { number: number; user: string }) =>
      a.number - b.number || (a.user < b.user ? -1 : 1);
    expect((await run.finish<NumberedLogin>(out)).sort(byNumber)).toEqual(expected.sort(byNumber));
    expect(await run.finish(rows)).toMatchObject([{ metric_name: 'cpu', count: 300, window_start: minute }]);
    const codes = (await dead.finish()).map(({ headers }) => String(headers.get('error-code'))).sort();
    expect(codes).toEqual(['schema-mismatch', 'schema-unknown']);
  } finally {
    await installation.remove();
    await run.close();
    await dead.stop();
    await registry.stop();
  }
}, 600_000);

const LOGIN_OF_UNKNOWN = { ...LOGIN, fields: [fields[1], fields[0], fields[2]] };
