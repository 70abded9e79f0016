// Owns sizes as people write them: '64MiB'. Bytes inside, text outside; binary units only, so that no size is ambiguous.

const UNITS: readonly (readonly [string, number])[] = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['B', 1],
];

/** Bytes of '64MiB' (units B KiB MiB GiB TiB, whole numbers); null when it is none. */
export function parseSize(text: string): number | null {
  const match = /^(\d+)(B|KiB|MiB|GiB|TiB)$/.exec(text);
  const unit = UNITS.find(([name]) => name === match?.[2]);
  if (match === null || unit === undefined) return null;
  const bytes = Number(match[1]) * unit[1];
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** '64MiB' for 67,108,864: the largest unit that divides it. Takes non-negative whole bytes. */
export function formatSize(bytes: number): string {
  const unit = bytes === 0 ? undefined : UNITS.find(([, size]) => bytes % size === 0);
  return unit === undefined ? `${bytes}B` : `${bytes / unit[1]}${unit[0]}`;
}
