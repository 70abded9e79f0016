// The command line: what it means, and what it says when it means nothing.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCommandLine } from '#jobs/command-line.ts';

const ROOT = new URL('../..', import.meta.url).pathname;

function millrace(args: readonly string[], environment: Record<string, string> = {}) {
  const env = { PATH: process.env['PATH'], ...environment };
  return spawnSync(process.execPath, [join(ROOT, 'jobs/main.ts'), ...args], { cwd: ROOT, env, encoding: 'utf8' });
}

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
    [[], 'no command given'],
    [['explian'], "'explian' is no command; did you mean 'explain'?"],
    [['up', '--slot', '3'], '--slot is no option; did you mean --slots?'],
    [['up', '--slots', '0'], "--slots takes a whole number from 1 to 256, not '0'"],
    [['up', '--slots', '1e2'], "--slots takes a whole number from 1 to 256, not '1e2'"],
    [['up', '--port', '70000'], "--port takes a whole number from 0 to 65535, not '70000'"],
    [['up', '--jobs', 'a,,b'], "--jobs takes names with commas between, not 'a,,b'"],
    [['up', 'rollups'], "up takes no argument 'rollups'"],
    [['explain'], 'explain takes one job module'],
    [['explain', 'a.ts', '--port', '1'], '--port means nothing to explain'],
    [['explain', 'a.ts', '--options', '{'], '--options is no JSON: {'],
    [['up', '--json'], '--json means nothing to up'],
  ])('%j is wrong usage', (argv, message) => {
    expect(parseCommandLine(argv)).toEqual({ kind: 'wrong', message });
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
    expect(stderr).toContain('millrace --help');
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

  test('an unknown log level is refused with the known ones', () => {
    const { status, stderr } = millrace(['up'], { LOG_LEVEL: 'loud' });
    expect(status).toBe(1);
    expect(stderr).toContain("LOG_LEVEL 'loud' is not possible\n  remedy: choose one of debug, info");
  });
});
