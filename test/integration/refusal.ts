// Owns what a person sees when the product refuses: one line of what, one of remedy, no stack, and its exit code. Reads
// standard output and error only.

import { until } from './oracle/until.ts';
import type { Product } from './process-harness.ts';

/** As a user runs it: without debugging. */
export const USER_VIEW = { LOG_LEVEL: 'info' } as const;

const END_PATIENCE_MS = 120_000;

export interface Refusal {
  readonly code: number | null;
  /** What each `millrace: …` line says, faults listed below it included. */
  readonly what: readonly string[];
  /** The `remedy: …` line of each. */
  readonly remedies: readonly string[];
  /** Lines of a stack, or of an error that Node printed; there should be none. */
  readonly stack: readonly string[];
  readonly report: string;
}

/** Waits for the end of the process. */
export async function refusalOf(product: Product): Promise<Refusal> {
  await until(
    () => !product.running,
    'the process to end',
    END_PATIENCE_MS,
    () => product.tail(20),
  );
  const { code } = await product.exited;
  const what: string[] = [];
  const remedies: string[] = [];
  for (const line of product.lines) {
    if (line.startsWith('millrace: stopping')) continue;
    if (line.startsWith('millrace: ')) what.push(line.slice('millrace: '.length));
    else if (line.startsWith('  remedy: ')) remedies.push(line.slice('  remedy: '.length));
    else if (/^ {2,}\S/.test(line) && remedies.length < what.length) what[what.length - 1] += `\n${line.trim()}`;
  }
  const stack = product.lines.filter((line) => /^\s+at .*[:)]\d*|"stack":|^node:|^Node\.js v/.test(line));
  return { code, what, remedies, stack, report: product.tail(20) };
}
