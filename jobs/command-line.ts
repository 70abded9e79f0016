// Owns what a command line means. Pure; which commands there are stands in commands/command-table.ts, running them is
// main.ts's affair.

import { parseArgs } from 'node:util';
import {
  CHANGE_FLAGS,
  type ChangeCommandName,
  COMMAND_NAMES,
  type CommandName,
  commandOf,
  entryOf,
  FLAG_NAMES,
  type FlagName,
  flagOf,
  isCommand,
  isFlag,
  RUN_FLAGS,
  SHELLS,
} from '#jobs/commands/command-table.ts';
import type { ConfigurationFlags } from '#jobs/configuration.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

/** Of commands that ask a process. */
export interface ApiFlags {
  /** Null: the environment says, or the default. */
  readonly url: string | null;
  readonly json: boolean;
}

export type Command =
  | { readonly kind: 'help'; readonly command: CommandName | null }
  | { readonly kind: 'version' }
  | { readonly kind: 'wrong'; readonly message: string; readonly command: CommandName | null }
  | { readonly kind: 'explain'; readonly module: string; readonly options: unknown; readonly json: boolean }
  | ({ readonly kind: 'jobs' } & ApiFlags)
  | ({ readonly kind: 'job' | 'savepoints' | 'versions'; readonly job: string } & ApiFlags)
  | ({ readonly kind: 'state' } & StateAsked & ApiFlags)
  | ({ readonly kind: 'change' } & ChangeAsked & ApiFlags)
  | ({ readonly kind: 'deploy' } & DeployAsked & ApiFlags)
  | { readonly kind: 'completion'; readonly shell: (typeof SHELLS)[number] }
  /** What scripts of `completion` ask: words so far, the last one unfinished. */
  | { readonly kind: 'complete'; readonly words: readonly string[] }
  | {
      readonly kind: 'up';
      readonly config: string;
      readonly flags: ConfigurationFlags;
      readonly generate: boolean;
      readonly acceptDivergentReplay: boolean;
    };

export interface ChangeAsked {
  readonly command: ChangeCommandName;
  readonly job: string;
  /** Null: any. */
  readonly requestId: string | null;
  /** Of savepoint delete only. */
  readonly savepoint: string | null;
  /** Of rescale only. */
  readonly parallelism: number | null;
  readonly purge: boolean;
  readonly drain: boolean;
}

/** Of deploy the module, of rollback the job. */
export interface DeployAsked {
  readonly module: string | null;
  readonly job: string | null;
  /** Null: the one before. */
  readonly version: string | null;
  readonly options: unknown;
  readonly dryRun: boolean;
  readonly fromSavepoint: string | null;
  readonly allowDroppedState: boolean;
  readonly yes: boolean;
  /** Null: any. */
  readonly requestId: string | null;
}

export interface StateAsked {
  readonly job: string;
  readonly operator: string | null;
  readonly key: string | null;
  readonly prefix: string | null;
  readonly limit: number;
  readonly after: string | null;
}

const KEYS_SHOWN = 20;
const KEYS_MAX = 1_000;
const SLOTS_MAX = 256;
const REQUEST_ID = /^[a-z0-9-]{1,64}$/;
/** Asked by scripts, not by people. */
const COMPLETE = '--complete';

type Values = { readonly [Name in FlagName]?: string | boolean | undefined };

/** What `argv` (without node and script) asks for. */
export function parseCommandLine(argv: readonly string[]): Command {
  if (argv[0] === COMPLETE) return { kind: 'complete', words: argv.slice(1) };
  const flagFault = findUnknownFlag(argv);
  const named = commandOf(argv.filter((word) => !word.startsWith('-')))?.command ?? '';
  const wrong = (message: string): Command => ({ kind: 'wrong', message, command: isCommand(named) ? named : null });
  if (flagFault !== null) return wrong(flagFault);
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return wrong((error instanceof Error ? error.message : String(error)).split('\n', 1)[0]);
  }
  const { positionals, values } = parsed;
  const { command, rest = [] } = commandOf(positionals) ?? {};
  if (values.help || command === 'help') return parseHelp(command === 'help' ? rest : positionals, wrong);
  if (values.version || command === 'version') return { kind: 'version' };
  if (command === undefined) return wrong('no command given');
  if (!isCommand(command)) return wrong(`'${command}' is no command${meant(command, COMMAND_NAMES)}`);
  const misuse = findMisuse(command, rest, parsed);
  if (misuse !== null) return wrong(misuse);
  switch (command) {
    case 'up':
      return parseUp(command, values, wrong);
    case 'start': {
      const mixed = findMixed(rest[0], parsed.given);
      if (mixed !== null) return wrong(mixed);
      return rest[0] === undefined ? parseUp(command, values, wrong) : parseChange(command, rest, values, wrong);
    }
    case 'stop':
    case 'pause':
    case 'resume':
    case 'rescale':
    case 'cancel':
    case 'savepoint':
    case 'savepoint delete':
      return parseChange(command, rest, values, wrong);
    case 'deploy':
    case 'rollback':
      return parseDeploy(command, rest, values, wrong);
    case 'explain':
      return parseExplain(rest[0], values, wrong);
    case 'completion':
      return parseCompletion(rest[0], wrong);
    default:
      return parseAsking(command, rest[0], values, wrong);
  }
}

