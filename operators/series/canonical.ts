// Owns the canonical text of a series and its JSON fragment: building, checking, reading back. Invariant: two series
// have the same text exactly when metric name and non-empty labels are equal, and text reads back to what it was made
// of. Names that would make the text ambiguous are quoted as Prometheus quotes them: `{"odd{name",a="1"}`.

import { invariant } from '#runtime/std/errors.ts';

/** The label that Prometheus keeps a metric's name in; no other label of a series may have its name. */
export const METRIC_NAME_LABEL = '__name__';
/** Most labels of one series; the empty ones do not count. */
export const LABELS_MAX = 64;
/** Longest canonical text in UTF-8 bytes. */
export const SERIES_BYTES_MAX = 64 * 1024;

export type LabelPair = readonly [name: string, value: string];

export interface Series {
  readonly metricName: string;
  /** Sorted by code point of the name, no empty values. */
  readonly labels: readonly LabelPair[];
}

/** Why something is no series; `path` is relative to the sample: `metric_name`, `labels.host`, `labels["a b"]`. */
export interface SeriesFault {
  readonly message: string;
  readonly path: string;
}

/** Orders text by Unicode code point, which is the order of its UTF-8 bytes (and not that of `<`). */
export function compareCodePoints(a: string, b: string): number {
  const size = Math.min(a.length, b.length);
  for (let i = 0; i < size; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return (x >= 0xd800 && y >= 0xd800 ? surrogatesLast(x) - surrogatesLast(y) : x - y) < 0 ? -1 : 1;
  }
  return a.length - b.length;
}

function surrogatesLast(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

/** Sorts labels and drops the empty ones. */
export function sortedLabels(labels: Iterable<LabelPair>): LabelPair[] {
  const kept: LabelPair[] = [];
  for (const label of labels) if (label[1] !== '') kept.push(label);
  return kept.sort((a, b) => compareCodePoints(a[0], b[0]));
}

/**
 * Canonical text: `name{a="…",b="…"}`, plain `name` without labels. Labels must be sorted and not empty
 * (`sortedLabels`).
 */
export function canonicalText(metricName: string, labels: readonly LabelPair[]): string {
  const plain = isPlain(metricName);
  if (plain && labels.length === 0) return metricName;
  let text = plain ? `${metricName}{` : `{${quoted(metricName)}`;
  for (let i = 0; i < labels.length; i++) {
    const [name, value] = labels[i];
    if (i > 0 || !plain) text += ',';
    text += `${isPlain(name) ? name : quoted(name)}=${quoted(value)}`;
  }
  return `${text}}`;
}

/** `"metric_name":"…","labels":{…}`: the head of a JSON sample or row, without braces. */
export function seriesJson(series: Series): string {
  let text = `"metric_name":${JSON.stringify(series.metricName)},"labels":{`;
  for (let i = 0; i < series.labels.length; i++) {
    const [name, value] = series.labels[i];
    if (i > 0) text += ',';
    text += `${JSON.stringify(name)}:${JSON.stringify(value)}`;
  }
  return `${text}}`;
}

// Without quotes it may hold no space, no control character and nothing the text itself is built from.
function isPlain(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit <= 0x20 || unit === 0x22 || unit === 0x2c || unit === 0x3d || unit === 0x5c) return false;
    if (unit === 0x7b || unit === 0x7d) return false;
  }
  return true;
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`))}"`;
}

/** Canonical text of what a decoder found, or what is wrong with it. `labels` undefined means none. */
export function canonicalSeries(metricName: unknown, labels: unknown): string | SeriesFault {
  const fault = metricNameFault(metricName) ?? labelsFault(labels);
  if (fault !== null) return fault;
  const kept = sortedLabels(labels === undefined ? [] : Object.entries(labels as Record<string, string>));
  if (kept.length > LABELS_MAX) {
    return { message: `has ${kept.length} labels, more than ${LABELS_MAX}`, path: 'labels' };
  }
  const text = canonicalText(metricName as string, kept);
  if (text.length * 3 > SERIES_BYTES_MAX && Buffer.byteLength(text) > SERIES_BYTES_MAX) {
    return { message: `makes a series of more than ${SERIES_BYTES_MAX} bytes`, path: 'labels' };
  }
  return text;
}

function metricNameFault(metricName: unknown): SeriesFault | null {
  const path = 'metric_name';
  if (metricName === undefined) return { message: 'is missing', path };
  if (typeof metricName !== 'string') return { message: 'must be a string', path };
  if (metricName === '') return { message: 'must not be empty', path };
  if (!metricName.isWellFormed()) return { message: 'holds half a surrogate pair', path };
  return null;
}

function labelsFault(labels: unknown): SeriesFault | null {
  if (labels === undefined) return null;
  if (labels === null || typeof labels !== 'object' || Array.isArray(labels)) {
    return { message: 'must be an object', path: 'labels' };
  }
  for (const [name, value] of Object.entries(labels)) {
    if (name === '') return { message: 'a label must have a name', path: 'labels' };
    if (typeof value !== 'string') return { message: 'must be a string', path: labelPath(name) };
    if (!name.isWellFormed() || !value.isWellFormed()) {
      return { message: 'holds half a surrogate pair', path: labelPath(name) };
    }
  }
  // Databases would find two names in one series.
  const second: unknown = (labels as Record<string, unknown>)[METRIC_NAME_LABEL];
  if (second !== undefined && second !== '') {
    return { message: "is the label of the metric's own name", path: labelPath(METRIC_NAME_LABEL) };
  }
  return null;
}

function labelPath(name: string): string {
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(shown) ? `labels.${shown}` : `labels[${JSON.stringify(shown)}]`;
}

/** Reads canonical text back. Text that `canonicalText` did not make is a bug of the caller. */
export function parseCanonical(text: string): Series {
  const brace = text.indexOf('{');
  if (brace < 0) return { metricName: text, labels: [] };
  const labels: LabelPair[] = [];
  let at = brace + 1;
  let metricName = text.slice(0, brace);
  if (brace === 0) {
    const end = quoteEnd(text, at);
    metricName = unquoted(text, at, end);
    at = end;
  }
  while (text[at] !== '}') {
    if (text[at] === ',') at++;
    let equals = text[at] === '"' ? quoteEnd(text, at) : text.indexOf('=', at);
    invariant(equals > 0 && text[equals] === '=', `canonical series cannot be read at ${at}: ${text}`);
    const name = text[at] === '"' ? unquoted(text, at, equals) : text.slice(at, equals);
    equals++;
    at = quoteEnd(text, equals);
    labels.push([name, unquoted(text, equals, at)]);
  }
  invariant(at === text.length - 1, `canonical series goes on at ${at}: ${text}`);
  return { metricName, labels };
}

// Index behind the closing quote of the string that opens at `at`.
function quoteEnd(text: string, at: number): number {
  invariant(text[at] === '"', `canonical series lacks a quote at ${at}: ${text}`);
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i + 1;
  }
  invariant(false, `canonical series lacks a closing quote: ${text}`);
}

function unquoted(text: string, start: number, end: number): string {
  return text.slice(start + 1, end - 1).replace(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char));
}
