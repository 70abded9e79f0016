// The admin API on a real socket, as its attackers see it: slow, large, many, malformed. It stays bounded, says what is
// wrong where somebody can hear it, answers the next one, and ends when it is told to.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AdminServer, AdminServerOptions } from '#runtime/http/admin-server.ts';
import { ApiWorld } from './api-world.ts';

let world: ApiWorld;
let server: AdminServer;
const sockets: Socket[] = [];

beforeEach(() => {
  world = new ApiWorld();
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server?.close();
});

async function listen(limits: AdminServerOptions['limits'] = {}, options: Partial<AdminServerOptions> = {}) {
  server = world.serverOf({ limits, ...options });
  await server.listen('127.0.0.1', 0);
  return Number(new URL(server.url).port);
}

/** A connection on which anything can be said; `heard` is all it heard, until the other side ended it. */
async function dial(port: number) {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk;
  });
  socket.on('error', () => {});
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(said)));
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return { socket, ended, said: () => said };
}

async function exchange(port: number, request: string): Promise<{ status: number; code: string; text: string }> {
  const { socket, ended } = await dial(port);
  socket.write(request);
  const text = await ended;
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  const status = Number(/^HTTP\/1\.1 (\d+) /.exec(text)?.[1]);
  return { status, code: status === 200 ? 'ok' : JSON.parse(body).error.code, text };
}

async function works(): Promise<boolean> {
  const answer = await fetch(`${server.url}/jobs`);
  const { jobs } = (await answer.json()) as { jobs: readonly unknown[] };
  return answer.ok && jobs.length === 2;
}

test.each([
  ['no host', 'GET /jobs HTTP/1.1', 403, 'request-misdirected'],
  ['an empty host', 'GET /jobs HTTP/1.1\r\nhost:', 403, 'request-misdirected'],
  ['another host', 'GET /jobs HTTP/1.1\r\nhost: evil.example', 403, 'request-misdirected'],
  ['two hosts', 'GET /jobs HTTP/1.1\r\nhost: localhost\r\nhost: evil.example', 400, 'request-invalid'],
  ['a host in the address', 'GET http://evil.example/jobs HTTP/1.1\r\nhost: localhost', 400, 'request-invalid'],
  ['dots in the path', 'GET /jobs/../../etc/passwd HTTP/1.1\r\nhost: localhost', 404, 'path-unknown'],
  ['encoded dots', 'GET /jobs/%2e%2e/plan HTTP/1.1\r\nhost: localhost', 404, 'job-unknown'],
  ['a raw key', 'GET /jobs/rollups/state/1m?key=cpu{host="a"} HTTP/1.1\r\nhost: localhost', 200, 'ok'],
  ['all methods', 'OPTIONS * HTTP/1.1\r\nhost: localhost', 400, 'request-invalid'],
  ['a proxy', 'CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost', 0, ''],
  ['no method', 'JUMP /jobs HTTP/1.1\r\nhost: localhost', 400, 'request-invalid'],
  ['no HTTP', '\x16\x03\x01\x02', 400, 'request-invalid'],
  [
    'two lengths',
    'POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2',
    400,
    'request-invalid',
  ],
  [
    'a length and chunks',
    'POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked',
    400,
    'request-invalid',
  ],
  ['a large body', 'POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999', 413, 'request-too-large'],
  ['a long address', `GET /jobs?key=${'x'.repeat(20_000)} HTTP/1.1\r\nhost: localhost`, 431, 'request-too-large'],
  ['large headers', `GET /jobs HTTP/1.1\r\nhost: localhost\r\na: ${'x'.repeat(20_000)}`, 431, 'request-too-large'],
  [
    'many headers',
    `GET /jobs HTTP/1.1\r\nhost: localhost\r\n${'a: b\r\n'.repeat(5_000)}a: b`,
    431,
    'request-too-large',
  ],
])('%s', async (_what, request, status, code) => {
  const port = await listen();
  if (status === 0) {
    const { socket, ended } = await dial(port);
    socket.write(`${request}\r\n\r\n`);
    expect(await ended).toBe('');
  } else {
    const answer = await exchange(port, `${request}\r\nconnection: close\r\n\r\n`);
    expect({ status: answer.status, code: answer.code }).toEqual({ status, code });
  }
  expect(await works()).toBe(true);
});

test('whoever does not finish a request is told so and let go', async () => {
  const port = await listen({ headersMs: 300, requestMs: 600 });
  const starts = [
    '',
    'GET /jo',
    'GET /jobs HTTP/1.1\r\nhost: localhost\r\nx-slow: ',
    'POST /overview HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nab',
  ];
  const clients = await Promise.all(starts.map(() => dial(port)));
  const drips = setInterval(() => clients[2].socket.write('.'), 50);
  for (const [at, { socket }] of clients.entries()) socket.write(starts[at]);
  const answers = await Promise.all(clients.map(({ ended }) => ended));
  clearInterval(drips);
  expect(answers[2]).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
  expect(answers[2]).toContain('"request-timeout"');
  expect(answers[3]).toContain('"method-unknown"');
  expect(await works()).toBe(true);
});

test('whoever does not read an answer loses the connection, and the answer its memory', async () => {
  const port = await listen({ deliveryMs: 300 });
  world.port.states = { large: 'x'.repeat(32 * 1024 * 1024) };
  const { socket, ended } = await dial(port);
  socket.pause();
  socket.write('GET /jobs/rollups/state/1m HTTP/1.1\r\nhost: localhost\r\n\r\n');
  // What the kernel holds is read only now, long after the server gave up.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  socket.resume();
  expect((await ended).length).toBeLessThan(32 * 1024 * 1024);
  expect(await works()).toBe(true);
});

