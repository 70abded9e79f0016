// The command line: what it means, and what it says when it means nothing.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCommandLine } from '#jobs/command-line.ts';
import { COMMAND_NAMES, entryOf } from '#jobs/commands/command-table.ts';
import { commandHelp, usage } from '#jobs/commands/help-text.ts';

const ROOT = new URL('../..', import.meta.url).pathname;

function millrace(args: readonly string[], environment: Record<string, string> = {}) {
  const env = { PATH: process.env['PATH'], ...environment };
  return spawnSync(process.execPath, [join(ROOT, 'jobs/main.ts'), ...args], { cwd: ROOT, env, encoding: 'utf8' });
}

const STATE = {
  kind: 'state',
  job: 'j',
  operator: null,
  key: null,
  prefix: null,
  limit: 20,
  after: null,
  url: null,
  json: false,
};
const CHANGE = {
  kind: 'change',
  command: 'stop',
  job: 'j',
  requestId: null,
  savepoint: null,
  parallelism: null,
  purge: false,
  drain: false,
  url: null,
  json: false,
};
const DEPLOY = {
  kind: 'deploy',
  module: 'a.ts',
  job: null,
  version: null,
  options: null,
  dryRun: false,
  fromSavepoint: null,
  allowDroppedState: false,
  yes: false,
  requestId: null,
  url: null,
  json: false,
};
const PAGE = { operator: '1m', prefix: 'p', limit: 1_000, after: '0:2' };

