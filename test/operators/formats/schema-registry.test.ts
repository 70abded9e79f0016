import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { SchemaRegistry, type SchemaRegistryOptions } from '#operators/formats/schema-registry.ts';
import type { Clock } from '#runtime/std/clock.ts';

const SAMPLE = JSON.stringify({
  type: 'record',
  name: 'Sample',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'timestamp', type: 'long' },
    { name: 'value', type: 'double' },
  ],
});

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** A registry whose replies a test decides; 'hang' never answers, 'close' cuts the connection. */
class FakeRegistry {
  reply: (path: string) => Reply | 'hang' | 'close' = () => ({ status: 500, body: 'down' });
  readonly seen: string[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.seen.push(`${request.headers.authorization ?? '-'} ${request.url}`);
      const reply = this.reply(request.url ?? '');
      if (reply === 'close') request.socket.destroy();
      else if (reply !== 'hang') response.writeHead(reply.status).end(reply.body);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Sleeps end at once and are counted; `onSleep` is where a test lets the world change. */
class InstantClock implements Clock {
  readonly sleeps: number[] = [];
  onSleep: (total: number) => void = () => {};
  nowMs = (): number => 0;
  monotonicMs = (): number => 0;
  sleep = async (ms: number): Promise<void> => {
    this.sleeps.push(ms);
    this.onSleep(this.sleeps.reduce((sum, each) => sum + each, 0));
  };
}

const opened: { stop(): void }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.stop();
});

async function setUp(options: Partial<SchemaRegistryOptions> = {}) {
  const server = new FakeRegistry();
  const clock = new InstantClock();
  const url = await server.start();
  const registry = new SchemaRegistry({ url: `${url}/`, clock, ...options });
  opened.push(server, { stop: () => registry.close() });
  return { server, clock, registry };
}

async function answerOf(registry: SchemaRegistry, id: number): Promise<string> {
  registry.get(id);
  await registry.settled(id);
  const answer = registry.get(id);
  if (typeof answer === 'string') return answer;
  return 'problem' in answer ? answer.problem : typeof answer.plan === 'string' ? answer.plan : 'known';
}

test('a schema is fetched once and known from then on', async () => {
  const { registry, server } = await setUp({ authorization: 'Basic abc' });
  server.reply = () => ({ status: 200, body: JSON.stringify({ schema: SAMPLE }) });
  expect(registry.get(7)).toBe('pending');
  expect(registry.get(7)).toBe('pending');
  expect(await answerOf(registry, 7)).toBe('known');
  expect(server.seen).toEqual(['Basic abc /schemas/ids/7']);
});

test('an outage of a minute is waited out, with growing pauses; nothing counts as missing meanwhile', async () => {
  const troubles: string[] = [];
  const { clock, registry, server } = await setUp({ onTrouble: (message) => troubles.push(message) });
  const outages = [
    { status: 500, body: '{"error_code":50001}' },
    { status: 404, body: '<html>no such page</html>' },
    { status: 404, body: '{"error_code":404}' },
    { status: 401, body: '{}' },
    { status: 200, body: '{"schema":' },
    'close' as const,
  ];
  server.reply = () => outages[server.seen.length % outages.length];
  clock.onSleep = (total) => {
    expect(registry.get(3)).toBe('pending');
    if (total > 60_000) server.reply = () => ({ status: 200, body: JSON.stringify({ schema: SAMPLE }) });
  };
  expect(await answerOf(registry, 3)).toBe('known');
  expect(clock.sleeps.slice(0, 9)).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  expect(troubles[0]).toMatch(/^schema 3: the registry answers 404/);
  expect(troubles.join()).toMatch(/does not answer: .*(socket|hang up|closed)/i);
});

test("only the registry's own word makes a schema missing, for a minute", async () => {
  const { clock, registry, server } = await setUp();
  server.reply = () => ({ status: 404, body: '{"error_code":40403,"message":"Schema 9 not found"}' });
  expect(await answerOf(registry, 9)).toBe('missing');
  server.reply = () => ({ status: 200, body: JSON.stringify({ schema: SAMPLE }) });
  expect(registry.get(9)).toBe('missing');
  clock.monotonicMs = () => 59_999;
  registry.refresh();
  expect(registry.get(9)).toBe('missing');
  clock.monotonicMs = () => 60_000;
  expect(registry.get(9)).toBe('missing');
  registry.refresh();
  expect(await answerOf(registry, 9)).toBe('known');
  expect(registry.get(-1)).toBe('missing');
});

test('what is registered and is no Avro schema of samples says so', async () => {
  const { registry, server } = await setUp();
  const bodies: Readonly<Record<string, object>> = {
    '/schemas/ids/1': { schema: 'message M {}', schemaType: 'PROTOBUF' },
    '/schemas/ids/2': { schema: '{"type":"record"}' },
    '/schemas/ids/3': { schema: SAMPLE, references: [{ name: 'a', subject: 'b', version: 1 }] },
    '/schemas/ids/4': { schema: SAMPLE.replace('"value"', '"val"') },
    '/schemas/ids/5': { schema: `"${' '.repeat(3 << 20)}string"` },
  };
  server.reply = (path) => ({ status: 200, body: JSON.stringify(bodies[path]) });
  const answers = await Promise.all([1, 2, 3, 4, 5].map((id) => answerOf(registry, id)));
  expect(answers[0]).toBe('is of type PROTOBUF, not AVRO');
  expect(answers[1]).toMatch(/^is no Avro schema: /);
  expect(answers[2]).toBe('refers to other schemas, which is not supported');
  expect(answers[3]).toBe("the schema has no field 'value'");
  expect(answers[4]).toMatch(/^is longer than /);
});

test('a registry that never answers is cut off; closing ends the wait', async () => {
  const { clock, registry, server } = await setUp({ timeoutMs: 50 });
  server.reply = () => 'hang';
  clock.onSleep = () => registry.close();
  registry.get(1);
  await registry.settled(1);
  expect(registry.get(1)).toBe('pending');
  expect(registry.requests).toBe(1);
});

test('no more answers are kept than allowed', async () => {
  const { registry, server } = await setUp({ schemasMax: 2 });
  server.reply = () => ({ status: 200, body: JSON.stringify({ schema: SAMPLE }) });
  for (const id of [1, 2, 3]) expect(await answerOf(registry, id)).toBe('known');
  expect([1, 2, 3].map((id) => typeof registry.get(id))).toEqual(['string', 'object', 'object']);
});
