// Owns colours of text for people: none unless asked for, and never more than a word.

import type { JobStateName } from '#runtime/http/contract.ts';

export interface Paint {
  readonly state: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly bold: (text: string) => string;
}

const GOOD: readonly string[] = ['RUNNING', 'FINISHED'] satisfies readonly JobStateName[];
const BAD: readonly string[] = ['FAILED', 'CANCELED'] satisfies readonly JobStateName[];

const PLAIN: Paint = { state: (text) => text, faint: (text) => text, bold: (text) => text };
const COLOURED: Paint = {
  state: (text) => wrapped(GOOD.includes(text) ? 32 : BAD.includes(text) ? 31 : 33, text),
  faint: (text) => wrapped(2, text),
  bold: (text) => wrapped(1, text),
};

/** Colours only where a person looks at a terminal that has them, and did not ask for none (no-color.org). */
export function paintFor(isTerminal: boolean, environment: Readonly<Record<string, string | undefined>>): Paint {
  return isTerminal && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb' ? COLOURED : PLAIN;
}

function wrapped(code: number, text: string): string {
  return `\u001b[${code}m${text}\u001b[0m`;
}
