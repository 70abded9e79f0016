// Owns turning labels that came as pairs into a canonical series: for formats where the metric's name may be a label
// and a name can come twice. Knows no wire format. Invariant: what is ambiguous is refused, what is merely untidy
// (another order, empty values) means the same series.

import { isUtf8 } from 'node:buffer';
import { canonicalSeries, METRIC_NAME_LABEL } from '#operators/series/canonical.ts';

/** Labels of one series that are read; as many are refused, however many of them are empty. */
export const PAIRS_MAX = 256;

export interface LabelFault {
  readonly message: string;
  /** Behind the path of the series: `.labels.host`. */
  readonly path: string;
}

/** Text of UTF-8 bytes[start, end), null when they are none. */
export function utf8Text(bytes: Buffer, start: number, end: number): string | null {
  const part = bytes.subarray(start, end);
  return isUtf8(part) ? part.toString() : null;
}

/** Canonical series of names and values side by side, one of which is `__name__`; null is a text that is no UTF-8. */
export function canonicalOfPairs(pairs: readonly (string | null)[]): string | LabelFault {
  const labels: Record<string, string> = Object.create(null);
  let metricName: string | undefined;
  if (pairs.length >= PAIRS_MAX * 2) return { message: `has ${PAIRS_MAX} labels or more`, path: '.labels' };
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i];
    const value = pairs[i + 1];
    if (name === null) return { message: `label ${i >> 1} has a name that is no valid UTF-8`, path: '.labels' };
    if (value === null) return { message: 'is no valid UTF-8', path: labelPath(name) };
    if (name in labels || (name === METRIC_NAME_LABEL && metricName !== undefined)) {
      return { message: 'is there twice', path: labelPath(name) };
    }
    if (name === METRIC_NAME_LABEL) metricName = value;
    else labels[name] = value;
  }
  const canonical = canonicalSeries(metricName, labels);
  if (typeof canonical === 'string') return canonical;
  const path = canonical.path === 'metric_name' ? labelPath(METRIC_NAME_LABEL) : `.${canonical.path}`;
  return { message: canonical.message, path };
}

function labelPath(name: string): string {
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(shown) ? `.labels.${shown}` : `.labels[${JSON.stringify(shown)}]`;
}
