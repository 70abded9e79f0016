// Commands that ask a process, run as a person runs them: what they print, what they say when nobody answers, or
// somebody else, and how they end.

import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { askApi } from '#jobs/commands/api-client.ts';
import type { AdminServer } from '#runtime/http/admin-server.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { ApiWorld } from '#test/runtime/http/api-world.ts';
import { KEY } from '#test/runtime/http/hand-made-port.ts';
import { bash, millrace } from './millrace-command.ts';

let world: ApiWorld;
let server: AdminServer;
let url: string;
let other: Server | null = null;

beforeEach(async () => {
  world = new ApiWorld();
  server = world.serverOf();
  await server.listen('127.0.0.1', 0);
  url = server.url;
});

afterEach(async () => {
  await server.close();
  other?.closeAllConnections();
  other?.close();
  other = null;
});

async function serve(listener: RequestListener): Promise<string> {
  other = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => other?.once('listening', resolve));
  return `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
}

describe('answers', () => {
  test('jobs, for people and for programs, wherever the address is said', async () => {
    const { status, stderr, stdout } = await millrace(['jobs', '--url', url]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^JOB +STATE .*\nrollups +RUNNING +8\/8 /);
    const json = await millrace(['jobs', '--json'], { MILLRACE_URL: `${url}/` });
    expect(JSON.parse(json.stdout)).toEqual({ jobs: await world.port.jobs() });
  });

  test('a job', async () => {
    expect((await millrace(['job', 'rollups', '--url', url])).stdout).toMatch(/^rollups {2}RUNNING\n/);
    const json = await millrace(['job', 'rollups', '--json', '--url', url]);
    expect(JSON.parse(json.stdout)).toEqual(await world.port.job('rollups'));
  });

  test('state without an operator shows the first and names the others', async () => {
    const { status, stdout } = await millrace(['state', 'rollups', '--url', url]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^1m of rollups, 2 partitions at entries -1 to 42; --operator shows others: 1h\n/);
    expect(stdout).toContain(`\n${KEY}\n`);
    expect(stdout).toContain(`\nmore: millrace state rollups --operator 1m --limit 20 --after 2.17 --url ${url}\n`);
    expect(world.port.stateQueries).toEqual([{ limit: 20 }]);
    const json = JSON.parse((await millrace(['state', 'rollups', '--json', '--url', url])).stdout);
    const { operators, ...state } = json;
    expect(operators).toEqual(['1m', '1h']);
    const one = await millrace(['state', 'rollups', '--operator', '1m', '--json', '--url', url]);
    expect(JSON.parse(one.stdout)).toEqual(state);
  });

  test('what a person types as a key arrives', async () => {
    const { stdout } = await millrace(['state', 'rollups', '--operator', '1m', '--key', KEY, '--url', url]);
    expect(stdout).toContain(`\n${KEY}\n`);
    expect(stdout).not.toContain('more:');
    expect(world.port.stateQueries).toEqual([{ key: KEY }]);
  });

  test('the command of the next page is one that can be typed', async () => {
    const prefix = `it's {"a b"}`;
    const args = ['state', 'rollups', '--operator', '1m', '--prefix', prefix, '--limit', '3', '--url', url];
    const more = /^more: (.*)$/m.exec((await millrace(args)).stdout)?.[1] ?? '';
    expect((await bash(more)).status).toBe(0);
    expect(world.port.stateQueries).toEqual([
      { prefix, limit: 3 },
      { prefix, limit: 3, after: '2.17' },
    ]);
  });

  test('a token of the environment is shown', async () => {
    await server.close();
    server = world.serverOf({ token: 'a-token-of-some-length' });
    await server.listen('127.0.0.1', 0);
    const refused = await millrace(['jobs', '--url', server.url]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/^millrace: the request carries no token\n {2}remedy: .*MILLRACE_TOKEN/);
    expect((await millrace(['jobs', '--url', server.url], { MILLRACE_TOKEN: 'a-token-of-some-length' })).status).toBe(
      0,
    );
  });
});

