// Owns the CPU time and peak memory of a child process, from /proc: user and system time of all its threads, from its
// start to the last look before it ended. A look every 50 ms misses at most that much. Linux only.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Ticks of /proc/<pid>/stat; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const LOOK_INTERVAL_MS = 50;

export class ChildUsage {
  cpuSeconds = 0;
  peakRssMiB = 0;
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.look(), LOOK_INTERVAL_MS);
  }

  look(): void {
    try {
      const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      this.cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
      const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'));
      if (peak !== null) this.peakRssMiB = Number(peak[1]) / 1024;
    } catch {
      // it has ended: what was seen last stands
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

export interface CommandResult {
  readonly output: string;
  readonly usage: ChildUsage;
}

/** Runs a program to its end; fails with the end of what it wrote when it does not end with 0. */
export async function runMeasured(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandResult> {
  const env = { ...process.env, ...options.env };
  const child: ChildProcess = spawn(command, args, { ...options, env, stdio: ['ignore', 'pipe', 'pipe'] });
  if (child.pid === undefined) throw new Error(`${command} could not be started`);
  const killWithUs = () => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  const usage = new ChildUsage(child.pid);
  let output = '';
  let errors = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    errors = (errors + chunk).slice(-4000);
  });
  const code = await new Promise((done) => child.once('close', done));
  usage.stop();
  process.off('exit', killWithUs);
  if (code !== 0) throw new Error(`${command} ${args.slice(-1)} ended with ${code}:\n${errors}${output.slice(-2000)}`);
  return { output, usage };
}
