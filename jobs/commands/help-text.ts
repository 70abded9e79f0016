// Owns the text of --help: of the whole command line, and of one command. Made of the table of commands.

import { COMMAND_NAMES, type CommandName, entryOf, flagOf } from '#jobs/commands/command-table.ts';

const ENDING = `Environment: KAFKA_BROKERS, MILLRACE_NAMESPACE, MILLRACE_DATA, MILLRACE_PORT,
  MILLRACE_URL, MILLRACE_TOKEN, NO_COLOR,
  LOG_LEVEL (debug info warn error silent)
Exit codes: 0 done, 1 refused or failed, 2 wrong usage
`;

/** What is longer than that moves nothing, and has what it does on a line of its own. */
const LEFT_MAX = 31;

export function usage(): string {
  const commands = COMMAND_NAMES.map((name) => [lineOf(name), entryOf(name).summary] as const);
  const lines = [...commands, ['  millrace COMMAND --help', 'its options, with examples'] as const];
  return `millrace: stream processing for monitoring, exactly once

${aligned(lines)}

${ENDING}`;
}

export function commandHelp(name: CommandName): string {
  const { details, examples, flags, summary } = entryOf(name);
  const parts = [`${lineOf(name, true).trim()}\n  ${summary}`];
  if (details.length > 0) parts.push(details.join('\n'));
  const lines = flags.map((flag) => [`  ${flagText(flag)}`, flagOf(flag).summary] as const);
  if (lines.length > 0) parts.push(`Options\n${aligned(lines)}`);
  const shown = examples.map(([command, what]) => `  ${command}\n      ${what}`);
  if (shown.length > 0) parts.push(`Examples\n${shown.join('\n')}`);
  return `${parts.join('\n\n')}\n`;
}

function lineOf(name: CommandName, full = false): string {
  const { argument, flags, second } = entryOf(name);
  const given = [argument, second].flatMap((one) => (one ? [one.optional ? ` [${one.name}]` : ` ${one.name}`] : []));
  return `  millrace ${name}${given.join('')}${full && flags.length > 0 ? ' [options]' : ''}`;
}

function flagText(flag: Parameters<typeof flagOf>[0]): string {
  const { value } = flagOf(flag);
  return `--${flag}${value === null ? '' : ` ${value}`}`;
}

function aligned(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([left]) => left.length).filter((length) => length <= LEFT_MAX));
  const between = (left: string) =>
    left.length > width ? `${left}\n${' '.repeat(width + 2)}` : left.padEnd(width + 2);
  return lines.map(([left, right]) => `${between(left)}${right}`).join('\n');
}