describe('refusals', () => {
  const refusal = async (args: readonly string[], environment?: Record<string, string>) => {
    const { status, stderr, stdout } = await millrace(args, environment);
    expect(stdout).toBe('');
    expect(stderr).not.toContain('    at ');
    const [, message, remedy] = /^millrace: (.*)\n {2}remedy: (.*)\n$/.exec(stderr) ?? [];
    expect(remedy, stderr).toBeDefined();
    return { status, message, remedy };
  };

  test('a job or operator that there is not: the nearest one', async () => {
    expect(await refusal(['job', 'rolups', '--url', url])).toEqual({
      status: 1,
      message: "there is no job 'rolups'",
      remedy: "did you mean 'rollups'? choose from: rollups, tsdb-writer",
    });
    expect((await refusal(['job', '../overview', '--url', url])).message).toBe("there is no job '../overview'");
    const operator = await refusal(['state', 'rollups', '--operator', '1d', '--url', url]);
    expect(operator.remedy).toContain('choose from: 1m, 1h');
  });

  test('a fault of the process, with its remedy', async () => {
    world.port.fault = new StreamError('state-unreadable', 'task 1m/0 does not run now', 'ask again when it runs');
    expect(await refusal(['state', 'rollups', '--url', url])).toEqual({
      status: 1,
      message: 'task 1m/0 does not run now',
      remedy: 'ask again when it runs',
    });
    world.port.fault = new Error('a bug');
    expect((await refusal(['jobs', '--url', url])).message).toBe('the request met a bug of Millrace');
  });

  test('nobody there: which address, and how to start', async () => {
    await server.close();
    const gone = await refusal(['jobs', '--url', url]);
    expect(gone).toEqual({
      status: 1,
      message: `no admin API answers at ${url}: nothing listens there`,
      remedy: 'start Millrace (millrace up), or name its address with --url or MILLRACE_URL',
    });
    expect((await refusal(['jobs', '--url', 'http://no-such-host.invalid'])).message).toMatch(
      /: the host is not known$|EAI_AGAIN/,
    );
    expect(
      (await refusal(['jobs', '--url', await serve(() => {}).then((plain) => plain.replace('http', 'https'))])).message,
    ).toMatch(
      /^no admin API answers at https:.*: what listens there speaks no TLS: try http:\/\/ instead of https:\/\/$/,
    );
    expect((await refusal(['jobs'], { MILLRACE_URL: 'here' })).message).toBe("MILLRACE_URL 'here' is no address");
  });

  test('a stack only for those who debug', async () => {
    await server.close();
    const { stderr } = await millrace(['jobs', '--url', url], { LOG_LEVEL: 'debug' });
    expect(stderr).toContain('    at ');
  });

  test.each([
    ['a page', 200, 'text/html', '<html>\u001b[2J\n<p>hello', 'status 200, <html>\\u001b[2J <p>hello'],
    ['nothing', 204, 'text/plain', '', 'status 204'],
    ['an error of somebody else', 502, 'application/json', '{"error":"bad"}', 'status 502, {"error":"bad"}'],
    ['text', 200, 'application/json', '"jobs"', 'status 200, "jobs"'],
  ])('somebody else, who answers %s', async (_what, status, type, body, shown) => {
    const strange = await serve((_request, response) => response.writeHead(status, { 'content-type': type }).end(body));
    expect(await refusal(['jobs', '--url', strange])).toEqual({
      status: 1,
      message: `what answers at ${strange} is no admin API of Millrace: ${shown}`,
      remedy: 'name the address of Millrace with --url or MILLRACE_URL',
    });
  });

  test('somebody else, who answers JSON of another kind, or sends elsewhere', async () => {
    const strange = await serve((_request, response) => response.end('{"jobs":{}}'));
    expect((await refusal(['jobs', '--url', strange])).message).toContain('has no jobs');
    other?.close();
    const lacking = await serve((_request, response) =>
      response.end('{"jobs":[{}],"taskList":[1],"operators":["1m"],"keys":[null]}'),
    );
    for (const command of [['jobs'], ['job', 'rollups'], ['state', 'rollups']]) {
      expect(await refusal([...command, '--url', lacking])).toMatchObject({
        message: expect.stringMatching(/^what answers \/jobs.* cannot be shown, and so is no admin API of Millrace/),
        remedy: 'name the address of Millrace with --url or MILLRACE_URL',
      });
    }
    other?.close();
    const elsewhere = await serve((_request, response) => response.writeHead(302, { location: `${url}/jobs` }).end());
    expect((await refusal(['jobs', '--url', elsewhere])).message).toContain('status 302');
  });

  test('somebody who sends without end, or too slowly', async () => {
    let sent = 0;
    const endless = await serve((_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write('{'.repeat(10_000))) sent += 10_000;
      };
      response.on('drain', more);
      more();
    });
    const access = { url: endless, environment: {}, answerBytesMax: 1_000_000 };
    await expect(askApi(access, '/jobs')).rejects.toMatchObject({ code: 'api-foreign' });
    expect(sent).toBeLessThan(50_000_000);
    other?.closeAllConnections();
    other?.close();
    const slow = await serve((_request, response) => response.write('{"jobs":'));
    await expect(askApi({ url: slow, environment: {}, timeoutMs: 100 }, '/jobs')).rejects.toMatchObject({
      code: 'api-unreachable',
      message: `no admin API answers at ${slow}: no answer within 0.1s`,
    });
  });

  test('somebody who closes the connection', async () => {
    const rude = await serve((request) => request.socket.destroy());
    expect((await refusal(['jobs', '--url', rude])).message).toMatch(/^no admin API answers at .*: .+/);
  });
});

describe('pipes', () => {
  test('whoever has read enough ends the command quietly', async () => {
    world.port.states = { large: 'x'.repeat(4 * 1024 * 1024) };
    const line = `set -o pipefail; millrace state rollups --json --url ${url} | head -c 10; echo " $?"`;
    expect(await bash(line)).toEqual({ status: 0, stdout: '{\n  "opera 0\n', stderr: '' });
    const usage = await bash('set -o pipefail; millrace --help | true; echo $?');
    expect(usage).toEqual({ status: 0, stdout: '0\n', stderr: '' });
  });

  test('large answers arrive whole', async () => {
    world.port.states = { large: 'x'.repeat(4 * 1024 * 1024) };
    const { stdout } = await bash(`millrace state rollups --json --url ${url} | cat`);
    expect(JSON.parse(stdout).keys[0].states.large).toHaveLength(4 * 1024 * 1024);
  });

  test('nothing is coloured in a pipe', async () => {
    expect((await bash(`millrace jobs --url ${url} | cat`, { TERM: 'xterm-256color' })).stdout).not.toContain('\u001b');
  });
});
