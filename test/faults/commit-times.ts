// Owns what moments of commits say of a fault: how long a partition was silent, and when it was over. Pure; times are
// milliseconds of one clock that only grows, ascending.

/**
 * When the longest silence ended that began before `feltMs` and lasted beyond `atMs`; null while that cannot be said,
 * because no commit came after `feltMs` yet.
 */
export function silenceAround(
  commits: readonly number[],
  atMs: number,
  feltMs: number,
): { readonly fromMs: number; readonly toMs: number } | null {
  let longest: { fromMs: number; toMs: number } | null = null;
  let fromMs = atMs;
  for (const toMs of commits) {
    if (toMs <= atMs) continue;
    if (longest === null || toMs - fromMs > longest.toMs - longest.fromMs) longest = { fromMs, toMs };
    if (toMs > feltMs) return longest;
    fromMs = toMs;
  }
  return null;
}

/** The longest time without a commit between two moments, and where it began; the ends count. */
export function longestGap(commits: readonly number[], fromMs: number, toMs: number): number {
  let longest = 0;
  let last = fromMs;
  for (const atMs of [...commits, toMs]) {
    if (atMs <= fromMs) continue;
    longest = Math.max(longest, Math.min(atMs, toMs) - last);
    last = atMs;
    if (atMs >= toMs) break;
  }
  return longest;
}

/** Of a sample, by nearest rank; null of none. */
export function quantile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
