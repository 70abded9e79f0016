// Owns times in scripts: `-1:05` or `1:05.250` (minutes and seconds) for moments, `250ms`, `90s`, `5m`, `1h` for spans.

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

export function timeOf(text: string): number {
  const unit = /^(-?\d+)(ms|s|m|h)$/.exec(text);
  if (unit !== null) return Number(unit[1]) * UNITS[unit[2] as keyof typeof UNITS];
  const clock = /^(-?)(\d+):(\d\d(?:\.\d{1,3})?)$/.exec(text);
  if (clock === null) throw new Error(`'${text}' is no time`);
  return (clock[1] === '-' ? -1 : 1) * (Number(clock[2]) * 60_000 + Math.round(Number(clock[3]) * 1000));
}

export function clockText(timeMs: number): string {
  if (!Number.isFinite(timeMs)) return String(timeMs);
  const size = Math.abs(timeMs);
  const millis = size % 1000 === 0 ? '' : `.${String(size % 1000).padStart(3, '0')}`;
  const seconds = String(Math.floor(size / 1000) % 60).padStart(2, '0');
  return `${timeMs < 0 ? '-' : ''}${Math.floor(size / 60_000)}:${seconds}${millis}`;
}
