// The HTTP side of a receiver: what is sent with a request, TLS in both directions, and connections that come and go.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HttpReceiver, type HttpReceiverOptions } from '#runtime/effect/http-receiver.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { WriteProxy } from '#test/harness/write-proxy.ts';

const run = promisify(execFile);
/** An empty WriteRequest in a snappy block. */
const EMPTY = new Uint8Array([0]);
const never = new AbortController().signal;
let directory = '';
const pem: Record<string, string> = {};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-tls-'));
  const at = (name: string) => join(directory, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const authority = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=keyCertSign'];
  const openssl = (...args: string[]) => run('openssl', args);
  await openssl(
    'req',
    '-x509',
    ...key,
    '-subj',
    '/CN=test authority',
    ...authority,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  );
  for (const [name, more] of [
    ['server', ['-addext', 'subjectAltName=IP:127.0.0.1']],
    ['client', []],
  ] as const) {
    await openssl(
      'req',
      ...key,
      '-subj',
      `/CN=${name}`,
      ...more,
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.csr`),
    );
    const sign = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-copy_extensions', 'copy'];
    await openssl('x509', '-req', '-in', at(`${name}.csr`), ...sign, '-out', at(`${name}.pem`));
  }
  for (const name of ['ca.pem', 'server.key', 'server.pem', 'client.key', 'client.pem']) {
    pem[name] = await readFile(at(name), 'utf8');
  }
});

afterAll(() => rm(directory, { recursive: true, force: true }));

async function sendTo(url: string, options: Partial<HttpReceiverOptions> = {}) {
  const receiver = new HttpReceiver({ url, headers: {}, clock: systemClock, ...options });
  try {
    return await receiver.send(EMPTY, never);
  } finally {
    receiver.close();
  }
}

async function refusalOf(sent: Promise<unknown>): Promise<StreamError> {
  const error = await sent.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof StreamError) return error;
  throw new Error(`expected a refusal, got ${String(error)}`);
}

test('headers go with every request, and the address it tells of holds none of them', async () => {
  const proxy = await WriteProxy.start({ to: null });
  const headers = { authorization: 'Bearer s3cret', 'x-scope-orgid': 'team-a' };
  const url = `${proxy.url}?token=s3cret`;
  expect((await sendTo(url, { headers })).status).toBe(204);
  expect(proxy.lastRequest?.headers).toMatchObject({ ...headers, 'content-length': '1' });
  expect(new HttpReceiver({ url, headers, clock: systemClock }).address).toBe(proxy.url);
  await proxy.stop();
});

test('TLS: a server is trusted by the given authority only', async () => {
  const proxy = await WriteProxy.start({ to: null, tls: { key: pem['server.key'], cert: pem['server.pem'] } });
  const url = `https://127.0.0.1:${proxy.port}/api/v1/write`;
  expect((await sendTo(url, { ca: pem['ca.pem'] })).status).toBe(204);
  const stranger = await refusalOf(sendTo(url));
  expect(stranger.code).toBe('receiver-unavailable');
  expect(stranger.message).toMatch(/self-signed certificate|unable to verify/i);
  const otherName = await refusalOf(sendTo(url.replace('127.0.0.1', 'localhost'), { ca: pem['ca.pem'] }));
  expect(otherName.message).toMatch(/localhost/);
  await proxy.stop();
});

test('TLS: an own certificate is shown to a server that asks for it', async () => {
  const tls = { key: pem['server.key'], cert: pem['server.pem'], ca: pem['ca.pem'], requestCert: true };
  const proxy = await WriteProxy.start({ to: null, tls });
  const url = `https://127.0.0.1:${proxy.port}/api/v1/write`;
  const own = { ca: pem['ca.pem'], certificate: pem['client.pem'], key: pem['client.key'] };
  expect((await sendTo(url, own)).status).toBe(204);
  expect((await refusalOf(sendTo(url, { ca: pem['ca.pem'] }))).code).toBe('receiver-unavailable');
  await proxy.stop();
});

test('what speaks no HTTP is told as that', async () => {
  const server = createServer((socket) => socket.end('220 smtp\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  expect((await refusalOf(sendTo(`http://127.0.0.1:${port}/`))).message).toMatch(/cannot be reached: Parse Error/);
  server.close();
});

test('a receiver that was restarted is reached over a new connection', async () => {
  const first = await WriteProxy.start({ to: null });
  const receiver = new HttpReceiver({ url: first.url, headers: {}, clock: systemClock });
  expect((await receiver.send(EMPTY, never)).status).toBe(204);
  await first.stop();
  expect((await refusalOf(receiver.send(EMPTY, never))).code).toBe('receiver-unavailable');
  const second = await WriteProxy.start({ to: null, port: first.port });
  expect((await receiver.send(EMPTY, never)).status).toBe(204);
  receiver.close();
  await second.stop();
});
