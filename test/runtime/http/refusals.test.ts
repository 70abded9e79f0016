// What the admin API refuses, and how it says so: one shape, a code of the table and a remedy, whatever was asked.

import { beforeEach, describe, expect, test } from 'vitest';
import { type ErrorCode, invariant, StreamError } from '#runtime/std/errors.ts';
import { ApiWorld, LOCAL } from './api-world.ts';

let world: ApiWorld;

beforeEach(() => {
  world = new ApiWorld();
});

describe('what is not there', () => {
  test('paths: what there is, and what was probably meant', async () => {
    const fault = await world.faultOf('/overveiw');
    expect(fault).toMatchObject({ status: 404, code: 'path-unknown', message: "there is nothing at '/overveiw'" });
    expect(fault.remedy).toMatch(/^did you mean \/overview\? there are: \/overview \/config \/jobs /);
  });

  test('jobs and operators: which there are', async () => {
    expect(await world.faultOf('/jobs/rolups')).toMatchObject({
      status: 404,
      code: 'job-unknown',
      message: "there is no job 'rolups'",
      remedy: "did you mean 'rollups'? choose from: rollups, tsdb-writer",
    });
    expect(await world.faultOf('/jobs/rollups/state/5m')).toMatchObject({
      status: 404,
      code: 'operator-unknown',
      remedy: "did you mean '1m'? choose from: 1m, 1h",
    });
    expect(await world.faultOf('/jobs/nobody/state/1m')).toMatchObject({ status: 404, code: 'job-unknown' });
  });

  test.each(['..%2f..%2fetc%2fpasswd', 'ROLLUPS', 'a%00b', 'é', 'x'.repeat(65), 'x'.repeat(900), '%F0%9F%8C%8A'])(
    'the process is not asked for job %s',
    async (name) => {
      for (const path of ['', '/plan', '/state/1m']) {
        const { code, message, status } = await world.faultOf(`/jobs/${name}${path}`);
        expect({ code, status }).toEqual({ code: 'job-unknown', status: 404 });
        expect(message.length).toBeLessThan(100);
        expect(message).not.toContain('\0');
      }
      expect(new Set(world.port.asked)).toEqual(new Set(['jobs']));
    },
  );

  test.each(['/jobs/%zz', '/jobs/%c3', '/jobs/%', '/%ff'])('%s is not encoded as a path is', async (url) => {
    expect(await world.faultOf(url)).toMatchObject({ status: 400, code: 'request-invalid' });
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'TRACE'] as const)('%s', async (method) => {
    const server = world.serverOf();
    for (const url of ['/overview', '/jobs/rollups/plan/', '/jobs/nobody/state/x', '/openapi.json', '/healthz']) {
      const headers = { ...LOCAL, 'content-type': 'x/y' };
      const {
        body,
        headers: answered,
        statusCode,
      } = await server.inject({ method, url, headers, payload: 'x' } as never);
      expect({ url, statusCode, allow: answered['allow'] }).toEqual({ url, statusCode: 405, allow: 'GET, HEAD' });
      expect(JSON.parse(body).error).toMatchObject({ code: 'method-unknown', remedy: 'use GET or HEAD' });
    }
    const { statusCode } = await server.inject({ method, url: '/nope', headers: LOCAL } as never);
    expect(statusCode).toBe(404);
  });

  test('bodies that are large, or of no known length, are not read', async () => {
    const server = world.serverOf();
    for (const headers of [{ 'content-length': '65537' }, { 'transfer-encoding': 'chunked' }]) {
      for (const method of ['GET', 'POST'] as const) {
        const answer = await server.inject({ method, url: '/overview', headers: { ...LOCAL, ...headers } });
        expect(answer.statusCode).toBe(413);
        expect(answer.headers['connection']).toBe('close');
        expect(JSON.parse(answer.body).error.code).toBe('request-too-large');
      }
    }
  });
});