describe('meaning', () => {
  test('up without anything runs the configuration of this directory', () => {
    expect(parseCommandLine(['up'])).toEqual({
      kind: 'up',
      config: 'jobs.config.ts',
      flags: {},
      generate: false,
      acceptDivergentReplay: false,
    });
  });

  test('flags arrive checked', () => {
    const argv = ['start', '--jobs', 'a, b', '--slots=4', '--data', 'd', '--port', '0', '--config', 'c.ts'];
    expect(parseCommandLine(argv)).toMatchObject({
      generate: true,
      config: 'c.ts',
      flags: { jobs: ['a', 'b'], slots: 4, data: 'd', port: 0 },
    });
  });

  test.each([
    [['jobs'], { kind: 'jobs', url: null, json: false }],
    [['job', 'rollups', '--json'], { kind: 'job', job: 'rollups', url: null, json: true }],
    [['job', '--url=http://h:1', '--', '-odd'], { kind: 'job', job: '-odd', url: 'http://h:1', json: false }],
    [['state', 'j'], { ...STATE }],
    [['state', 'j', '--operator', '1m', '--prefix', 'p', '--limit', '1000', '--after', '0:2'], { ...STATE, ...PAGE }],
    [['state', 'j', '--key', ''], { ...STATE, key: '' }],
    [['state', 'j', '--key', 'cpu{host="ä=b"}'], { ...STATE, key: 'cpu{host="ä=b"}' }],
    [['stop', 'j'], CHANGE],
    [['stop', 'j', '--drain'], { ...CHANGE, drain: true }],
    [['pause', 'j', '--request-id', 'of-1'], { ...CHANGE, command: 'pause', requestId: 'of-1' }],
    [['resume', 'j', '--json'], { ...CHANGE, command: 'resume', json: true }],
    [['start', 'j', '--url', 'http://h:1'], { ...CHANGE, command: 'start', url: 'http://h:1' }],
    [['cancel', 'j', '--purge'], { ...CHANGE, command: 'cancel', purge: true }],
    [['savepoint', 'j'], { ...CHANGE, command: 'savepoint' }],
    [['savepoint', 'delete', 'j', 'of-1'], { ...CHANGE, command: 'savepoint delete', savepoint: 'of-1' }],
    [['versions', 'j'], { kind: 'versions', job: 'j', url: null, json: false }],
    [['deploy', 'a.ts'], DEPLOY],
    [['deploy', 'a.ts', '--dry-run', '--options', '{"a":1}'], { ...DEPLOY, dryRun: true, options: { a: 1 } }],
    [['deploy', 'a.ts', '--from-savepoint', 's', '--yes'], { ...DEPLOY, fromSavepoint: 's', yes: true }],
    [['rollback', 'j'], { ...DEPLOY, module: null, job: 'j' }],
    [
      ['rollback', 'j', '0a1b', '--allow-dropped-state'],
      { ...DEPLOY, module: null, job: 'j', version: '0a1b', allowDroppedState: true },
    ],
    [['savepoints', 'j'], { kind: 'savepoints', job: 'j', url: null, json: false }],
    [['rescale', 'j', '--parallelism', '8'], { ...CHANGE, command: 'rescale', parallelism: 8 }],
    [['completion', 'zsh'], { kind: 'completion', shell: 'zsh' }],
    [['--complete', 'job', '--x', ''], { kind: 'complete', words: ['job', '--x', ''] }],
    [['--version'], { kind: 'version' }],
    [['-h'], { kind: 'help', command: null }],
    [['help'], { kind: 'help', command: null }],
    [['help', 'state'], { kind: 'help', command: 'state' }],
    [['state', 'rollups', '--limit', 'x', '--help'], { kind: 'help', command: 'state' }],
    [['up', '-h'], { kind: 'help', command: 'up' }],
  ])('%j is understood', (argv, command) => {
    expect(parseCommandLine(argv)).toEqual(command);
  });

  test.each([
    [[], 'no command given', null],
    [['explian'], "'explian' is no command; did you mean 'explain'?", null],
    [['help', 'sate'], "'sate' is no command; did you mean 'state'?", 'help'],
    [['constructor'], "'constructor' is no command", null],
    [['up', '--slot', '3'], '--slot is no option; did you mean --slots?', 'up'],
    [['up', '--slots', '0'], "--slots takes a whole number from 1 to 256, not '0'", 'up'],
    [['up', '--slots', '1e2'], "--slots takes a whole number from 1 to 256, not '1e2'", 'up'],
    [['up', '--port', '70000'], "--port takes a whole number from 0 to 65535, not '70000'", 'up'],
    [['up', '--jobs', 'a,,b'], "--jobs takes names with commas between, not 'a,,b'", 'up'],
    [['up', '--data='], '--data takes a directory', 'up'],
    [['up', 'rollups'], "up takes no argument 'rollups'", 'up'],
    [['up', '--json'], '--json means nothing to up', 'up'],
    [['explain'], 'explain takes a MODULE', 'explain'],
    [['explain', 'a.ts', 'b.ts'], "explain takes one MODULE, not also 'b.ts'", 'explain'],
    [['explain', 'a.ts', '--port', '1'], '--port means nothing to explain', 'explain'],
    [['explain', 'a.ts', '--options', '{'], '--options is no JSON: {', 'explain'],
    [['job'], 'job takes a JOB', 'job'],
    [['stop'], 'stop takes a JOB', 'stop'],
    [['stop', '..'], "stop takes the id of a job, not '..'", 'stop'],
    [['stop', 'j', '--purge'], '--purge means nothing to stop', 'stop'],
    [['start', 'j', '--slots', '2'], '--slots means nothing to start of a JOB', 'start'],
    [['start', '--json'], '--json means nothing to start without a JOB', 'start'],
    [['start', 'j', 'k'], "start takes one JOB, not also 'k'", 'start'],
    [['rescale', 'j'], 'rescale takes --parallelism N', 'rescale'],
    [['rescale', 'j', '--parallelism', '0'], "--parallelism takes a whole number from 1 to 256, not '0'", 'rescale'],
    [
      ['stop', 'j', '--request-id', 'A b'],
      "--request-id takes a to z, 0 to 9 and -, 64 characters at most, not 'A b'",
      'stop',
    ],
    [['job', ''], 'job takes a JOB', 'job'],
    [['job', '..'], "job takes the id of a job, not '..'", 'job'],
    [['jobs', 'rollups'], "jobs takes no argument 'rollups'", 'jobs'],
    [
      ['jobs', '--url', '127.0.0.1:8081'],
      "--url takes an address such as http://127.0.0.1:8081, not '127.0.0.1:8081'",
      'jobs',
    ],
    [['jobs', '--url', 'http://a', '--url', 'http://b'], '--url is given twice', 'jobs'],
    [['state', 'j', '--limit', '0'], "--limit takes a whole number from 1 to 1000, not '0'", 'state'],
    [['state', 'j', '--limit', '1001'], "--limit takes a whole number from 1 to 1000, not '1001'", 'state'],
    [['state', 'j', '--limit', 'NaN'], "--limit takes a whole number from 1 to 1000, not 'NaN'", 'state'],
    [['state', 'j', '--key', 'k', '--after', '0:1'], '--key names one key, --after speaks of several', 'state'],
    [['state', 'j', '--operator', ''], "--operator takes an id, not ''", 'state'],
    [['state', 'j', '--limit'], "Option '--limit <value>' argument missing", 'state'],
    [['state', 'j', '--json=yes'], "Option '--json' does not take an argument", 'state'],
    [['completion', 'fish'], "'fish' is no shell that is known: bash, zsh", 'completion'],
    [['completion'], 'completion takes a SHELL', 'completion'],
    [['savepoint', 'delete', 'rollups'], 'savepoint delete takes an ID', 'savepoint delete'],
  ])('%j is wrong usage', (argv, message, command) => {
    expect(parseCommandLine(argv)).toEqual({ kind: 'wrong', message, command });
  });
});

