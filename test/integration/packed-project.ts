// Owns a project of a user: the packed package installed in an empty folder, with the files that jobs/README.md tells
// its reader to write. What the repository is set up with (pinned Node, environment) is kept away from it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { readmeExamples } from '#test/harness/readme-example.ts';
import { until } from './oracle/until.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** What `npm pack` needs of the repository. */
export const SOURCES = [
  'runtime',
  'operators',
  'checkpoint',
  'jobs',
  'test',
  'package.json',
  'tsconfig.json',
  'README.md',
];

export class PackedProject {
  readonly directory: string;
  readonly #home: string;
  readonly #running: ChildProcess[] = [];

  private constructor(home: string) {
    this.#home = home;
    this.directory = join(home, 'project');
  }

  /** Packs a copy of the repository, so that nobody who works in it sees it happen, and installs what comes out. */
  static create(): PackedProject {
    const project = new PackedProject(mkdtempSync(join(tmpdir(), 'millrace-packed-')));
    const copy = join(project.#home, 'repository');
    for (const name of SOURCES) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    project.#must('npm', ['pack', '--pack-destination', project.#home], copy);
    if (readdirSync(copy).includes('dist')) throw new Error('npm pack left its build behind');
    mkdirSync(project.directory);
    project.write('package.json', '{ "private": true, "type": "module" }');
    const [tarball] = readdirSync(project.#home).filter((name) => name.endsWith('.tgz'));
    const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel', 'error'];
    project.#must('npm', ['install', ...quietly, join(project.#home, tarball)], project.directory);
    for (const { file, source } of readmeExamples(join(ROOT, 'jobs/README.md'))) {
      if (file !== null) project.write(file, source);
    }
    return project;
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text);
  }

  /** Runs a command of the project to its end, as its owner would type it. */
  run(command: string, ...args: readonly string[]): { readonly status: number | null; readonly output: string } {
    const { status, stdout, stderr } = spawnSync(command, args, {
      cwd: this.directory,
      env: foreignEnvironment(),
      encoding: 'utf8',
    });
    return { status, output: stdout + stderr };
  }

  /** What the compiler of the repository says of the project's files. */
  typeFaults(): string {
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2024',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules/@types')],
    };
    this.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    return this.run(process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.').output;
  }

  /** Starts a command that runs until it is told to stop. */
  start(command: string, ...args: readonly string[]): RunningCommand {
    const child = spawn(command, args, {
      cwd: this.directory,
      env: { ...foreignEnvironment(), LOG_LEVEL: 'debug' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, as a terminal gives it.
      detached: true,
    });
    this.#running.push(child);
    return new RunningCommand(child);
  }

  remove(): void {
    for (const child of this.#running) {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
        process.kill(-child.pid, 'SIGKILL');
      }
    }
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }

  #must(command: string, args: readonly string[], cwd: string): void {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd, env: foreignEnvironment(), encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command} ${args[0]} failed:\n${stdout}\n${stderr}`);
  }
}

export class RunningCommand {
  output = '';
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  #running = true;

  constructor(child: ChildProcess) {
    this.#child = child;
    const take = (chunk: Buffer) => {
      this.output += chunk.toString();
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    this.ended = new Promise((done) => {
      child.once('close', (code) => {
        this.#running = false;
        done(code);
      });
    });
  }

  /** Waits until the output is as wanted; fails at once when the command ends before. */
  async until(what: string, done: (output: string) => boolean): Promise<void> {
    const tail = () => this.output.slice(-2_000);
    await until(() => done(this.output) || !this.#running, what, 60_000, tail);
    if (!done(this.output)) throw new Error(`it ended before ${what}:\n${tail()}`);
  }

  /** Whatever still runs. */
  end(): void {
    if (this.#running) process.kill(-(this.#child.pid as number), 'SIGKILL');
  }

  /** Ctrl-C: the terminal tells everyone in the group. */
  interrupt(): void {
    process.kill(-(this.#child.pid as number), 'SIGINT');
  }

  /** What a supervisor does: only the process that it started hears. */
  terminate(): void {
    this.#child.kill('SIGTERM');
  }
}

/** Without what the test runs under: npm's settings, the pinned Node of the repository, the product's variables. */
export function foreignEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(npm_|KAFKA_|MILLRACE_|VITEST|LOG_LEVEL$|NODE_)/;
  const kept = Object.entries(process.env).filter(([name]) => !ours.test(name));
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.startsWith(ROOT));
  // For the package that brings Node, which calls npm itself; and for the tests beside this one.
  const own = { PATH: path.join(delimiter), npm_config_prefer_offline: 'true', MILLRACE_PORT: '0' };
  return { ...Object.fromEntries(kept), ...own };
}
