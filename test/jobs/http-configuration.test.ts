// What a configuration may say of the admin API, and that no other machine reaches it without TLS and token.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { directory, embedded } from '#jobs/config.ts';
import { resolveConfig } from '#jobs/configuration.ts';
import type { Fault } from '#jobs/faults.ts';
import { type HttpConfiguration, hostNames, readTls } from '#jobs/http-configuration.ts';

const TOKEN = 'a-token-of-enough-length';
const TLS = { certificate: './tls/chain.pem', key: '/etc/key.pem' };
const BASE: HttpConfiguration = { host: '127.0.0.1', port: 8081, advertise: null, tls: null, token: null };

function resolved(http: unknown, environment: Record<string, string> = {}, flags = {}) {
  const faults: Fault[] = [];
  const config = {
    log: embedded({ directory: 'log' }),
    checkpoints: directory('checkpoints'),
    jobs: { rollups: { module: './rollups.ts' } },
    http: http as never,
  };
  const options = { baseDirectory: '/base', workingDirectory: '/here', environment, flags };
  return { http: resolveConfig(config, options, faults).http, faults };
}

test('without a word it listens on the loopback address', () => {
  expect(resolved(undefined)).toEqual({ http: BASE, faults: [] });
  expect(resolved({})).toEqual({ http: BASE, faults: [] });
});

test('false is no admin API, and then a port means nothing', () => {
  expect(resolved(false, { MILLRACE_PORT: '1' })).toEqual({ http: null, faults: [] });
  expect(resolved(false, {}, { port: 1 }).faults.map(({ path }) => path)).toEqual(['--port']);
});

test('a token of the environment counts on the loopback address, too', () => {
  expect(resolved({}, { MILLRACE_TOKEN: TOKEN }).http?.token).toBe(TOKEN);
  expect(resolved({}, { MILLRACE_TOKEN: '' }).http?.token).toBeNull();
});

describe('an address that other machines reach', () => {
  test.each(['0.0.0.0', '::', '[::]', '10.1.2.3', 'host.example'])('%s needs TLS and a token', (host) => {
    const faultOf = (http: object, environment = {}) => resolved({ host, ...http }, environment).faults;
    expect(faultOf({})).toEqual([
      {
        path: 'http.host',
        message: `'${host}' can be reached from other machines, and http.tls: { certificate, key } and MILLRACE_TOKEN are missing`,
        remedy: expect.stringContaining("use '127.0.0.1'"),
      },
    ]);
    expect(faultOf({ tls: TLS })[0].message).toMatch(/, and MILLRACE_TOKEN is missing$/);
    expect(faultOf({}, { MILLRACE_TOKEN: TOKEN })[0].message).toMatch(
      /, and http.tls: \{ certificate, key \} is missing$/,
    );
    expect(resolved({ host, tls: TLS }, { MILLRACE_TOKEN: TOKEN })).toEqual({
      http: { ...BASE, host, tls: { certificate: '/base/tls/chain.pem', key: '/etc/key.pem' }, token: TOKEN },
      faults: [],
    });
  });

  test.each(['localhost', '127.0.0.2', '::1', '[::1]'])('is not %s', (host) => {
    expect(resolved({ host })).toEqual({ http: { ...BASE, host }, faults: [] });
  });
});

test.each([
  ['http', true, {}],
  ['http', 8081, {}],
  ['http.host', { host: 'a b' }, {}],
  ['http.host', { host: 'http://127.0.0.1' }, {}],
  ['http.host', { host: '127.0.0.1:80' }, {}],
  ['http.port', { port: '80' }, {}],
  ['http.advertise', { advertise: 'ftp://x' }, {}],
  ['http.advertise', { advertise: 'https://host/path' }, {}],
  ['http.tls', { tls: 'chain.pem' }, {}],
  ['http.tls.key', { tls: { certificate: 'chain.pem' } }, {}],
  ['http.tls.certificate', { tls: { certificate: '', key: 'k' } }, {}],
  ['http.tls.ca', { tls: { ...TLS, ca: 'x' } }, {}],
  ['MILLRACE_TOKEN', {}, { MILLRACE_TOKEN: 'short' }],
  ['MILLRACE_TOKEN', {}, { MILLRACE_TOKEN: 'a token with spaces in it' }],
  ['MILLRACE_TOKEN', {}, { MILLRACE_TOKEN: 'ä'.repeat(20) }],
] as const)('%s: %j is refused', (path, http, environment) => {
  expect(resolved(http, environment).faults.map((fault) => fault.path)).toEqual([path]);
});

test.each([
  [{}, ['127.0.0.1']],
  [{ host: '0.0.0.0' }, []],
  [{ host: '::', advertise: 'https://Mill.Example:8443' }, ['mill.example']],
  [{ host: 'fe80::1', advertise: '[2001:DB8::1]:80' }, ['[2001:db8::1]', '[fe80::1]']],
  [{ host: 'a.example', advertise: 'b.example' }, ['b.example', 'a.example']],
])('%j is known under %j', (http, names) => {
  expect(hostNames({ ...BASE, ...http })).toEqual(names);
});

describe('certificate and key', () => {
  let folder: string;
  const pathOf = (name: string) => join(folder, name);
  const read = (certificate: string, key: string) => {
    const faults: Fault[] = [];
    const found = readTls({ certificate: pathOf(certificate), key: pathOf(key) }, faults);
    return { found, faults: faults.map(({ path }) => path) };
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
    for (const name of ['a', 'b']) {
      const files = ['-keyout', pathOf(`${name}.key`), '-out', pathOf(`${name}.pem`)];
      const rest = ['-x509', '-nodes', '-days', '1', '-subj', '/CN=localhost', '-newkey', 'rsa:2048'];
      execFileSync('openssl', ['req', ...rest, ...files], { stdio: 'ignore' });
    }
    writeFileSync(pathOf('text'), 'no PEM at all');
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  test('are read when they go together', () => {
    const { found, faults } = read('a.pem', 'a.key');
    expect(faults).toEqual([]);
    expect(found?.certificate).toContain('BEGIN CERTIFICATE');
    expect(found?.key).toContain('PRIVATE KEY');
  });

  test.each([
    ['a.pem', 'b.key', ['http.tls']],
    ['text', 'a.key', ['http.tls']],
    ['a.pem', 'none', ['http.tls.key']],
    ['none', 'none', ['http.tls.certificate', 'http.tls.key']],
  ])('%s and %s are refused', (certificate, key, paths) => {
    expect(read(certificate, key)).toEqual({ found: null, faults: paths });
  });
});
