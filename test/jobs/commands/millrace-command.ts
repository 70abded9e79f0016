// Owns running the command as a person does, beside a server in this process: standard output and error are kept apart,
// and nothing of the test's environment reaches it.

import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = new URL('../../..', import.meta.url).pathname;
const NODE = join(ROOT, 'node_modules/node/bin/node');

export interface CommandRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function millrace(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandRun> {
  return run(NODE, [join(ROOT, 'jobs/main.ts'), ...args], environment);
}

/** A line of bash in which `millrace` is the command. */
export function bash(line: string, environment: Readonly<Record<string, string>> = {}): Promise<CommandRun> {
  const define = `millrace() { ${NODE} ${join(ROOT, 'jobs/main.ts')} "$@"; }`;
  return run('bash', ['--norc', '-c', `${define}\n${line}`], environment);
}

function run(
  file: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<CommandRun> {
  const child = spawn(file, args, {
    // Nowhere where a mistake could do harm.
    cwd: tmpdir(),
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
}
