// Owns the command line: its text and what it means. Pure; running commands is main.ts's affair.

import { parseArgs } from 'node:util';
import type { ConfigurationFlags } from '#jobs/configuration.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

export const USAGE = `millrace: stream processing for monitoring, exactly once

  millrace up [--config FILE] [--jobs a,b] [--slots N] [--data DIR] [--port N]
                              run the jobs of the configuration in this process
  millrace start              the same with generated load, and rows on standard output
  millrace explain MODULE     the plan of a job: stages, operators, exchanges, state
                              [--options JSON] for modules that take options, [--json] for programs
  millrace --version          the version
  millrace --help             this text

  --config FILE               the configuration                      (default jobs.config.ts)
  --jobs a,b                  only these jobs of it
  --slots N                   worker threads of this process
  --data DIR                  parent directory of the embedded log and the checkpoints
  --port N                    port of the admin API
  --accept-divergent-replay   after a crash, start with another version although output may differ

Environment: KAFKA_BROKERS, MILLRACE_NAMESPACE, MILLRACE_DATA, MILLRACE_PORT, LOG_LEVEL (debug info warn error silent).
Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
`;

export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'wrong'; readonly message: string }
  | { readonly kind: 'explain'; readonly module: string; readonly options: unknown; readonly json: boolean }
  | {
      readonly kind: 'up';
      readonly config: string;
      readonly flags: ConfigurationFlags;
      readonly generate: boolean;
      readonly acceptDivergentReplay: boolean;
    };

const COMMANDS = ['up', 'start', 'explain', 'help', 'version'];
const UP_FLAGS = ['config', 'jobs', 'slots', 'data', 'port', 'accept-divergent-replay'];
const EXPLAIN_FLAGS = ['options', 'json'];
const FLAGS = {
  config: { type: 'string' },
  jobs: { type: 'string' },
  slots: { type: 'string' },
  data: { type: 'string' },
  port: { type: 'string' },
  options: { type: 'string' },
  json: { type: 'boolean' },
  'accept-divergent-replay': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

/** What `argv` (without node and script) asks for. */
export function parseCommandLine(argv: readonly string[]): Command {
  const flagFault = findUnknownFlag(argv);
  if (flagFault !== null) return wrong(flagFault);
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
  const { positionals, values } = parsed;
  const [command, ...rest] = positionals;
  if (values.help || command === 'help') return { kind: 'help' };
  if (values.version || command === 'version') return { kind: 'version' };
  if (command === undefined) return wrong('no command given');
  if (!COMMANDS.includes(command)) return wrong(`'${command}' is no command${meant(command, COMMANDS)}`);
  const allowed = command === 'explain' ? EXPLAIN_FLAGS : UP_FLAGS;
  const misplaced = Object.keys(values).find((flag) => !allowed.includes(flag));
  if (misplaced !== undefined) return wrong(`--${misplaced} means nothing to ${command}`);
  if (command === 'explain') return parseExplain(rest, values);
  if (rest.length > 0) return wrong(`${command} takes no argument '${rest[0]}'`);
  return parseUp(command, values);
}

function parse(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: true, strict: true });
}

type Values = ReturnType<typeof parse>['values'];

function findUnknownFlag(argv: readonly string[]): string | null {
  for (const word of argv) {
    if (word === '--') return null;
    const name = /^--([^=]+)/.exec(word)?.[1];
    if (name === undefined || Object.hasOwn(FLAGS, name)) continue;
    const near = nearestName(name, Object.keys(FLAGS));
    return `--${name} is no option${near === null ? '' : `; did you mean --${near}?`}`;
  }
  return null;
}

function parseExplain(rest: readonly string[], values: Values): Command {
  if (rest.length !== 1) return wrong('explain takes one job module');
  const json = values.json ?? false;
  if (values.options === undefined) return { kind: 'explain', module: rest[0], options: null, json };
  try {
    return { kind: 'explain', module: rest[0], options: JSON.parse(values.options), json };
  } catch {
    return wrong(`--options is no JSON: ${values.options}`);
  }
}

function parseUp(command: string, values: Values): Command {
  const flags: { -readonly [Key in keyof ConfigurationFlags]: ConfigurationFlags[Key] } = {};
  if (values.slots !== undefined) {
    const slots = wholeNumber(values.slots, 1, 256);
    if (slots === null) return wrong(`--slots takes a whole number from 1 to 256, not '${values.slots}'`);
    flags.slots = slots;
  }
  if (values.port !== undefined) {
    const port = wholeNumber(values.port, 0, 65_535);
    if (port === null) return wrong(`--port takes a whole number from 0 to 65535, not '${values.port}'`);
    flags.port = port;
  }
  if (values.data !== undefined) {
    if (values.data === '') return wrong('--data takes a directory');
    flags.data = values.data;
  }
  if (values.jobs !== undefined) {
    const jobs = values.jobs.split(',').map((name) => name.trim());
    if (jobs.some((name) => name === '')) return wrong(`--jobs takes names with commas between, not '${values.jobs}'`);
    flags.jobs = jobs;
  }
  return {
    kind: 'up',
    config: values.config ?? 'jobs.config.ts',
    flags,
    generate: command === 'start',
    acceptDivergentReplay: values['accept-divergent-replay'] ?? false,
  };
}

function wholeNumber(text: string, min: number, max: number): number | null {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : null;
}

function meant(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  return near === null ? '' : `; did you mean '${near}'?`;
}

function wrong(message: string): Command {
  return { kind: 'wrong', message };
}
