// The admin API of a whole process on the embedded log: every answer is what the document says, whatever the jobs do.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { AdminHttp } from '#jobs/admin-http.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import type { OpenApiDocument } from '#runtime/http/openapi.ts';
import { ROUTES } from '#runtime/http/routes.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { AdminWorld, until } from '#test/jobs/admin-world.ts';
import { millrace } from '#test/jobs/commands/millrace-command.ts';
import { SchemaCheck } from '#test/runtime/http/schema-check.ts';
import { feedMinutes } from '#test/runtime/slot/minute-world.ts';

const HTTP = { host: '127.0.0.1', port: 0, advertise: null, tls: null, token: null };

let world: AdminWorld;
let running: MillraceProcess | null = null;
let admin: AdminHttp;

beforeEach(async () => {
  world = await AdminWorld.create();
  admin = new AdminHttp(HTTP, silentLogger);
});

afterEach(async () => {
  await running?.stop();
  running = null;
  await admin.close();
  await world.remove();
});

async function start(jobs: readonly string[]): Promise<MillraceProcess> {
  running = await world.start(jobs);
  await admin.open(running);
  return running;
}

const get = async (path: string) => {
  const answer = await fetch(`${admin.url}${path}`);
  const body = await answer.text();
  return { status: answer.status, type: answer.headers.get('content-type') ?? '', body, json: () => JSON.parse(body) };
};

test('every route answers as the document says, while jobs start, run, restart and stop', async () => {
  const process = await start(['steady', 'throwing']);
  const check = new SchemaCheck((await get('/openapi.json')).json() as OpenApiDocument);
  const faults: string[] = [];
  const askAll = async () => {
    for (const { path } of ROUTES.filter(({ method }) => method === 'GET')) {
      for (const job of path.includes('{job}') ? ['steady', 'throwing', 'nobody'] : ['']) {
        const { body, status, type } = await get(path.replace('{job}', job).replace('{operator}', 'minute'));
        faults.push(...check.faults(path, status, type, body));
      }
    }
  };
  await askAll();
  expect((await get('/readyz')).json()).toMatchObject({ ready: false });
  admin.started();
  // The special sample is what the second job does not bear.
  await feedMinutes(process.log, 666);
  await until('a restart', async () => (await get('/jobs/throwing')).json().restarts > 0);
  await askAll();
  const stopping = process.stop();
  await askAll();
  await stopping;
  running = null;
  await askAll();
  expect(faults).toEqual([]);
  expect((await get('/overview')).json().jobs).toEqual({ STOPPED: 2 });
}, 120_000);

test('the first window is seen by a person who asks for the state', async () => {
  const process = await start(['steady']);
  admin.started();
  await feedMinutes(process.log, 1);
  await until('readiness', async () => (await get('/readyz')).status === 200);
  await until('windows', async () => (await get('/jobs/steady/state/minute')).json().keys.length === 4);
  const { status, stderr, stdout } = await millrace(['state', 'steady', '--url', String(admin.url)]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^minute of steady, 4 partitions at entr/);
  for (const host of ['h-0', 'h-1', 'h-2', 'h-3']) expect(stdout).toContain(`cpu{host="${host}"}`);
  const key = encodeURIComponent('cpu{host="h-2"}');
  expect((await get(`/jobs/steady/state/minute?key=${key}`)).json()).toMatchObject({
    job: 'steady',
    keys: [{ key: 'cpu{host="h-2"}', partition: 2 }],
    next: null,
  });
}, 120_000);