type Wrong = (message: string) => Command;

function parse(argv: readonly string[]) {
  const options = Object.fromEntries(
    FLAG_NAMES.map((name) => [name, { type: flagOf(name).value === null ? 'boolean' : 'string' } as const]),
  );
  const { positionals, tokens, values } = parseArgs({
    args: argv.map((word) => (word === '-h' ? '--help' : word)),
    options,
    allowPositionals: true,
    strict: true,
    tokens: true,
  });
  const given = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
  return { positionals, values: values as Values, given };
}

function findUnknownFlag(argv: readonly string[]): string | null {
  for (const word of argv) {
    if (word === '--') return null;
    const name = /^--([^=]+)/.exec(word)?.[1];
    if (name === undefined || isFlag(name)) continue;
    const near = nearestName(name, FLAG_NAMES);
    return `--${name} is no option${near === null ? '' : `; did you mean --${near}?`}`;
  }
  return null;
}

/** Flags that mean nothing to the command, or are given twice, and arguments that lack or are too many. */
function findMisuse(command: CommandName, rest: readonly string[], parsed: ReturnType<typeof parse>): string | null {
  const { argument, flags, second } = entryOf(command);
  const { given } = parsed;
  const misplaced = given.find((flag) => !flags.some((known) => known === flag));
  if (misplaced !== undefined) return `--${misplaced} means nothing to ${command}`;
  const twice = given.find((flag, at) => given.indexOf(flag) < at);
  if (twice !== undefined) return `--${twice} is given twice`;
  if (argument?.optional && rest.length === 0) return null;
  if (argument === null) return rest.length === 0 ? null : `${command} takes no argument '${rest[0]}'`;
  const wanted = second === undefined ? [argument] : [argument, second];
  const missing = wanted.find(({ optional }, at) => !rest[at] && !(optional && rest[at] === undefined));
  if (missing !== undefined) return `${command} takes ${/^[AEIOU]/.test(missing.name) ? 'an' : 'a'} ${missing.name}`;
  if (rest.length <= wanted.length) return null;
  const taken = wanted.map(({ name }) => `one ${name}`).join(' and ');
  return `${command} takes ${taken}, not also '${rest[wanted.length]}'`;
}

/** `start` is two commands, of which each has its flags. */
function findMixed(job: string | undefined, given: readonly string[]): string | null {
  const ofProcess = given.find((flag) => RUN_FLAGS.some((known) => known === flag));
  const ofJob = given.find((flag) => CHANGE_FLAGS.some((known) => known === flag));
  if (job !== undefined && ofProcess !== undefined) return `--${ofProcess} means nothing to start of a JOB`;
  if (job === undefined && ofJob !== undefined) return `--${ofJob} means nothing to start without a JOB`;
  return null;
}

function parseChange(
  command: ChangeCommandName,
  [job, second = null]: readonly (string | null)[],
  values: Values,
  wrong: Wrong,
): Command {
  const api = apiFlags(values);
  if (typeof api === 'string') return wrong(api);
  if (job === null || /^\.{1,2}$/.test(job)) return wrong(`${command} takes the id of a job, not '${job}'`);
  const requestId = typeof values['request-id'] === 'string' ? values['request-id'] : null;
  if (requestId !== null && !REQUEST_ID.test(requestId))
    return wrong(`--request-id takes a to z, 0 to 9 and -, 64 characters at most, not '${requestId}'`);
  let parallelism: number | null = null;
  if (command === 'rescale') {
    if (typeof values.parallelism !== 'string') return wrong('rescale takes --parallelism N');
    parallelism = wholeNumber(values.parallelism, 1, SLOTS_MAX);
    if (parallelism === null)
      return wrong(`--parallelism takes a whole number from 1 to ${SLOTS_MAX}, not '${values.parallelism}'`);
  }
  return {
    kind: 'change',
    command,
    job,
    savepoint: command === 'savepoint delete' ? second : null,
    requestId,
    parallelism,
    purge: values.purge === true,
    drain: values.drain === true,
    ...api,
  };
}

