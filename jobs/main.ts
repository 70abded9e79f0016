#!/usr/bin/env node
// Owns the command `millrace`: runs what the command line asks for and turns errors into a message, a remedy and an
// exit code. With env() the only place that reads the environment. Loads of each command only what it needs.

import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Command } from '#jobs/command-line.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

/** Of what is loaded from here on, slots included; Node leaves it out where it cannot be written. */
const COMPILE_CACHE = fileURLToPath(new URL('../node_modules/.cache/millrace/compile', import.meta.url));

/** Messages may hold words of others. */
let visible = (text: string) => text;

async function main(argv: readonly string[]): Promise<number> {
  // Stripped types and compiled code are kept between starts: 110 ms of CPU for a slot instead of 260. Of nothing that
  // is loaded before, so nothing of ours is.
  process.env['NODE_COMPILE_CACHE'] ??= COMPILE_CACHE;
  enableCompileCache(process.env['NODE_COMPILE_CACHE']);
  ({ visibleText: visible } = await import('#runtime/std/visible-text.ts'));
  const { thrownPlace } = await import('#jobs/thrown-place.ts');
  process.on('uncaughtException', (error) => crash(error, thrownPlace(error)));
  const { parseCommandLine } = await import('#jobs/command-line.ts');
  const command = parseCommandLine(argv);
  if (command.kind === 'wrong') {
    const help = `millrace ${command.command === null ? '' : `${command.command} `}--help`;
    process.stderr.write(`millrace: ${command.message}\n  remedy: see ${help}\n`);
    return WRONG_USAGE;
  }
  if (command.kind === 'up') {
    const { up } = await import('#jobs/commands/up-command.ts');
    const failures = await up(command, { environment: process.env, workingDirectory: process.cwd() });
    for (const failure of failures) say(failure);
    return failures.length === 0 ? DONE : FAILED;
  }
  // Whoever read has gone (`| head`), and misses nothing; anything else is a failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? DONE : FAILED));
  const text = await printed(command);
  // The end of the process would cut off what a pipe has not taken yet.
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
  return DONE;
}

/** What a command prints that ends by itself. */
async function printed(command: Exclude<Command, { readonly kind: 'up' | 'wrong' }>): Promise<string> {
  const environment = process.env;
  switch (command.kind) {
    case 'help': {
      const { commandHelp, usage } = await import('#jobs/commands/help-text.ts');
      return command.command === null ? usage() : commandHelp(command.command);
    }
    case 'version': {
      const { engineVersion } = await import('#jobs/version.ts');
      return `${engineVersion()}\n`;
    }
    case 'explain': {
      const { explained } = await import('#jobs/commands/explain-command.ts');
      return explained(command, process.cwd());
    }
    case 'completion': {
      const { completionScript } = await import('#jobs/commands/completion-script.ts');
      return completionScript(command.shell);
    }
    case 'complete': {
      const { complete } = await import('#jobs/commands/complete-command.ts');
      return complete(command.words, environment);
    }
    case 'deploy': {
      const { deploy } = await import('#jobs/commands/deploy-command.ts');
      const { systemClock } = await import('#runtime/std/clock.ts');
      const say = (text: string) => process.stdout.write(visible(text));
      const show = process.stderr.isTTY ? progress : null;
      const confirm = process.stdin.isTTY && process.stderr.isTTY ? asked : null;
      const workingDirectory = process.cwd();
      return deploy(command, { environment, clock: systemClock, showProgress: show, say, confirm, workingDirectory });
    }
    case 'change': {
      const { change } = await import('#jobs/commands/change-command.ts');
      const { systemClock } = await import('#runtime/std/clock.ts');
      return change(command, { environment, clock: systemClock, showProgress: process.stderr.isTTY ? progress : null });
    }
    default: {
      const { ask } = await import('#jobs/commands/ask-command.ts');
      const { paintFor } = await import('#jobs/commands/paint.ts');
      const { systemClock } = await import('#runtime/std/clock.ts');
      const paint = paintFor(process.stdout.isTTY === true, environment);
      return ask(command, { environment, nowMs: systemClock.nowMs(), paint });
    }
  }
}

function progress(line: string): void {
  process.stderr.write(`\r\u001b[K${visible(line)}`);
}

async function asked(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(visible(question))).trim());
  } finally {
    lines.close();
  }
}

function report(error: unknown): number {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  const { remedy = '' } = error as Partial<StreamError>;
  say({ message, stack, remedy });
  return FAILED;
}

/** What went wrong and what to do about it; the stack only for those who debug. */
function say({ message, remedy, stack }: Omit<Failure, 'code'>): void {
  const what = remedy || 'this is a bug of Millrace or of the job: report it with the output of LOG_LEVEL=debug';
  const where = process.env['LOG_LEVEL'] === 'debug' ? `${stack}\n` : '';
  process.stderr.write(visible(`millrace: ${message}\n  remedy: ${what}\n${where}`));
}

/**
 * What nobody waited for: a timer or promise that a module left behind, or a bug of ours. Who knows what else is broken
 * then: it is said, and the end is that of a crash, after which the next start goes on exactly.
 */
function crash(error: unknown, place: string): never {
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  const remedy =
    'look there: a module of a job or a configuration must leave no timer and no promise behind; report what is none of yours';
  say({ message: `something nobody waited for failed: ${message}${place}`, remedy, stack });
  process.exit(FAILED);
}

// By now everything is closed and said; a socket that lingers must not keep the process.
process.exit(await main(process.argv.slice(2)).catch(report));