test('10,000 requests at once are each answered or refused, never queued', async () => {
  const port = await listen({ questionsMax: 20, heavyQuestionsMax: 2 });
  let most = 0;
  let asked = 0;
  const { jobs } = world.port;
  world.port.jobs = async () => {
    most = Math.max(most, ++asked);
    await new Promise((resolve) => setTimeout(resolve, 2));
    asked--;
    return jobs.call(world.port);
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 400 });
  const statuses = new Map<number | string, number>();
  const ask = (path: string) =>
    new Promise<void>((resolve) => {
      const done = (status: number | string) => {
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        resolve();
      };
      httpGet({ agent, port, path }, (answer: IncomingMessage) => {
        answer.resume();
        answer.once('end', () => done(answer.statusCode ?? 0));
      }).once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'error'));
    });
  await Promise.all(Array.from({ length: 10_000 }, (_, i) => ask(i % 10 === 0 ? '/jobs/rollups/state/1m' : '/jobs')));
  agent.destroy();
  expect([...statuses.keys()].sort()).toEqual([200, 503]);
  expect(statuses.get(200)).toBeGreaterThan(100);
  expect(most).toBeLessThanOrEqual(20);
  expect(await works()).toBe(true);
});

test('connections beyond the most there may be are closed, and there is room again when others go', async () => {
  const port = await listen({ connectionsMax: 10 });
  const clients = await Promise.all(Array.from({ length: 50 }, () => dial(port)));
  await expect.poll(() => clients.filter(({ socket }) => socket.destroyed).length).toBe(40);
  for (const { socket } of clients) socket.destroy();
  await expect.poll(() => works().catch(() => false)).toBe(true);
});

test('whoever asks and goes away is counted until the process has answered', async () => {
  const port = await listen({ heavyQuestionsMax: 3 });
  const open = Promise.withResolvers<void>();
  world.port.gate = open.promise;
  for (let i = 0; i < 5; i++) {
    const { socket } = await dial(port);
    socket.write('GET /jobs/rollups/state/1m HTTP/1.1\r\nhost: localhost\r\n\r\n');
    if (i < 3) await expect.poll(() => world.port.stateQueries.length).toBe(i + 1);
    socket.destroy();
  }
  const refused = await fetch(`${server.url}/jobs/rollups/state/1m`);
  expect(refused.status).toBe(503);
  expect(world.port.stateQueries.length).toBe(3);
  open.resolve();
  await expect.poll(async () => (await fetch(`${server.url}/jobs/rollups/state/1m`)).status).toBe(200);
});

test('it ends within about a second, whatever clients do', async () => {
  const port = await listen();
  world.port.gate = new Promise(() => {});
  const clients = await Promise.all([dial(port), dial(port), dial(port)]);
  clients[0].socket.write('GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n');
  clients[1].socket.write('GET /jobs HTTP/1.1\r\nhost: localhost\r\n\r\n');
  clients[2].socket.write('GET /jo');
  await expect.poll(() => clients[0].said()).toContain('"openapi"');
  await expect.poll(() => world.port.asked.length).toBe(1);
  const startMs = performance.now();
  await server.close();
  expect(performance.now() - startMs).toBeLessThan(3_000);
  await Promise.all(clients.map(({ ended }) => ended));
  await expect(fetch(`${server.url}/jobs`)).rejects.toThrow();
});

test('an address that cannot be had is refused with what to do', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  server = world.serverOf();
  await expect(server.listen('127.0.0.1', port)).rejects.toMatchObject({
    code: 'address-unavailable',
    message: `the admin API cannot listen on 127.0.0.1:${port}: the port is taken`,
    remedy: expect.stringContaining('--port'),
  });
  other.close();
  for (const host of ['192.0.2.1', 'no-such-host.invalid']) {
    server = world.serverOf();
    await expect(server.listen(host, 0)).rejects.toMatchObject({
      code: 'address-unavailable',
      remedy: expect.stringContaining('http.host'),
    });
  }
});

test.each([
  ['localhost', /^http:\/\/localhost:\d+$/],
  ['[::1]', /^http:\/\/\[::1\]:\d+$/],
  ['::1', /^http:\/\/\[::1\]:\d+$/],
])('%s is an address', async (host, url) => {
  server = world.serverOf();
  await server.listen(host, 0);
  expect(server.url).toMatch(url);
  expect(await works()).toBe(true);
});

test('with TLS it speaks nothing else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-https-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const files = ['-keyout', key, '-out', cert];
  const args = ['req', '-x509', '-nodes', '-days', '1', ...subject, '-newkey', 'rsa:2048', ...files];
  execFileSync('openssl', args, { stdio: 'ignore' });
  const tls = { certificate: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  rmSync(folder, { recursive: true });
  const port = await listen({ headersMs: 300 }, { tls, token: 'a-token-of-some-length' });
  expect(server.url).toBe(`https://127.0.0.1:${port}`);
  const ask = (headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve, reject) => {
      const options = { port, host: '127.0.0.1', servername: 'localhost', ca: tls.certificate, headers, path: '/jobs' };
      httpsGet(options, (answer) => resolve(answer.resume().statusCode)).once('error', reject);
    });
  expect(await ask({})).toBe(401);
  expect(await ask({ authorization: 'Bearer a-token-of-some-length' })).toBe(200);
  const plain = await dial(port);
  plain.socket.write('GET /jobs HTTP/1.1\r\nhost: localhost\r\n\r\n');
  expect(await plain.ended).not.toContain('rollups');
  const silent = await dial(port);
  await silent.ended;
});
