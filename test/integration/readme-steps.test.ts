// What the README tells a newcomer to type, word for word and in its order, in a copy of the repository and in an empty
// folder beside it: everything runs, and the first row can be looked at within two minutes.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readmeExamples } from '#test/harness/readme-example.ts';
import { foreignEnvironment, RunningCommand, SOURCES } from './packed-project.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const README = join(ROOT, 'README.md');
/** The promise to a newcomer. */
const FIRST_ROW_MS = 120_000;
/** Nothing after it but rows that were on their way. */
const STOPPED = /\nmillrace: stopping; once more to end at once\n(?:1m .*\n(?: .*\n)*)*$/;

const home = mkdtempSync(join(tmpdir(), 'millrace-readme-'));
const clone = join(home, 'millrace');
for (const name of [...SOURCES, 'jobs.config.ts']) cpSync(join(ROOT, name), join(clone, name), { recursive: true });
symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
const started: RunningCommand[] = [];

afterAll(async () => {
  for (const running of started) running.end();
  await Promise.all(started.map(({ ended }) => ended));
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
});

/** The lines of the blocks of a section, in order. */
function blocks(section: string): string[][] {
  const text =
    readFileSync(README, 'utf8')
      .split(/^## /m)
      .find((part) => part.startsWith(section)) ?? '';
  return [...text.matchAll(/^```(?:ba)?sh\n(.*?)^```$/gms)].map(([, block]) => block.trimEnd().split('\n'));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}

/** As in a terminal of a reader, at another port than other tests'. */
class Terminal {
  readonly #port: number;
  readonly #directory: string;

  constructor(port: number, directory: string) {
    this.#port = port;
    this.#directory = directory;
  }

  get #environment(): NodeJS.ProcessEnv {
    const url = `http://127.0.0.1:${this.#port}`;
    return { ...foreignEnvironment(), MILLRACE_PORT: `${this.#port}`, MILLRACE_URL: url };
  }

  run(lines: readonly string[]): { readonly status: number | null; readonly output: string } {
    const text = lines.join('\n').replaceAll(':8081', `:${this.#port}`);
    const { status, stderr, stdout } = spawnSync('bash', ['-ec', text], {
      cwd: this.#directory,
      env: this.#environment,
      encoding: 'utf8',
    });
    return { status, output: stdout + stderr };
  }

  start(line: string): RunningCommand {
    const [command, ...words] = line.split(' ');
    const child = spawn(command, words, {
      cwd: this.#directory,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const running = new RunningCommand(child);
    started.push(running);
    return running;
  }

  /** Runs lines until what they print is as wanted. */
  async until(lines: readonly string[], wanted: RegExp): Promise<string> {
    const deadline = performance.now() + FIRST_ROW_MS;
    for (;;) {
      const { status, output } = this.run(lines);
      if (status === 0 && wanted.test(output)) return output;
      if (performance.now() > deadline)
        throw new Error(`${lines.join('; ')} did not give ${wanted} in time:\n${output}`);
    }
  }
}

test('two commands, and looking at what they do', async () => {
  const [[install, start], asking] = blocks('Two commands');
  expect(install).toBe('npm ci');
  const terminal = new Terminal(await freePort(), clone);
  const running = terminal.start(start);
  const state = asking.filter((line) => /state/.test(line));
  expect(state.length).toBe(2);
  for (const line of state) await terminal.until([line], /count|COUNT/);
  const { output, status } = terminal.run(asking);
  expect(status, output).toBe(0);
  expect(output).toContain('millrace_records_in_total{');
  await running.until('rows', (text) => /^1m .* 120 rows$/m.test(text));
  running.interrupt();
  // npm ends by the signal, whatever its child did.
  await running.ended;
  expect(running.output).toMatch(STOPPED);
}, 300_000);

test('a job of their own, end to end', async () => {
  const [install, run, look] = blocks('A job, end to end');
  const installing = new Terminal(0, clone).run(install);
  expect(installing.status, installing.output).toBe(0);
  const folder = join(home, 'my-jobs');
  for (const { file, source } of readmeExamples(README)) if (file !== null) writeFileSync(join(folder, file), source);
  const terminal = new Terminal(await freePort(), folder);
  const [explain, start] = run;
  const explained = terminal.run([explain]);
  expect(explained.status, explained.output).toBe(0);
  expect(explained.output).toMatch(/latency.*\n.*1m/s);
  const running = terminal.start(start);
  await terminal.until(look, /http_request_duration_seconds\{service="api-gateway"\}/);
  await running.until('rows', (text) => /^1m .* 5 rows$/m.test(text));
  running.interrupt();
  // npm ends by the signal, whatever its child did.
  await running.ended;
  expect(running.output).toMatch(STOPPED);
}, 300_000);