describe('who may ask', () => {
  test.each([
    'localhost',
    'localhost:1234',
    'LOCALHOST',
    '127.0.0.1',
    '127.1.2.3:80',
    '[::1]',
    '[::1]:8081',
    'm.example:9',
  ])('whoever means %s', async (host) => {
    expect((await world.get('/jobs', { host }, world.serverOf({ hosts: ['m.example'] }))).status).toBe(200);
  });

  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    '[::2]',
    'm.example.',
    'a@localhost',
  ])('nobody who means %s', async (host) => {
    const server = world.serverOf({ hosts: ['m.example'] });
    const fault = await world.faultOf('/jobs', { host }, server);
    expect(fault).toMatchObject({ status: 403, code: 'request-misdirected' });
    expect(fault.remedy).toContain('http.advertise');
    expect((await world.faultOf('/nope', { host }, server)).code).toBe('request-misdirected');
    expect((await world.get('/healthz', { host }, server)).status).toBe(200);
    expect(world.port.asked).toEqual([]);
  });

  test('with a token: whoever has it', async () => {
    const server = world.serverOf({ token: 'T0ken-of-some-length' });
    const ask = (authorization?: string) =>
      world.get('/jobs', { ...LOCAL, ...(authorization !== undefined && { authorization }) }, server);
    for (const good of ['Bearer T0ken-of-some-length', 'bearer   T0ken-of-some-length ']) {
      expect((await ask(good)).status).toBe(200);
    }
    const asked = world.port.asked.length;
    for (const bad of [
      undefined,
      '',
      'Bearer',
      'Bearer T0ken-of-some-lengtH',
      'Basic T0ken-of-some-length',
      'Bearer a b',
    ]) {
      const { headers, json, status } = await ask(bad);
      expect(status).toBe(401);
      expect(headers['www-authenticate']).toBe('Bearer');
      expect(json().error).toMatchObject({ code: 'request-unauthorized' });
      expect(json().error.remedy).toContain('MILLRACE_TOKEN');
    }
    expect(world.port.asked.length).toBe(asked);
    expect((await world.get('/healthz', LOCAL, server)).status).toBe(200);
    expect((await world.get('/readyz', LOCAL, server)).status).toBe(401);
    expect((await world.get('/openapi.json', LOCAL, server)).status).toBe(401);
    expect((await world.get('/nope', LOCAL, server)).status).toBe(401);
  });
});

describe('faults', () => {
  test.each([
    ['state-unreadable', 503],
    ['log-unavailable', 503],
    ['config-invalid', 400],
    ['checkpoint-lost', 500],
  ] as const satisfies readonly (readonly [ErrorCode, number])[])('%s is %i, with its remedy', async (code, status) => {
    world.port.fault = new StreamError(code, 'it is so', 'do that');
    expect(await world.faultOf('/jobs/rollups/state/1m')).toEqual({
      status,
      code,
      message: 'it is so',
      remedy: 'do that',
    });
    expect(world.logged).toHaveLength(status === 500 ? 1 : 0);
  });

  test('a bug is told as one, and its stack only to the log', async () => {
    world.port.jobs = () => {
      invariant(false, 'the secret of the house');
      return Promise.resolve([]);
    };
    const { body } = await world.get('/jobs');
    expect(body).not.toContain('secret');
    expect(body).not.toContain('    at ');
    expect(await world.faultOf('/jobs')).toMatchObject({ status: 500, code: 'internal-error' });
    expect(world.logged[0]).toMatchObject({
      code: 'internal-error',
      message: "a request for '/jobs' met a fault: the secret of the house",
      stack: expect.stringContaining('    at '),
    });
  });

  test('an answer that JSON cannot say is a bug', async () => {
    const self: { self?: object } = {};
    self.self = self;
    world.port.states = self as never;
    expect(await world.faultOf('/jobs/rollups/state/1m')).toMatchObject({ status: 500, code: 'internal-error' });
    expect(world.logged).toHaveLength(1);
  });

  test('a process that does not answer in time is told so, and counts until it does', async () => {
    const open = Promise.withResolvers<void>();
    world.port.gate = open.promise;
    const server = world.serverOf({ limits: { answerMs: 20, heavyQuestionsMax: 2 } });
    for (let i = 0; i < 2; i++) {
      expect(await world.faultOf('/jobs/rollups/state/1m', LOCAL, server)).toMatchObject({
        status: 503,
        code: 'answer-timeout',
      });
    }
    expect(await world.faultOf('/jobs/rollups/state/1m', LOCAL, server)).toMatchObject({
      status: 503,
      code: 'request-overload',
      message: '2 requests of this kind are being answered already',
    });
    expect(await world.faultOf('/jobs', LOCAL, server)).toMatchObject({ code: 'answer-timeout' });
    expect((await world.get('/openapi.json', LOCAL, server)).status).toBe(200);
    open.resolve();
    await expect.poll(async () => (await world.get('/jobs/rollups/state/1m', LOCAL, server)).status).toBe(200);
  });
});
