// Every command line of a README that asks a process does what its reader expects: it is run as it stands there, against
// an admin API.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { COMMANDS } from '#jobs/commands/command-table.ts';
import type { AdminServer } from '#runtime/http/admin-server.ts';
import { ROUTES } from '#runtime/http/routes.ts';
import { bash } from '#test/jobs/commands/millrace-command.ts';
import { ApiWorld } from '#test/runtime/http/api-world.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
/** By name: what other READMEs tell their reader to type may install, write or delete. */
const READMES = ['jobs/README.md', 'runtime/http/README.md'].map((path) => ({
  path,
  text: readFileSync(join(ROOT, path), 'utf8'),
}));
/** Nothing else is ever run, whatever a README says: these only ask, or change what the test has made. */
const ASKS =
  /^(?:(?:source <\()?npx millrace (?:jobs|job|state|completion|(?:start|stop|pause|resume|rescale|cancel|savepoints?|versions|rollback) [a-z]+)\b|curl -s .*127\.0\.0\.1:8081\/)/;
const CHANGES = /^curl -s -X PATCH -H '[^']*' -d '[^']*' http:\/\/127\.0\.0\.1:8081\/jobs\/[a-z]+$/;
/** What could do more than ask, in a line that begins well. */
const MORE = /[;&|`]|\$\(|>|\s-(?:o|O|X|d|T)\b|--(?:output|request|data|upload-file)\b(?!-urlencode)/;

const lines = READMES.flatMap(({ path, text }) =>
  [...text.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block]) =>
    block
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, ''))
      .filter((line) => line !== '')
      .map((line) => ({ path, line })),
  ),
);
const asking = lines.filter(
  ({ line }) => CHANGES.test(line) || (ASKS.test(line) && !MORE.test(line.replace(/'[^']*'/g, ''))),
);

let server: AdminServer;

beforeAll(async () => {
  const world = new ApiWorld();
  world.port.requestState = 'DONE';
  server = world.serverOf();
  await server.listen('127.0.0.1', 0);
});

afterAll(() => server.close());

test('what stands there only asks', () => {
  expect(lines.filter((line) => !asking.includes(line))).toEqual([]);
});

test('there are command lines, of every command that asks', () => {
  const all = asking.map(({ line }) => line).join('\n');
  for (const command of [
    'jobs',
    'job',
    'state',
    'completion',
    'start',
    'stop',
    'pause',
    'resume',
    'rescale',
    'cancel',
  ] as const) {
    expect(Object.keys(COMMANDS)).toContain(command);
    expect(all).toContain(`npx millrace ${command}`);
  }
});

test.each(asking)('$path: $line', async ({ line }) => {
  const local = line.replaceAll('npx millrace', 'millrace').replaceAll('http://127.0.0.1:8081', server.url);
  const fails = local.replaceAll('curl -s', 'curl --fail -sS');
  const { status, stderr, stdout } = await bash(`set -e\n${fails}`, { MILLRACE_URL: server.url });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  if (!line.startsWith('source')) expect(stdout).not.toBe('');
});

test('the README of the API names no path that there is not', () => {
  const text = READMES.find(({ path }) => path === 'runtime/http/README.md')?.text ?? '';
  const known = [...ROUTES.map((route) => route.path), '/openapi.json'].map(
    (path) => new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  );
  const named = [...text.matchAll(/http:\/\/127\.0\.0\.1:8081(\/[\w/.-]*)/g)].map(([, path]) => path);
  expect(named.length).toBeGreaterThan(5);
  for (const path of named)
    expect(
      known.some((pattern) => pattern.test(path)),
      path,
    ).toBe(true);
});
