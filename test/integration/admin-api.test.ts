// The admin API of the product as a process: it listens before anything is claimed, is what commands talk to, and does
// not keep the process from its end.

import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { millrace } from '#test/jobs/commands/millrace-command.ts';
import { Installation, type Product } from './process-harness.ts';
import { refusalOf, USER_VIEW } from './refusal.ts';
import { withLog } from './rollups-embedded-log.ts';

const JOBS = { rollups: { module: 'jobs/rollups.ts' } };
const installations: Installation[] = [];

afterEach(async () => {
  for (const installation of installations.splice(0)) await installation.remove();
});

async function install(env: Readonly<Record<string, string>> = USER_VIEW): Promise<Installation> {
  const installation = await Installation.create({ jobs: JOBS, env });
  installations.push(installation);
  // There is nothing to read yet.
  await withLog(installation, (client) => client.admin.createTopics([{ topic: 'metrics.raw', partitionCount: 2 }]));
  return installation;
}

/** Where it listens, as it says itself. */
async function urlOf(product: Product): Promise<string> {
  const line = await product.waitForLine(/the admin API answers at/, 60_000);
  return /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? '';
}

async function takenPort(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { server, port: (server.address() as { port: number }).port };
}

test('a port that is taken ends the start before anything is claimed', async () => {
  const installation = await install();
  const { port, server } = await takenPort();
  const { code, remedies, stack, what } = await refusalOf(installation.start({ MILLRACE_PORT: String(port) }));
  server.close();
  expect({ code, stack }).toEqual({ code: 1, stack: [] });
  expect(what).toEqual([`the admin API cannot listen on 127.0.0.1:${port}: the port is taken`]);
  expect(remedies[0]).toContain('--port');
  const topics = await withLog(installation, (client) => client.admin.listTopics());
  expect(topics).toEqual(['metrics.raw']);
});

test('a second process on the same directory is refused, and the first answers on', async () => {
  const installation = await install();
  const first = installation.start();
  const url = await urlOf(first);
  const { code, what } = await refusalOf(installation.start());
  expect(code).toBe(1);
  expect(what[0]).toMatch(/in use|holds/);
  expect((await fetch(`${url}/overview`)).status).toBe(200);
  expect((await first.stop()).code).toBe(0);
});

test('commands see a process that runs, and clients that hang do not keep it from its end', async () => {
  const installation = await install();
  const product = installation.start();
  const url = await urlOf(product);
  await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 60_000 }).toBe(200);
  const { status, stdout } = await millrace(['jobs', '--url', url]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^rollups +RUNNING +\d+\/\d+ /m);
  const sockets = ['', 'GET /jobs HTTP/1.1\r\nhost: localhost\r\n\r\n', 'GET /jo'].map((text) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {});
    socket.write(text);
    return socket;
  });
  const startMs = performance.now();
  expect((await product.stop()).code).toBe(0);
  expect(performance.now() - startMs).toBeLessThan(15_000);
  for (const socket of sockets) socket.destroy();
  expect((await millrace(['jobs', '--url', url])).stderr).toContain('nothing listens there');
});

test('an open address without TLS and token is refused with all other faults', async () => {
  const installation = await install();
  const path = `${installation.directory}/jobs.config.ts`;
  const config = (await readFile(path, 'utf8')).replace('{"port":0}', '{"port":-1,"host":"0.0.0.0","tls":{}}');
  await writeFile(path, config);
  const { code, what } = await refusalOf(installation.start());
  expect(code).toBe(1);
  for (const fault of ['http.port', 'http.host', 'http.tls.certificate', 'http.tls.key'])
    expect(what[0]).toContain(`${fault}: `);
});

test('without an admin API there is none', async () => {
  const installation = await install({ LOG_LEVEL: 'debug' });
  const path = `${installation.directory}/jobs.config.ts`;
  await writeFile(path, (await readFile(path, 'utf8')).replace('{"port":0}', 'false'));
  const product = installation.start();
  await product.waitForLine(/installation claimed/, 60_000);
  expect((await product.stop()).code).toBe(0);
  expect(product.lines.filter((line) => line.includes('admin API'))).toEqual([]);
});
