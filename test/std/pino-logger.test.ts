// Owns the proof that a line is written when the call that logs it returns, in the main thread and in workers.

import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

const MODULE = new URL('../../runtime/std/pino-logger.ts', import.meta.url).href;
const ERRORS = new URL('../../runtime/std/errors.ts', import.meta.url).href;

function linesOf(script: string): Record<string, unknown>[] {
  const cwd = new URL('../..', import.meta.url).pathname;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd, encoding: 'utf8' });
  expect(child.stdout).toBe('');
  return child.stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('writes JSON lines with fields, levels and bindings, also right before the process exits', () => {
  const lines = linesOf(`
    import { createLogger } from ${JSON.stringify(MODULE)};
    import { StreamError } from ${JSON.stringify(ERRORS)};
    const logger = createLogger({ level: 'info', pretty: true });
    logger.debug({}, 'not said');
    logger.child({ task: 'rollups/0' }).warn({ offset: 12n, error: new StreamError('log-in-use', 'held', 'stop it') }, 'stopped');
    logger.info({}, 'last');
    process.exit(0);
  `);
  expect(lines.length).toBe(2);
  expect(lines[0]).toMatchObject({ level: 'warn', task: 'rollups/0', offset: 12, msg: 'stopped' });
  expect(lines[0]['error']).toMatchObject({ code: 'log-in-use', message: 'held', remedy: 'stop it' });
  expect(lines[1]).toMatchObject({ level: 'info', msg: 'last' });
});

test('loses nothing of a worker thread that ends at once', () => {
  const lines = linesOf(`
    import { Worker } from 'node:worker_threads';
    const script = \`
      import { createLogger } from ${JSON.stringify(MODULE)};
      const logger = createLogger();
      for (let i = 0; i < 100; i++) logger.info({ i }, 'line');
      process.exit(1);
    \`;
    new Worker(new URL('data:text/javascript,' + encodeURIComponent(script)));
  `);
  expect(lines.map((line) => line['i'])).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test('lines for people are coloured only for those who want it, and by nobody else', () => {
  const script = (line: object) => `
    import { prettifier } from ${JSON.stringify(MODULE)};
    process.stdout.write(prettifier()(${JSON.stringify(JSON.stringify(line))}));
  `;
  const cwd = new URL('../..', import.meta.url).pathname;
  const shown = (environment: Readonly<Record<string, string>>, msg = 'stopped') => {
    const line = { level: 'warn', time: '2026-01-01T00:00:00.000Z', disk: 'full', msg };
    const { CI: _, FORCE_COLOR: __, NO_COLOR: ___, ...rest } = process.env;
    const options = { cwd, encoding: 'utf8', env: { ...rest, ...environment } } as const;
    return spawnSync(process.execPath, ['--input-type=module', '-e', script(line)], options).stdout;
  };
  const evil = '\u001b[2J\u009b1m\u202e';
  expect(shown({ NO_COLOR: '1' }, `stopped at ${evil}\nthere`)).toContain(
    'stopped at \\u001b[2J\\u009b1m\\u202e\nthere',
  );
  expect(shown({ FORCE_COLOR: '1' })).toContain('\u001b[');
  expect(shown({ FORCE_COLOR: '1', NO_COLOR: '1' })).toMatch(
    /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: stopped\n {4}disk: "full"\n$/,
  );
});
