// What the admin API answers, asked without a socket: every answer is what the document says, every refusal has one
// shape and a remedy.

import { beforeEach, describe, expect, test } from 'vitest';
import type { AdminPort } from '#runtime/http/contract.ts';
import type { OpenApiDocument } from '#runtime/http/openapi.ts';
import { COMMON_ERRORS, statusOf } from '#runtime/http/refusal.ts';
import { ROUTES } from '#runtime/http/routes.ts';
import { JOB_STATES } from '#runtime/http/view-schemas.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { ApiWorld, LOCAL } from './api-world.ts';
import { KEY } from './hand-made-port.ts';
import { SchemaCheck } from './schema-check.ts';

let world: ApiWorld;

beforeEach(() => {
  world = new ApiWorld();
});

async function document(): Promise<OpenApiDocument> {
  return (await world.get('/openapi.json')).json();
}

const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  '/overview': ['/overview', '/overview/'],
  '/config': ['/config'],
  '/jobs': ['/jobs'],
  '/jobs/{job}': ['/jobs/rollups', '/jobs/nobody'],
  '/jobs/{job}/plan': ['/jobs/rollups/plan', '/jobs/nobody/plan'],
  '/jobs/{job}/checkpoints': ['/jobs/rollups/checkpoints', '/jobs/x/checkpoints'],
  '/jobs/{job}/exceptions': ['/jobs/rollups/exceptions', '/jobs/x/exceptions'],
  '/jobs/{job}/state': ['/jobs/rollups/state', '/jobs/x/state'],
  '/jobs/{job}/state/{operator}': [
    '/jobs/rollups/state/1m',
    `/jobs/rollups/state/1m?key=${encodeURIComponent(KEY)}`,
    '/jobs/rollups/state/9m',
    '/jobs/x/state/1m',
    '/jobs/rollups/state/1m?limit=none',
  ],
  '/metrics': ['/metrics'],
  '/healthz': ['/healthz'],
  '/readyz': ['/readyz'],
  '/jobs/{job}/versions': ['/jobs/rollups/versions', '/jobs/x/versions'],
  '/jobs/{job}/rollback': [],
  '/jobs/{job}/savepoints': ['/jobs/rollups/savepoints', '/jobs/x/savepoints'],
  '/jobs/{job}/savepoints/{savepoint}': [
    '/jobs/rollups/savepoints/01jd0000000000000000000000',
    '/jobs/rollups/savepoints/01je',
    '/jobs/rollups/savepoints/X',
    '/jobs/x/savepoints/01jd',
  ],
  '/requests/{request}': ['/requests/r-1', '/requests/r-2', '/requests/R'],
  '/openapi.json': ['/openapi.json'],
};

const HOW = { allowDroppedState: true, fromSavepoint: '01jd', publishAgain: true };
/** Changes by method and path: what is sent, and where to. */
const CHANGES: readonly (readonly ['PATCH' | 'POST' | 'DELETE', string, unknown?])[] = [
  ['PATCH', '/jobs/rollups', { state: 'STOPPED', drain: true }],
  ['PATCH', '/jobs/rollups', { parallelism: 4, commitInterval: '1s', checkpointInterval: '5m' }],
  ['PATCH', '/jobs/nobody', { parallelism: 4 }],
  ['DELETE', '/jobs/rollups'],
  ['DELETE', '/jobs/rollups?purge=true'],
  ['DELETE', '/jobs/rollups?purge=maybe'],
  ['DELETE', '/jobs/nobody'],
  ['POST', '/jobs/rollups/checkpoints', ''],
  ['POST', '/jobs/nobody/checkpoints', ''],
  ['POST', '/jobs', { bundle: { format: 1 }, dryRun: true }],
  ['POST', '/jobs', { bundle: {}, options: {}, module: 'a.ts', ...HOW }],
  ['POST', '/jobs', { bundle: 'none' }],
  ['POST', '/jobs/rollups/rollback', { version: '0123', dryRun: false, ...HOW }],
  ['POST', '/jobs/rollups/rollback', {}],
  ['POST', '/jobs/nobody/rollback', { version: '0123' }],
  ['POST', '/jobs/rollups/savepoints', ''],
  ['DELETE', '/jobs/rollups/savepoints/01jd'],
  ['DELETE', '/jobs/nobody/savepoints/01jd'],
  ['DELETE', '/jobs/rollups/savepoints/X'],
];

/** The path of a route. */
function pathOf(url: string): string {
  return url
    .replace(/^\/jobs\/\w+/, '/jobs/{job}')
    .replace(/savepoints\/\w+$/, 'savepoints/{savepoint}')
    .replace(/\?.*/, '');
}

