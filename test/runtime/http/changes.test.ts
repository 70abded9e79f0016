// What the admin API makes of changes: who may send them and how, what reaches the process, and what comes back.

import { beforeEach, describe, expect, test } from 'vitest';
import { ApiWorld, LOCAL } from './api-world.ts';

let world: ApiWorld;

beforeEach(() => {
  world = new ApiWorld();
});

const JSON_TYPE = { 'content-type': 'application/json' };

async function faultOf(...asked: Parameters<ApiWorld['change']>) {
  const answer = await world.change(...asked);
  return { status: answer.status, ...answer.json().error };
}

describe('a change', () => {
  test('reaches the process as it was meant, and is answered with its request', async () => {
    const terms = { 'idempotency-key': 'mine-1', 'if-match': '"3", W/"4", "5"' };
    const answer = await world.change('PATCH', '/jobs/rollups', { parallelism: 4 }, { ...LOCAL, ...terms });
    expect(answer.status).toBe(202);
    expect(answer.headers['location']).toBe('/requests/mine-1');
    expect(answer.json()).toMatchObject({ requestId: 'mine-1', state: 'RUNNING', progress: { done: 1, total: 8 } });
    expect(world.port.changes).toEqual([{ parallelism: 4, requestId: 'mine-1', revisions: [3, 5] }]);
  });

  test('has an id and no condition when none is given, and a star is none', async () => {
    await world.change('PATCH', '/jobs/rollups', { state: 'STOPPED' });
    await world.change('DELETE', '/jobs/rollups?purge=true', undefined, { ...LOCAL, 'if-match': '*' });
    await world.change('DELETE', '/jobs/rollups', undefined, { ...LOCAL, 'if-match': '"of-others"' });
    const none = { requestId: null, revisions: null };
    expect(world.port.changes).toEqual([
      { state: 'STOPPED', ...none },
      { purge: true, ...none },
      { purge: false, ...none, revisions: [] },
    ]);
  });

  test('that has ended is answered with 200', async () => {
    world.port.requestState = 'DONE';
    expect((await world.change('PATCH', '/jobs/rollups', { parallelism: 4 })).status).toBe(200);
    expect((await world.get('/requests/r-1')).json()).toMatchObject({ state: 'DONE', message: 'spread over 4 slots' });
  });

  test('a checkpoint is asked for without a body', async () => {
    const { status } = await world.change('POST', '/jobs/rollups/checkpoints', '');
    expect(status).toBe(202);
    expect(world.port.changes).toEqual([{ checkpoint: true, requestId: null, revisions: null }]);
    const untyped = await world.serverOf().inject({ method: 'POST', url: '/jobs/rollups/checkpoints', headers: LOCAL });
    expect(untyped.statusCode).toBe(415);
  });

  test('that nobody knows of is told so', async () => {
    for (const id of ['r-2', 'R', 'x'.repeat(65), '..%2fjobs']) {
      expect(await world.faultOf(`/requests/${id}`)).toMatchObject({ status: 404, code: 'request-unknown' });
    }
  });
});

describe('is refused', () => {
  test.each([
    ['no JSON', '{"parallelism":'],
    ['a list', [1]],
    ['a text', '"STOPPED"'],
    ['nothing', {}],
    ['an empty body', ''],
    ['a number of slots that there are not', { parallelism: 0 }],
    ['half a slot', { parallelism: 1.5 }],
    ['a text for a number', { parallelism: '4' }],
    ['a state of its own', { state: 'SLEEPING' }],
    ['a state that nobody can want', { state: 'FAILED' }],
    ['a number for a time', { commitInterval: 200 }],
    ['what cannot be changed', { version: 'x' }],
    ['a prototype', '{"__proto__":{"state":"STOPPED"}}'],
    ['a constructor', '{"constructor":1}'],
  ])('%s', async (_what, body) => {
    const fault = await faultOf('PATCH', '/jobs/rollups', body);
    expect(fault).toMatchObject({ status: 400, code: 'request-invalid' });
    expect(fault.remedy.length).toBeGreaterThan(3);
    expect(world.port.changes).toEqual([]);
  });

  test('all faults are told at once, with what was probably meant', async () => {
    const fault = await faultOf('PATCH', '/jobs/rollups', { paralelism: 4, state: 'OFF' });
    expect(fault.message).toBe(
      "the body has 2 faults: 'paralelism' is nothing that can be changed; state 'OFF' is not possible",
    );
    expect(fault.remedy).toBe("did you mean 'parallelism'?; give state as one of RUNNING, PAUSED, STOPPED, CANCELED");
  });

  test('an id that is none', async () => {
    for (const id of ['', 'A', 'a b', 'x'.repeat(65)]) {
      const headers = { ...LOCAL, 'idempotency-key': id };
      const fault = await faultOf('PATCH', '/jobs/rollups', { parallelism: 4 }, headers);
      // A header without a value is none.
      if (id === '') expect(fault.status).toBe(202);
      else expect(fault).toMatchObject({ status: 400, code: 'request-invalid' });
    }
  });

  test.each([undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'multipart/form-data'])(
    'a body that says it is %s',
    async (type) => {
      const headers = { ...LOCAL, ...(type !== undefined && { 'content-type': type }) };
      const { body, statusCode } = await world
        .serverOf()
        .inject({ method: 'PATCH', url: '/jobs/rollups', headers, payload: '{"state":"STOPPED"}' });
      expect(statusCode).toBe(415);
      expect(JSON.parse(body).error).toMatchObject({ code: 'media-type-unknown' });
      expect(world.port.changes).toEqual([]);
    },
  );

  test.each([
    { origin: 'https://evil.example' },
    { origin: 'http://localhost:3000' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:8081', 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('what a page of another site sends: %o', async (headers) => {
    for (const method of ['PATCH', 'DELETE'] as const) {
      const sent = { ...LOCAL, ...JSON_TYPE, ...headers } as typeof LOCAL;
      const fault = await faultOf(method, '/jobs/rollups', { state: 'STOPPED' }, sent);
      expect(fault).toMatchObject({ status: 403, code: 'request-misdirected' });
    }
    expect(world.port.changes).toEqual([]);
    expect((await world.get('/jobs', { ...LOCAL, ...headers } as typeof LOCAL)).status).toBe(200);
  });

  test('but not what a page of this process sends', async () => {
    const own = { ...LOCAL, origin: 'http://127.0.0.1:8081', 'sec-fetch-site': 'same-origin' };
    expect((await world.change('PATCH', '/jobs/rollups', { state: 'STOPPED' }, own)).status).toBe(202);
    const server = world.serverOf({ hosts: ['m.example'] });
    const named = { host: 'm.example', origin: 'https://m.example' };
    expect((await world.change('DELETE', '/jobs/rollups', undefined, named, server)).status).toBe(202);
  });

  test('without the token', async () => {
    const server = world.serverOf({ token: 'T0ken-of-some-length' });
    expect((await world.change('DELETE', '/jobs/rollups', undefined, LOCAL, server)).status).toBe(401);
    expect((await world.change('PATCH', '/jobs/rollups', { parallelism: 1 }, LOCAL, server)).status).toBe(401);
    expect(world.port.changes).toEqual([]);
  });
});
