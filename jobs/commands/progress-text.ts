// Owns the line that is shown while a change is waited for: how far it is, for how long, and about how long still. Pure.

import { humanDuration, printable } from '#jobs/commands/human-text.ts';
import type { RequestView } from '#runtime/http/contract.ts';

/** An estimate needs something to go by. */
const ESTIMATE_FROM_MS = 1_000;

export function progressText({ job, operation, progress }: RequestView, elapsedMs: number): string {
  const what = `${printable(operation)} of ${printable(job)}`;
  if (progress === null || progress.total === 0) return `${what} … ${humanDuration(elapsedMs)}`;
  const { done, total } = progress;
  const rest = done > 0 && elapsedMs >= ESTIMATE_FROM_MS ? (elapsedMs / done) * (total - done) : 0;
  const left = rest > 0 ? `, about ${humanDuration(rest)} left` : '';
  return `${what} … ${done} of ${total} tasks, ${humanDuration(elapsedMs)}${left}`;
}
