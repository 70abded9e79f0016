// Owns reading rollup rows back from the JSON of CONTRACT section 5: known series by their raw bytes, numbers in the order
// our own encoder writes them; whatever looks otherwise is parsed in full. Invariant: both ways give the same row, and
// the numbers are those that JSON.parse gives.

import { isUtf8 } from 'node:buffer';
import { JsonNumberScanner } from '#operators/formats/json-number.ts';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import {
  finishHash,
  HASH_SEED,
  hashRange,
  OVERREAD_BYTES,
  RawSeriesCache,
} from '#operators/formats/raw-series-cache.ts';
import {
  aheadFault,
  appendRow,
  FIRST_VALUE,
  FROM,
  isResolution,
  isSoundRow,
  OUT_OF_RANGE,
  REVISION,
  ROW_NUMBERS,
  type RowDecoder,
  type RowFault,
  type RowOrigin,
  RUN,
  rowInvalid,
  TO,
} from '#operators/formats/row-decoder.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { type Batch, ROLLUP_VALUES } from '#runtime/task/contract.ts';

/** Labels are one object deep. */
const NESTING_MAX = 4;

const WINDOW_START = Buffer.from(',"window_start":');
/** What stands between the numbers of a row, in their order. */
const BETWEEN = ['window_end', ...ROLLUP_VALUES, 'run', 'revision'].map((name) => Buffer.from(`,"${name}":`));
const CLOSE = 0x7d;
const OPEN = 0x7b;

export class JsonRowDecoder implements RowDecoder {
  /** Rows that were parsed in full, for benchmarks and tests. */
  parsedRows = 0;
  readonly #table: SeriesTable;
  readonly #cache = new RawSeriesCache();
  readonly #scanner = new JsonNumberScanner();
  readonly #numbers = new Float64Array(ROW_NUMBERS);
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));

  constructor(table: SeriesTable) {
    this.#table = table;
    table.onEvict((slots) => this.#cache.drop(slots));
  }

  decode(bytes: Buffer, start: number, end: number, origin: RowOrigin, batch: Batch): RowFault | null {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const head = bytes[start] === OPEN ? bytes.subarray(start, end).indexOf(WINDOW_START) : -1;
    const fits = head > 0 && start + head + OVERREAD_BYTES <= bytes.length;
    const hash = fits ? finishHash(hashRange(this.#view, start + 1, start + head), HASH_SEED) : 0;
    let slot = fits ? this.#cache.find(this.#view, start + 1, head - 1, start, 0, hash) : -1;
    if (slot < 0 || !this.#scan(start + head, end)) {
      const parsed = this.#parse(bytes, start, end);
      const fault = typeof parsed === 'string' ? aheadFault(this.#numbers, origin) : parsed;
      if (typeof parsed !== 'string' || fault !== null) return fault;
      slot = this.#table.slotOfText(parsed);
      if (fits && isHead(bytes, start, start + head)) {
        this.#cache.insert(this.#view, start + 1, head - 1, start, 0, hash, slot);
      }
    } else {
      const fault = aheadFault(this.#numbers, origin);
      if (fault !== null) return fault;
    }
    appendRow(slot, this.#numbers, origin, batch);
    return null;
  }

  // The numbers as our encoder writes them: no spaces, this order, nothing behind them.
  #scan(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const scanner = this.#scanner;
    let at = start + WINDOW_START.length;
    for (let i = 0; ; i++) {
      this.#numbers[i] = scanner.scan(bytes, at);
      if (scanner.end < 0) return false;
      at = scanner.end;
      if (i === ROW_NUMBERS - 1) break;
      const between = BETWEEN[i];
      for (let b = 0; b < between.length; b++) if (bytes[at + b] !== between[b]) return false;
      at += between.length;
    }
    return at === end - 1 && bytes[at] === CLOSE && isSoundRow(this.#numbers);
  }

  // Canonical text of the series with its resolution; the numbers are left in #numbers.
  #parse(bytes: Buffer, start: number, end: number): string | RowFault {
    this.parsedRows++;
    const own = bytes.subarray(start, end);
    let parsed: unknown;
    try {
      if (!isUtf8(own) || nestsDeeperThan(own, NESTING_MAX)) return NO_JSON;
      parsed = parseJson(own.toString());
    } catch {
      return NO_JSON;
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return rowInvalid('it is no object');
    const row = parsed as Readonly<Record<string, unknown>>;
    const { labels, metric_name: name, resolution, run = 0, revision = 0, window_start: from, window_end: to } = row;
    if (!isResolution(resolution)) return rowInvalid('resolution is none');
    const series = canonicalSeries(typeof name === 'string' && name !== '' ? `${name}:${resolution}` : name, labels);
    if (typeof series !== 'string') return rowInvalid(`${series.path} ${series.message}`);
    for (const [v, field] of ROLLUP_VALUES.entries()) {
      const value = numberOf(row[field]);
      if (value === null) return rowInvalid(`${field} is no number`);
      this.#numbers[FIRST_VALUE + v] = value;
    }
    if (![from, to, run, revision].every((number) => typeof number === 'number')) {
      return rowInvalid('window_start, window_end, run and revision must be numbers');
    }
    this.#numbers[FROM] = from as number;
    this.#numbers[TO] = to as number;
    this.#numbers[RUN] = run as number;
    this.#numbers[REVISION] = revision as number;
    return isSoundRow(this.#numbers) ? series : rowInvalid(OUT_OF_RANGE);
  }
}

const NO_JSON: RowFault = { code: 'json-invalid', message: 'the record is no JSON' };

// JSON says null for whatever is not finite, as JSON.stringify does; others may spell it as in samples.
function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return value;
  if (value === null || value === 'NaN') return Number.NaN;
  if (value === '+Inf') return Number.POSITIVE_INFINITY;
  return value === '-Inf' ? Number.NEGATIVE_INFINITY : null;
}

/** Whether bytes[start, end) are the head of a row and nothing else: then the same bytes stand for the same series. */
function isHead(bytes: Buffer, start: number, end: number): boolean {
  try {
    const head = parseJson(`${bytes.toString('utf8', start, end)}}`) as Readonly<Record<string, unknown>>;
    return Object.keys(head).sort().join() === 'labels,metric_name,resolution';
  } catch {
    return false;
  }
}
