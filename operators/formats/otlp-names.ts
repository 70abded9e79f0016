// Owns the names that OTLP metrics, attributes and bounds get as Prometheus series: its OTLP translation with suffixes
// and underscores (specification "Prometheus and OpenMetrics Compatibility", section OTLP metric points to Prometheus).
// Invariant: a name depends on its arguments only.

export type OtlpKind = 'gauge' | 'sum' | 'histogram' | 'exponentialHistogram' | 'summary';

/** UCUM units by their Prometheus words. */
const UNITS: ReadonlyMap<string, string> = new Map([
  ['d', 'days'],
  ['h', 'hours'],
  ['min', 'minutes'],
  ['s', 'seconds'],
  ['ms', 'milliseconds'],
  ['us', 'microseconds'],
  ['ns', 'nanoseconds'],
  ['By', 'bytes'],
  ['KiBy', 'kibibytes'],
  ['MiBy', 'mebibytes'],
  ['GiBy', 'gibibytes'],
  ['TiBy', 'tebibytes'],
  ['kBy', 'kilobytes'],
  ['KBy', 'kilobytes'],
  ['MBy', 'megabytes'],
  ['GBy', 'gigabytes'],
  ['TBy', 'terabytes'],
  ['m', 'meters'],
  ['V', 'volts'],
  ['A', 'amperes'],
  ['J', 'joules'],
  ['W', 'watts'],
  ['g', 'grams'],
  ['Cel', 'celsius'],
  ['Hz', 'hertz'],
  ['1', ''],
  ['%', 'percent'],
]);

const PER_UNITS: ReadonlyMap<string, string> = new Map([
  ['s', 'second'],
  ['m', 'minute'],
  ['h', 'hour'],
  ['d', 'day'],
  ['w', 'week'],
  ['mo', 'month'],
  ['y', 'year'],
]);

/** Name of the metric family; empty when nothing of the name can stand. */
export function otlpMetricName(name: string, unit: string, kind: OtlpKind, isMonotonic: boolean): string {
  let tokens = words(name);
  if (tokens.length === 0) return '';
  const [main, per] = unitWords(unit);
  if (main !== '' && !tokens.includes(main)) tokens.push(main);
  if (per !== '' && !tokens.includes(per)) tokens.push(per);
  if (kind === 'sum' && isMonotonic) tokens = endingIn(tokens, 'total');
  if (kind === 'gauge' && unit === '1') tokens = endingIn(tokens, 'ratio');
  const joined = tokens.join('_');
  return /^[0-9]/.test(joined) ? `_${joined}` : joined;
}

function words(text: string): string[] {
  return text.split(/[^A-Za-z0-9:]+/).filter((word) => word !== '');
}

function endingIn(tokens: readonly string[], last: string): string[] {
  return [...tokens.filter((token) => token !== last), last];
}

// What is in braces is a remark, no unit.
function unitWords(unit: string): readonly [main: string, per: string] {
  const slash = unit.indexOf('/');
  const main = (slash < 0 ? unit : unit.slice(0, slash)).trim();
  const per = slash < 0 ? '' : unit.slice(slash + 1).trim();
  const perWord = /[{}]/.test(per) ? '' : words(PER_UNITS.get(per) ?? per).join('_');
  return [/[{}]/.test(main) ? '' : words(UNITS.get(main) ?? main).join('_'), perWord === '' ? '' : `per_${perWord}`];
}

/** Label of an attribute; empty for an empty key. */
export function otlpLabelName(key: string): string {
  const name = key.replace(/[^A-Za-z0-9_]/gu, '_');
  if (/^[0-9]/.test(name)) return `key_${name}`;
  return /^_(?!_)/.test(name) ? `key${name}` : name;
}

/** The shortest decimal without exponent, as bounds and quantiles are written. */
export function decimalText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  const text = Object.is(value, -0) ? '-0' : String(value);
  const parts = /^(-?)([0-9]+)(?:\.([0-9]+))?e([+-][0-9]+)$/.exec(text);
  if (parts === null) return text;
  const [, sign, whole, fraction = '', exponent] = parts;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  if (point >= digits.length) return sign + digits + '0'.repeat(point - digits.length);
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