describe('the document', () => {
  test('lists every route, and every route has an example here', async () => {
    const { paths } = await document();
    expect(Object.keys(paths)).toEqual([...new Set(ROUTES.map((route) => route.path)), '/openapi.json']);
    expect(Object.keys(EXAMPLES)).toEqual(Object.keys(paths));
    const changes = new Set(CHANGES.map(([method, url]) => `${method} ${pathOf(url)}`));
    const known = ROUTES.flatMap(({ method, path }) => (method === 'GET' ? [] : [`${method} ${path}`]));
    expect([...changes]).toEqual(known);
    const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map((one) => one.operationId));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('says of every answer what it is, and no field that no answer has', async () => {
    const check = new SchemaCheck(await document());
    const faults: string[] = [];
    const ask = async () => {
      for (const [path, urls] of Object.entries(EXAMPLES)) {
        for (const url of urls) {
          const { body, headers, status } = await world.get(url);
          faults.push(...check.faults(path, status, String(headers['content-type']), body));
        }
      }
    };
    const change = async () => {
      for (const [method, url, body] of CHANGES) {
        const answer = await world.change(method, url, body);
        const [path, type] = [pathOf(url), String(answer.headers['content-type'])];
        const sends = method === 'PATCH' || (method === 'POST' && body !== '' && answer.status < 300);
        if (sends) expect(check.sends(path, method.toLowerCase(), body)).toBe(true);
        faults.push(...check.faults(path, answer.status, type, answer.body, method.toLowerCase()));
      }
    };
    for (const state of ['RUNNING', 'DONE', 'FAILED', 'UNDONE'] as const) {
      world.port.requestState = state;
      await ask();
      await change();
    }
    world.port.ready = false;
    const overview: AdminPort['overview'] = () =>
      Promise.resolve({ ...OVERVIEW, jobs: Object.fromEntries(JOB_STATES.map((state) => [state, 1])) });
    Object.assign(world.port, { overview });
    await ask();
    for (const code of ['log-unavailable', 'checkpoint-lost'] as const) {
      world.port.fault = new StreamError(code, 'no', 'wait for it');
      await ask();
      await change();
    }
    expect(faults).toEqual([]);
    expect(check.unseen()).toEqual([]);
  });

  test('would be broken by an answer with one field more, one less or of another kind', async () => {
    const check = new SchemaCheck(await document());
    const overview = (await world.get('/overview')).json();
    const judge = (body: object) => check.faults('/overview', 200, 'application/json', JSON.stringify(body)).length;
    expect(judge(overview)).toBe(0);
    expect(judge({ ...overview, more: 1 })).toBe(1);
    expect(judge({ ...overview, version: undefined })).toBe(1);
    expect(judge({ ...overview, startedMs: 'now' })).toBe(1);
  });

  test('lists every error of a route under its status', async () => {
    const { paths } = await document();
    for (const route of ROUTES) {
      for (const code of [...COMMON_ERRORS, ...route.errors]) {
        expect(
          paths[route.path][route.method.toLowerCase()].responses[statusOf(code)].description,
          route.path,
        ).toContain(`\`${code}\``);
      }
    }
  });
});

const OVERVIEW = {
  version: '0.1.0',
  namespace: 'millrace',
  process: 'p',
  installation: '01H',
  log: 'kafka',
  startedMs: 1,
  slots: { total: 2, running: 2 },
  tasks: { total: 2, running: 2 },
} as const;

describe('answers', () => {
  test('HEAD says what GET would, without a body', async () => {
    const server = world.serverOf();
    for (const url of Object.values(EXAMPLES).flat()) {
      const [head, full] = await Promise.all([
        server.inject({ method: 'HEAD', url, headers: LOCAL }),
        server.inject({ method: 'GET', url, headers: LOCAL }),
      ]);
      expect(head.body).toBe('');
      expect(head.statusCode).toBe(full.statusCode);
      expect(head.headers['content-type']).toBe(full.headers['content-type']);
      expect(head.headers['content-length']).toBe(full.headers['content-length']);
    }
  });

  test('nobody keeps them or takes them for something else', async () => {
    for (const url of ['/jobs', '/nope', '/metrics', '/jobs/%zz']) {
      expect((await world.get(url)).headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
    }
  });

  test('the tag of a job changes with what it is told to be, and not with what it does', async () => {
    const tag = async () => (await world.get('/jobs/rollups')).headers['etag'];
    expect(await tag()).toBe('"3"');
    world.port.lagRecords++;
    expect(await tag()).toBe('"3"');
    world.port.revision++;
    expect(await tag()).toBe('"4"');
  });

  test('state is said with values that JSON does not have', async () => {
    const bytes = Buffer.from('millrace').subarray(1, 3);
    const map = new Map<unknown, unknown>([[1, 2n]]);
    const list = [undefined, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    world.port.states = {
      big: 2n ** 63n,
      nan: Number.NaN,
      list,
      bytes,
      more: new Uint8Array([255]),
      map,
      __proto__x: null,
    };
    expect((await world.get('/jobs/rollups/state/1m')).json().keys[0].states).toEqual({
      big: '9223372036854775808',
      nan: 'NaN',
      list: [null, '-Inf', '+Inf'],
      bytes: 'aWw=',
      more: '/w==',
      map: [[1, '2']],
      __proto__x: null,
    });
  });

  test('readiness tells the job that is not ready, why, and what to do', async () => {
    world.port.ready = false;
    const { headers, json, status } = await world.get('/readyz');
    expect(status).toBe(503);
    expect(headers['retry-after']).toBe('1');
    expect(json()).toEqual({
      error: { code: 'not-ready', message: 'job tsdb-writer is FAILED: window threw', remedy: 'correct it' },
      ready: false,
      jobs: [{ job: 'tsdb-writer', state: 'FAILED', reason: 'window threw', remedy: 'correct it' }],
    });
  });
});

describe('queries of state', () => {
  const queryOf = async (query: string) => {
    const { status } = await world.get(`/jobs/rollups/state/1m${query}`);
    expect(status).toBe(200);
    return world.port.stateQueries.at(-1);
  };

  test('arrive as they were meant', async () => {
    expect(await queryOf('')).toEqual({});
    expect(await queryOf(`?key=${encodeURIComponent(KEY)}`)).toEqual({ key: KEY });
    expect(await queryOf('?key=cpu{host="a"}')).toEqual({ key: 'cpu{host="a"}' });
    expect(await queryOf('?key=a+b%2Bc=d')).toEqual({ key: 'a b+c=d' });
    expect(await queryOf('?key=%F0%9F%8C%8A%00')).toEqual({ key: '🌊\0' });
    expect(await queryOf('?prefix=cpu%7B&limit=1000&after=2.17')).toEqual({
      prefix: 'cpu{',
      limit: 1_000,
      after: '2.17',
    });
  });

  test('a key may be empty; what else is empty was not given', async () => {
    expect(await queryOf('?key=&prefix=&after=&')).toEqual({ key: '' });
    expect(await queryOf('?key')).toEqual({ key: '' });
  });

  test.each([
    ['limit=0', "limit '0' is not possible"],
    ['limit=1001', "limit '1001' is not possible"],
    ['limit=-1', "limit '-1' is not possible"],
    ['limit=1e2', "limit '1e2' is not possible"],
    ['limit=', "limit '' is not possible"],
    ['limit=99999999999999999999', "limit '99999999999999999999' is not possible"],
    ['limit=1&limit=2', 'limit is given more than once'],
    ['key=a&key=a', 'key is given more than once'],
    ['key[]=a', "'key[]' is no parameter here"],
    ['__proto__=a', "'__proto__' is no parameter here"],
    ['key=%', "'key=%' is not encoded as a query is"],
    ['key=%C3', "'key=%C3' is not encoded as a query is"],
    ['key=%ED%A0%80', "'key=%ED%A0%80' is not encoded as a query is"],
    ['key=a&prefix=b', 'key names one key, prefix speaks of several'],
    ['key=a&after=b', 'key names one key, after speaks of several'],
    [`${'x'.repeat(200)}=1`, `'${'x'.repeat(60)}…' is no parameter here`],
    ['a%0Ab=1', "'a�b' is no parameter here"],
  ])('%s is refused', async (query, message) => {
    const fault = await world.faultOf(`/jobs/rollups/state/1m?${query}`);
    expect(fault).toMatchObject({ status: 400, code: 'request-invalid', message: `the query has 1 fault: ${message}` });
    expect(world.port.asked).toEqual([]);
  });

  test('all faults are told at once, with what was probably meant', async () => {
    const fault = await world.faultOf('/jobs/rollups/state/1m?limit=x&lmit=1&key=%zz');
    expect(fault.message).toBe(
      "the query has 3 faults: limit 'x' is not possible; 'lmit' is no parameter here; 'key=%zz' is not encoded as a query is",
    );
    expect(fault.remedy).toContain('from 1 to 1000');
    expect(fault.remedy).toContain("did you mean 'limit'?");
  });

  test('paths that take none refuse them', async () => {
    expect(await world.faultOf('/jobs?limit=3')).toMatchObject({ status: 400, remedy: 'leave the query out' });
  });
});
