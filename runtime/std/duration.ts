// Owns durations as people write them: '200ms', '5s', '1h30m'. Milliseconds inside, text outside; the two directions
// agree on every whole number of milliseconds.

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
];

const PART = /(\d+)(ms|s|m|h|d)/y;

/** Milliseconds of '5s' or '1h30m' (units d h m s ms, each at most once, large to small); null when it is none. */
export function parseDuration(text: string): number | null {
  let totalMs = 0;
  let nextUnit = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const part = PART.exec(text);
    if (part === null) return null;
    const unit = UNITS.findIndex(([name]) => name === part[2]);
    if (unit < nextUnit) return null;
    nextUnit = unit + 1;
    totalMs += Number(part[1]) * UNITS[unit][1];
  }
  return nextUnit > 0 && Number.isSafeInteger(totalMs) ? totalMs : null;
}

/** '1h30m' for 5,400,000. Takes non-negative whole milliseconds. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  let text = '';
  let rest = ms;
  for (const [name, unitMs] of UNITS) {
    const whole = Math.floor(rest / unitMs);
    if (whole > 0) text += `${whole}${name}`;
    rest -= whole * unitMs;
  }
  return text;
}
