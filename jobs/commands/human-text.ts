// Owns how figures are said to people: durations, moments, counts, sizes, and text that came from elsewhere. Pure.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Of 1,000, as dashboards write them. */
const UNITS = [
  { from: 1e15, name: 'P' },
  { from: 1e12, name: 'T' },
  { from: 1e9, name: 'G' },
  { from: 1e6, name: 'M' },
];

/** What stands where nothing is known. */
export const NOTHING = '-';

/** '250ms', '1.2s', '42s', '3m 20s', '5h 10m', '3d 4h'. */
export function humanDuration(ms: number): string {
  const rounded = Math.max(0, Math.round(ms));
  if (rounded < SECOND) return `${rounded}ms`;
  if (rounded < 9_950) return `${(rounded / SECOND).toFixed(1).replace(/\.0$/, '')}s`;
  if (rounded < 59_500) return `${Math.round(rounded / SECOND)}s`;
  if (rounded < HOUR - 500) return twoUnits(Math.round(rounded / SECOND) * SECOND, MINUTE, 'm', SECOND, 's');
  if (rounded < DAY - MINUTE / 2) return twoUnits(Math.round(rounded / MINUTE) * MINUTE, HOUR, 'h', MINUTE, 'm');
  return twoUnits(Math.round(rounded / HOUR) * HOUR, DAY, 'd', HOUR, 'h');
}

function twoUnits(ms: number, largeMs: number, large: string, smallMs: number, small: string): string {
  const rest = Math.round((ms % largeMs) / smallMs);
  return `${Math.floor(ms / largeMs)}${large}${rest === 0 ? '' : ` ${rest}${small}`}`;
}

/** '12,345'. */
export function humanCount(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** '0', '0.25', '7.5', '1,234'. */
export function humanRate(perSecond: number): string {
  if (perSecond >= 10) return humanCount(Math.round(perSecond));
  return String(Number(perSecond.toFixed(perSecond < 1 ? 2 : 1)));
}

/** '512 B', '4.0 KiB', '1.2 GiB'. */
export function humanSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1_023.95 && unit < units.length - 1) {
    size /= 1_024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(size < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** A figure of somebody's state: whole numbers may be moments or ids, and of others five digits tell enough. */
export function humanFigure(value: number): string {
  if (Number.isSafeInteger(value)) return Math.abs(value) < 1e9 ? humanCount(value) : String(value);
  return String(Number(value.toPrecision(5)));
}

/** '60', '24.82', '0.0332', '2.315G': a figure of many beside each other; all its digits stand in the JSON. */
export function shortFigure(value: number): string {
  const size = Math.abs(value);
  if (Number.isSafeInteger(value) && size < 1e6) return humanCount(value);
  const short = Number(value.toPrecision(size < 0.1 ? 3 : 4));
  const unit = UNITS.find(({ from }) => Math.abs(short) >= from);
  if (unit === undefined || Math.abs(short) >= 1e18) return String(short);
  return `${Number((short / unit.from).toPrecision(4))}${unit.name}`;
}

/** '2026-11-21 18:02:30', UTC; what no calendar has stays a number. */
export function humanMoment(ms: number): string {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return String(ms);
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

/** The moments in one way, as short as all of them allow beside `nowMs`. */
export function humanMoments(moments: readonly number[], nowMs: number): (ms: number) => string {
  const texts = moments.map(humanMoment);
  const today = humanMoment(nowMs).slice(0, 10);
  const from = texts.every((text) => text.startsWith(today))
    ? 11
    : texts.every((text) => text.startsWith(today.slice(0, 5)))
      ? 5
      : 0;
  const to = texts.every((text) => text.endsWith(':00')) ? 16 : 19;
  return (ms) => humanMoment(ms).slice(from, to);
}

/** Text of others on one line of a terminal: what would steer it is shown and not done. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** As printable, of a text of several lines: those behind the first are set in, so that none passes for another message. */
export function printableLines(text: string): string {
  const [first, ...more] = text.split('\n').map(printable);
  return [first, ...more.map((line) => (line.startsWith('  ') ? line : `  ${line}`))].join('\n');
}

/** Shortens with an ellipsis to `widthMax` characters. */
export function shortened(text: string, widthMax: number): string {
  const characters = [...text];
  return characters.length <= widthMax ? text : `${characters.slice(0, widthMax - 1).join('')}…`;
}