describe('help', () => {
  test('names every command and what it does, on lines that fit a terminal', () => {
    const text = usage();
    for (const name of COMMAND_NAMES) expect(text).toMatch(new RegExp(`^  millrace ${name}[ \\[]`, 'm'));
    const lines = text.split('\n');
    for (const name of COMMAND_NAMES) {
      expect(
        lines.some((line) => line.endsWith(` ${entryOf(name).summary}`)),
        name,
      ).toBe(true);
    }
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  test.each(COMMAND_NAMES)('of %s has examples that are understood', (name) => {
    const text = commandHelp(name);
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    for (const flag of entryOf(name).flags) expect(text).toContain(`--${flag}`);
    for (const [example] of entryOf(name).examples) {
      expect(text).toContain(example);
      const argv = spawnSync('bash', ['-c', `printf '%s\\0' ${example.replace(/^source <\((.*)\)$/, '$1')}`]).stdout;
      const words = String(argv).split('\0').slice(0, -1);
      const command = parseCommandLine(words.slice(words.indexOf('millrace') + 1));
      expect(command.kind, example).not.toMatch(/wrong|help/);
    }
  });
});

describe('the command', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-command-'));
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  test('explain prints the plan, as text and as data', () => {
    const text = millrace(['explain', 'jobs/rollups.ts', '--options', '{"partitionedBy":"series"}']);
    expect(text.status).toBe(0);
    expect(text.stdout).toContain('window 1d tumbling of 1m [state 1d] → topic metrics.rollup.1d');
    const data = millrace(['explain', 'jobs/rollups.ts', '--json']);
    expect(JSON.parse(data.stdout).plan.stages.map((stage: { id: string }) => stage.id)).toEqual(['samples', '1m']);
  });

  test('wrong usage ends with 2 and says where to look', () => {
    const { status, stderr, stdout } = millrace(['pu']);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toBe("millrace: 'pu' is no command; did you mean 'up'?\n  remedy: see millrace --help\n");
    expect(millrace(['state']).stderr).toBe('millrace: state takes a JOB\n  remedy: see millrace state --help\n');
    expect(millrace(['--help']).status).toBe(0);
  });

  test('a refusal ends with 1, message and remedy, without a stack', () => {
    const config = join(folder, 'jobs.config.ts');
    writeFileSync(config, "export default { kind: 'millrace-config', config: { slots: 0, jobs: {} } };");
    const { status, stderr } = millrace(['up', '--config', config]);
    expect(status).toBe(1);
    for (const path of ['slots', 'log', 'checkpoints', 'jobs']) expect(stderr).toContain(`\n  ${path}: `);
    expect(stderr).toContain('remedy: ');
    expect(stderr).not.toContain('    at ');
    expect(millrace(['up', '--config', config], { LOG_LEVEL: 'debug' }).stderr).toContain('    at ');
  });

  test('what others say in a fault cannot steer a terminal', () => {
    const { stderr } = millrace(['explain', 'a\u001b[2J\u009bb.ts']);
    expect(stderr).toContain('a\\u001b[2J\\u009bb.ts does not exist\n  remedy: ');
  });

  test('an unknown log level is refused with the known ones', () => {
    const { status, stderr } = millrace(['up'], { LOG_LEVEL: 'loud' });
    expect(status).toBe(1);
    expect(stderr).toContain("LOG_LEVEL 'loud' is not possible\n  remedy: choose one of debug, info");
  });
});
