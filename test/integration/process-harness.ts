// Owns the product as a real child process: the pinned Node running `jobs/main.ts up` with a generated configuration in
// a directory of its own. Starts, signals, kills and starts it again; waits only for conditions, and never for ever.
// Knows the command line and the log lines of the product, nothing of its insides.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { until } from './oracle/until.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const NODE = join(ROOT, 'node_modules/node/bin/node');
const LINES_MAX = 20_000;
const LINE_SHOWN_MAX = 400;

/** What every attempt at a task says that is not its very first; `task` names it. */
export const BEGAN_AGAIN = /restored from a checkpoint|no usable checkpoint, replaying/;
/** What a task says that lost a transaction, for whatever reason. */
export const TRANSACTION_FAILED = /transaction failed: /;

/** One job of the generated configuration; `options` go to a module that exports a function. */
export interface JobChoice {
  /** Path in the repository, or absolute. */
  readonly module: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly parallelism?: number;
  readonly commitInterval?: string;
  readonly checkpointInterval?: string;
  readonly state?: 'memory' | 'leveldb';
}

export interface InstallationOptions {
  /** Kafka's addresses; without them the embedded log under the installation's directory. */
  readonly brokers?: readonly string[];
  readonly namespace?: string;
  readonly slots?: number;
  readonly stateMemory?: string;
  readonly jobs: Readonly<Record<string, JobChoice>>;
  readonly env?: Readonly<Record<string, string>>;
  /** More arguments of `up`. */
  readonly args?: readonly string[];
}

export interface ProductExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A directory with a configuration and data, in which processes are started one after the other. */
export class Installation {
  readonly directory: string;
  readonly #options: InstallationOptions;
  readonly #started: Product[] = [];

  private constructor(directory: string, options: InstallationOptions) {
    this.directory = directory;
    this.#options = options;
  }

  static async create(options: InstallationOptions): Promise<Installation> {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-installation-'));
    const installation = new Installation(directory, options);
    await writeFile(join(directory, 'jobs.config.ts'), installation.#config());
    return installation;
  }

  /** Where the embedded log lies. */
  get logDirectory(): string {
    return join(this.directory, 'data/log');
  }

  get checkpointsDirectory(): string {
    return join(this.directory, 'data/checkpoints');
  }

  /** Starts a process, perhaps with more environment; does not wait for it. */
  start(env: Readonly<Record<string, string>> = {}): Product {
    const args = [
      'jobs/main.ts',
      'up',
      '--config',
      join(this.directory, 'jobs.config.ts'),
      ...(this.#options.args ?? []),
    ];
    const product = new Product(args, { LOG_LEVEL: 'debug', ...this.#options.env, ...env });
    this.#started.push(product);
    return product;
  }

  /** Kills what still runs and removes the directory; with MILLRACE_TEST_KEEP it stays, with all that was written. */
  async remove(): Promise<void> {
    await Promise.all(this.#started.map((product) => product.kill()));
    if (process.env['MILLRACE_TEST_KEEP']) {
      for (const [index, { lines }] of this.#started.entries()) {
        await writeFile(join(this.directory, `process-${index}.log`), `${lines.join('\n')}\n`);
      }
      process.stderr.write(`kept ${this.directory}\n`);
      return;
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The last lines of every process, shortened, for the message of a failed test. */
  report(lines = 12): string {
    return this.#started.map((product, index) => `-- process ${index}\n${product.tail(lines)}`).join('\n');
  }

  #config(): string {
    const { brokers, namespace, slots, stateMemory, jobs } = this.#options;
    const entries = Object.entries(jobs).map(([name, job]) => [name, { ...job, module: resolve(ROOT, job.module) }]);
    const settings = {
      namespace: namespace ?? 'millrace',
      slots: slots ?? 2,
      ...(stateMemory === undefined ? {} : { stateMemory }),
      // Any that is free: a process may run beside its successor.
      http: { port: 0 },
    };
    const log =
      brokers === undefined
        ? "embedded({ directory: './data/log' })"
        : `kafka({ brokers: ${JSON.stringify(brokers)}, replication: ${brokers.length > 1 ? -1 : 1} })`;
    return [
      `import { defineConfig, directory, embedded, kafka } from ${JSON.stringify(pathToFileURL(join(ROOT, 'jobs/config.ts')).href)};`,
      'void [embedded, kafka];',
      'export default defineConfig({',
      `  ...${JSON.stringify(settings)},`,
      `  log: ${log},`,
      "  checkpoints: directory('./data/checkpoints'),",
      `  jobs: ${JSON.stringify(Object.fromEntries(entries))},`,
      '});',
      '',
    ].join('\n');
  }
}

export class Product {
  readonly pid: number;
  /** What it wrote to either output, newest last, bounded. */
  readonly lines: string[] = [];
  readonly exited: Promise<ProductExit>;
  /** Hears every line, also those that `lines` has no room for. */
  onLine: ((line: string) => void) | null = null;
  readonly #child: ChildProcess;
  #exit: ProductExit | null = null;

  constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    const child = spawn(NODE, args, {
      cwd: ROOT,
      env: { ...ownEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (child.pid === undefined) throw new Error(`${NODE} could not be started: is the project installed?`);
    this.pid = child.pid;
    this.#child = child;
    const killWithUs = () => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    let rest = '';
    const take = (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      this.lines.push(...lines);
      for (const line of lines) this.onLine?.(line);
      if (this.lines.length > LINES_MAX) this.lines.splice(0, this.lines.length - LINES_MAX / 2);
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    this.exited = new Promise((done) => {
      child.once('close', (code, signal) => {
        process.off('exit', killWithUs);
        if (rest !== '') this.lines.push(rest);
        this.#exit = { code, signal };
        done(this.#exit);
      });
    });
  }

  get running(): boolean {
    return this.#exit === null;
  }

  tail(lines = 12): string {
    const last = this.lines
      .slice(-lines)
      .map((line) => (line.length > LINE_SHOWN_MAX ? `${line.slice(0, LINE_SHOWN_MAX)}…` : line));
    return [...last, this.#exit === null ? '(runs)' : JSON.stringify(this.#exit)].join('\n');
  }

  /** Waits until a line matches; fails at once when the process ends without it. */
  async waitForLine(pattern: RegExp, timeoutMs: number): Promise<string> {
    const find = () => this.lines.find((line) => pattern.test(line));
    await until(
      () => find() !== undefined || !this.running,
      `a line like ${pattern}`,
      timeoutMs,
      () => this.tail(),
    );
    const line = find();
    if (line === undefined) throw new Error(`the process ended without a line like ${pattern}:\n${this.tail()}`);
    return line;
  }

  /** SIGSTOP, SIGCONT, SIGINT, …; a process that is gone is no error. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<ProductExit> {
    this.signal('SIGKILL');
    return this.exited;
  }

  /** SIGINT as by Ctrl-C, and waits for the clean end. */
  async stop(timeoutMs = 30_000): Promise<ProductExit> {
    this.signal('SIGINT');
    await until(
      () => !this.running,
      'the end of the process after SIGINT',
      timeoutMs,
      () => this.tail(),
    );
    return this.exited;
  }
}

/** Ours without what the product would read: the test's configuration is the only one. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const read = /^(KAFKA_|MILLRACE_|LOG_LEVEL$|NODE_OPTIONS$|VITEST)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !read.test(name)));
}
