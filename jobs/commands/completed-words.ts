// Owns which words a shell may offer for an unfinished command line. Names of jobs and operators are asked for; nothing
// is offered where they cannot be known, or where only the person knows.

import {
  COMMAND_NAMES,
  type Completes,
  commandOf,
  entryOf,
  FLAG_NAMES,
  flagOf,
  isCommand,
  isFlag,
  SHELLS,
} from '#jobs/commands/command-table.ts';

/** What a process that runs knows; empty where none answers. */
export interface KnownNames {
  jobs(url: string | null): Promise<readonly string[]>;
  operators(url: string | null, job: string): Promise<readonly string[]>;
  savepoints(url: string | null, job: string): Promise<readonly string[]>;
  versions(url: string | null, job: string): Promise<readonly string[]>;
}

/** `words` behind `millrace`, the last one unfinished. Null: files, which the shell knows best. */
export async function completedWords(words: readonly string[], names: KnownNames): Promise<readonly string[] | null> {
  const line = readLine(words);
  const { command, completes, unfinished } = line;
  const offered = completes === null ? ownWords(line) : await named(completes, line, names);
  if (offered === null) return null;
  const given = (word: string) => command !== null && words.slice(0, -1).includes(word) && word.startsWith('--');
  return offered.filter((word) => word.startsWith(unfinished) && !given(word));
}

const FIRST_WORDS = COMMAND_NAMES.filter((name) => !name.includes(' '));

/** Of commands of two words that begin with this one. */
function secondWords(command: string): readonly string[] {
  return COMMAND_NAMES.flatMap((name) => (name.startsWith(`${command} `) ? [name.slice(command.length + 1)] : []));
}

interface Line {
  readonly command: string | null;
  readonly positionals: readonly string[];
  readonly url: string | null;
  /** What belongs where the cursor is; null: a word of the command line itself. */
  readonly completes: Completes | null;
  readonly unfinished: string;
}

// bash cuts words at '=', so `--url=x` may come as one word or as three.
function readLine(given: readonly string[]): Line {
  const words = given.flatMap((word) => {
    const flag = /^(--[a-z-]+)=(.*)$/s.exec(word);
    return flag === null ? [word] : [flag[1], '=', flag[2]];
  });
  let unfinished = words.pop() ?? '';
  if (unfinished === '=') {
    unfinished = '';
    words.push('=');
  }
  const positionals: string[] = [];
  let url: string | null = null;
  let open: string | null = null;
  for (const word of words) {
    if (word === '=') continue;
    if (open !== null) {
      if (open === 'url') url = word;
      open = null;
    } else if (word.startsWith('--')) open = takesValue(word.slice(2)) ? word.slice(2) : null;
    else positionals.push(word);
  }
  const { command = null, rest = [] } = commandOf(positionals) ?? {};
  return { command, positionals: rest, url, completes: completesOf(open, command, rest, unfinished), unfinished };
}

function takesValue(name: string): boolean {
  return isFlag(name) && flagOf(name).value !== null;
}

function completesOf(
  open: string | null,
  command: string | null,
  rest: readonly string[],
  unfinished: string,
): Completes | null {
  if (open !== null) return (isFlag(open) ? flagOf(open).completes : undefined) ?? 'nothing';
  if (unfinished.startsWith('-') || command === null) return null;
  if (!isCommand(command)) return 'nothing';
  const { argument, second } = entryOf(command);
  return [argument, second][rest.length]?.completes ?? null;
}

function ownWords({ command, unfinished }: Line): readonly string[] {
  if (command === null && !unfinished.startsWith('-')) return FIRST_WORDS;
  const flags = command !== null && isCommand(command) ? [...entryOf(command).flags, 'help' as const] : FLAG_NAMES;
  return (command === null ? (['help', 'version'] as const) : flags).map((name) => `--${name}`);
}

async function named(completes: Completes, line: Line, names: KnownNames): Promise<readonly string[] | null> {
  switch (completes) {
    case 'file':
    case 'directory':
      return null;
    case 'command':
      return FIRST_WORDS;
    case 'shell':
      return SHELLS;
    case 'job': {
      const jobs = await names.jobs(line.url);
      return line.command === null ? jobs : [...secondWords(line.command), ...jobs];
    }
    case 'savepoint':
      return line.positionals.length === 0 ? [] : names.savepoints(line.url, line.positionals[0]);
    case 'version':
      return line.positionals.length === 0 ? [] : names.versions(line.url, line.positionals[0]);
    case 'operator':
      return line.positionals.length === 0 ? [] : names.operators(line.url, line.positionals[0]);
    case 'nothing':
      return [];
  }
}
