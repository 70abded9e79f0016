// Completion as bash does it: the script is loaded into a real bash, which is asked what it would offer.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMAND_NAMES } from '#jobs/commands/command-table.ts';
import { completedWords, type KnownNames } from '#jobs/commands/completed-words.ts';
import type { AdminServer } from '#runtime/http/admin-server.ts';
import { ApiWorld } from '#test/runtime/http/api-world.ts';
import { bash, millrace } from './millrace-command.ts';

const asked: string[] = [];
const NAMES: KnownNames = {
  jobs: async (url) => {
    asked.push(`jobs ${url}`);
    return ['rollups', 'tsdb-writer'];
  },
  operators: async (url, job) => {
    asked.push(`operators of ${job} ${url}`);
    return ['1m', '1h'];
  },
  versions: async (url, job) => {
    asked.push(`versions of ${job} ${url}`);
    return ['0a1b', '2c3d'];
  },
  savepoints: async (url, job) => {
    asked.push(`savepoints of ${job} ${url}`);
    return ['01ja', '01jb'];
  },
};

describe('words', () => {
  test.each([
    [[], COMMAND_NAMES.filter((name) => !name.includes(' '))],
    [[''], COMMAND_NAMES.filter((name) => !name.includes(' '))],
    [['jo'], ['jobs', 'job']],
    [['--'], ['--help', '--version']],
    [
      ['job', ''],
      ['rollups', 'tsdb-writer'],
    ],
    [['job', 't'], ['tsdb-writer']],
    [['savepoint', 'd'], ['delete']],
    [
      ['savepoint', ''],
      ['delete', 'rollups', 'tsdb-writer'],
    ],
    [['savepoint', 'delete', 'r'], ['rollups']],
    [
      ['savepoint', 'delete', 'rollups', '01'],
      ['01ja', '01jb'],
    ],
    [
      ['job', 'rollups', ''],
      ['--url', '--json', '--help'],
    ],
    [
      ['job', 'rollups', '--json', '--'],
      ['--url', '--help'],
    ],
    [['state', '--operator', '1m', 'r'], ['rollups']],
    [
      ['state', 'rollups', '--operator', ''],
      ['1m', '1h'],
    ],
    [
      ['state', 'rollups', '--operator=1'],
      ['1m', '1h'],
    ],
    [['state', 'rollups', '--operator', '=', '1h'], ['1h']],
    [
      ['state', 'rollups', '--operator', '='],
      ['1m', '1h'],
    ],
    [['state', '--operator', ''], []],
    [['state', 'rollups', '--limit', ''], []],
    [['state', 'rollups', '--o'], ['--operator']],
    [
      ['completion', ''],
      ['bash', 'zsh'],
    ],
    [
      ['help', 'st'],
      ['start', 'state', 'stop'],
    ],
    [['nothing', ''], []],
    [['explain', ''], null],
    [['up', '--config', ''], null],
    [['up', '--s'], ['--slots']],
  ])('%j', async (words, offered) => {
    expect(await completedWords(words, NAMES)).toEqual(offered);
  });

  test('are asked of the process that the line names', async () => {
    asked.length = 0;
    await completedWords(['job', '--url', 'http://h:1', ''], NAMES);
    await completedWords(['state', 'j', '--url=http://h:2', '--operator', ''], NAMES);
    expect(asked).toEqual(['jobs http://h:1', 'operators of j http://h:2']);
  });
});

describe('bash', () => {
  let server: AdminServer;

  beforeAll(async () => {
    server = new ApiWorld().serverOf();
    await server.listen('127.0.0.1', 0);
  });

  afterAll(() => server.close());

  /** What TAB would offer behind these words. */
  const offered = async (words: readonly string[], url = server.url) => {
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const line = [
      'source <(millrace completion bash)',
      'complete -p millrace',
      `COMP_WORDS=(millrace ${quoted}); COMP_CWORD=${words.length}`,
      '_millrace',
      `printf '%s\\n' "\${COMPREPLY[@]}"`,
    ];
    const { stderr, stdout } = await bash(line.join('\n'), { MILLRACE_URL: url });
    expect(stderr).toBe('');
    const [registered, ...replies] = stdout.trimEnd().split('\n');
    expect(registered).toBe('complete -o default -F _millrace millrace');
    return replies;
  };

  test('completes commands, flags, and names that the process knows', async () => {
    expect(await offered(['ex'])).toEqual(['explain']);
    expect(await offered(['state', 'rollups', '--pre'])).toEqual(['--prefix']);
    expect(await offered(['job', 'r'])).toEqual(['rollups']);
    expect(await offered(['state', 'rollups', '--operator', ''])).toEqual(['1m', '1h']);
  });

  test('offers nothing, and says nothing, where no process answers', async () => {
    expect(await offered(['job', ''], 'http://127.0.0.1:1')).toEqual([]);
    expect(await offered(['job', ''], 'nonsense')).toEqual([]);
  });

  test('leaves files to the shell', async () => {
    expect(await offered(['explain', 'jobs/ro'])).toEqual([]);
  });
});

test('the script for zsh is one', async () => {
  const { status, stdout } = await millrace(['completion', 'zsh']);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^#compdef millrace\n/);
  expect(stdout).toContain('words[2,CURRENT]');
});