function parseDeploy(
  command: 'deploy' | 'rollback',
  [first, version = null]: readonly (string | null)[],
  values: Values,
  wrong: Wrong,
): Command {
  const change = parseChange('savepoint', command === 'deploy' ? ['any'] : [first], values, wrong);
  if (change.kind !== 'change') return change;
  const { json, requestId, url } = change;
  let options: unknown = null;
  try {
    if (typeof values.options === 'string') options = JSON.parse(values.options);
  } catch {
    return wrong(`--options is no JSON: ${values.options}`);
  }
  return {
    kind: 'deploy',
    module: command === 'deploy' ? first : null,
    job: command === 'rollback' ? first : null,
    version: command === 'rollback' ? version : null,
    options,
    dryRun: values['dry-run'] === true,
    fromSavepoint: typeof values['from-savepoint'] === 'string' ? values['from-savepoint'] : null,
    allowDroppedState: values['allow-dropped-state'] === true,
    yes: values.yes === true,
    ...{ requestId, url, json },
  };
}

/** What is wrong with them, if anything is. */
function apiFlags(values: Values): ApiFlags | string {
  const url = typeof values.url === 'string' ? values.url : null;
  if (url !== null && !/^https?:\/\/[^/]/i.test(url))
    return `--url takes an address such as http://127.0.0.1:8081, not '${url}'`;
  return { url, json: values.json === true };
}

function parseHelp(words: readonly string[], wrong: Wrong): Command {
  const command = commandOf(words)?.command;
  if (command === undefined) return { kind: 'help', command: null };
  if (isCommand(command)) return { kind: 'help', command };
  return wrong(`'${command}' is no command${meant(command, COMMAND_NAMES)}`);
}

function parseExplain(module: string, values: Values, wrong: Wrong): Command {
  const json = values.json === true;
  if (typeof values.options !== 'string') return { kind: 'explain', module, options: null, json };
  try {
    return { kind: 'explain', module, options: JSON.parse(values.options), json };
  } catch {
    return wrong(`--options is no JSON: ${values.options}`);
  }
}

function parseCompletion(given: string, wrong: Wrong): Command {
  const shell = SHELLS.find((known) => known === given);
  return shell === undefined
    ? wrong(`'${given}' is no shell that is known: ${SHELLS.join(', ')}`)
    : { kind: 'completion', shell };
}

function parseAsking(command: CommandName, job: string, values: Values, wrong: Wrong): Command {
  const text = (name: FlagName) => (typeof values[name] === 'string' ? values[name] : null);
  const api = apiFlags(values);
  if (typeof api === 'string') return wrong(api);
  if (command === 'jobs') return { kind: 'jobs', ...api };
  if (/^\.{1,2}$/.test(job)) return wrong(`${command} takes the id of a job, not '${job}'`);
  if (command === 'job' || command === 'savepoints' || command === 'versions') return { kind: command, job, ...api };
  const limit = text('limit') === null ? KEYS_SHOWN : wholeNumber(text('limit') ?? '', 1, KEYS_MAX);
  if (limit === null) return wrong(`--limit takes a whole number from 1 to ${KEYS_MAX}, not '${values.limit}'`);
  const others = (['prefix', 'after', 'limit'] as const).find((name) => text(name) !== null);
  if (text('key') !== null && others !== undefined) return wrong(`--key names one key, --${others} speaks of several`);
  const operator = text('operator');
  if (operator !== null && /^\.{0,2}$/.test(operator)) return wrong(`--operator takes an id, not '${operator}'`);
  const asked = { operator, key: text('key'), prefix: text('prefix'), after: text('after') };
  return { kind: 'state', job, limit, ...asked, ...api };
}

function parseUp(command: 'up' | 'start', values: Values, wrong: Wrong): Command {
  const flags: { -readonly [Key in keyof ConfigurationFlags]: ConfigurationFlags[Key] } = {};
  if (typeof values.slots === 'string') {
    const slots = wholeNumber(values.slots, 1, 256);
    if (slots === null) return wrong(`--slots takes a whole number from 1 to 256, not '${values.slots}'`);
    flags.slots = slots;
  }
  if (typeof values.port === 'string') {
    const port = wholeNumber(values.port, 0, 65_535);
    if (port === null) return wrong(`--port takes a whole number from 0 to 65535, not '${values.port}'`);
    flags.port = port;
  }
  if (typeof values.data === 'string') {
    if (values.data === '') return wrong('--data takes a directory');
    flags.data = values.data;
  }
  if (typeof values.jobs === 'string') {
    const jobs = values.jobs.split(',').map((name) => name.trim());
    if (jobs.some((name) => name === '')) return wrong(`--jobs takes names with commas between, not '${values.jobs}'`);
    flags.jobs = jobs;
  }
  return {
    kind: 'up',
    config: typeof values.config === 'string' ? values.config : 'jobs.config.ts',
    flags,
    generate: command === 'start',
    acceptDivergentReplay: values['accept-divergent-replay'] === true,
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
