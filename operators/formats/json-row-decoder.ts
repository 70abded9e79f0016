// Owns reading rollup rows back from the JSON of CONTRACT section 5: known series by their raw bytes, numbers in the order
// our own encoder writes them; whatever looks otherwise is parsed in full. Invariant: both ways give the same row, and
// the numbers are those that JSON.parse gives.

import { isUtf8 } from 'node:buffer';
import { JsonNumberScanner } from '#operators/formats/json-number.ts';
import { isTimestamp } from '#operators/formats/json-sample-scanner.ts';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import {
  finishHash,
  HASH_SEED,
  hashRange,
  OVERREAD_BYTES,
  RawSeriesCache,
} from '#operators/formats/raw-series-cache.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { type Batch, ROLLUP_VALUES } from '#runtime/task/contract.ts';

/** Labels are one object deep. */
const NESTING_MAX = 4;
const RESOLUTION = /^[0-9A-Za-z_]{1,16}$/;
const VALUES = ROLLUP_VALUES.length;

const WINDOW_START = Buffer.from(',"window_start":');
/** What stands between the numbers of a row, in their order. */
const BETWEEN = ['window_end', ...ROLLUP_VALUES, 'run', 'revision'].map((name) => Buffer.from(`,"${name}":`));
const NUMBERS = BETWEEN.length + 1;
const CLOSE = 0x7d;
const OPEN = 0x7b;

/** Why a record is no row. */
export interface RowFault {
  readonly code: 'json-invalid' | 'row-invalid' | 'timestamp-ahead';
  readonly message: string;
}

/** Where a row comes from, and how far ahead it may be. */
export interface RowOrigin {
  partition: number;
  offset: number;
  skewLimitMs: number;
}

export class JsonRowDecoder {
  /** Rows that were parsed in full, for benchmarks and tests. */
  parsedRows = 0;
  readonly #table: SeriesTable;
  readonly #cache = new RawSeriesCache();
  readonly #scanner = new JsonNumberScanner();
  /** window_start, window_end, the values, run, revision. */
  readonly #numbers = new Float64Array(NUMBERS);
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));

  constructor(table: SeriesTable) {
    this.#table = table;
    table.onEvict((slots) => this.#cache.drop(slots));
  }

  /**
   * Appends the row in bytes[start, end) to a batch with rollup columns; what is wrong with it, or null. The slot is that
   * of the series whose metric name is followed by `:<resolution>`. Error: series-limit.
   */
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
      if (typeof parsed !== 'string') return parsed;
      if (this.#numbers[1] - 1 > origin.skewLimitMs) return AHEAD;
      slot = this.#table.slotOfText(parsed);
      if (fits && isHead(bytes, start, start + head)) {
        this.#cache.insert(this.#view, start + 1, head - 1, start, 0, hash, slot);
      }
    } else if (this.#numbers[1] - 1 > origin.skewLimitMs) return AHEAD;
    this.#append(slot, origin, batch);
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
      if (i === NUMBERS - 1) break;
      const between = BETWEEN[i];
      for (let b = 0; b < between.length; b++) if (bytes[at + b] !== between[b]) return false;
      at += between.length;
    }
    return at === end - 1 && bytes[at] === CLOSE && isSound(this.#numbers);
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
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return invalid('it is no object');
    const row = parsed as Readonly<Record<string, unknown>>;
    const { labels, metric_name: name, resolution, run = 0, revision = 0, window_start: from, window_end: to } = row;
    if (typeof resolution !== 'string' || !RESOLUTION.test(resolution)) return invalid('resolution is none');
    const series = canonicalSeries(typeof name === 'string' && name !== '' ? `${name}:${resolution}` : name, labels);
    if (typeof series !== 'string') return invalid(`${series.path} ${series.message}`);
    const values = ROLLUP_VALUES.map((value) => row[value]);
    const wrong = values.findIndex((value) => typeof value !== 'number' && value !== null);
    if (wrong >= 0) return invalid(`${ROLLUP_VALUES[wrong]} is no number`);
    if (![from, to, run, revision].every((number) => typeof number === 'number')) {
      return invalid('window_start, window_end, run and revision must be numbers');
    }
    // JSON has no other word for what is not finite.
    const numbers = [from, to, ...values.map((value) => value ?? Number.NaN), run, revision];
    this.#numbers.set(numbers as number[]);
    return isSound(this.#numbers) ? series : invalid('its window, run or revision is out of range');
  }

  #append(slot: number, origin: RowOrigin, batch: Batch): void {
    const row = batch.count;
    if (row === batch.capacity) batch.grow();
    const numbers = this.#numbers;
    const rollups = batch.rollups!;
    batch.count = row + 1;
    batch.timestampMs[row] = numbers[1] - 1;
    batch.key[row] = slot;
    batch.originPartition[row] = origin.partition;
    batch.originOffset[row] = origin.offset;
    rollups.windowStartMs[row] = numbers[0];
    rollups.windowEndMs[row] = numbers[1];
    for (let v = 0; v < VALUES; v++) rollups.values[row * VALUES + v] = numbers[2 + v];
    rollups.run[row] = numbers[2 + VALUES];
    rollups.revision[row] = numbers[3 + VALUES];
    if (numbers[1] - 1 > batch.maxTimestampMs) batch.maxTimestampMs = numbers[1] - 1;
  }
}

const AHEAD: RowFault = {
  code: 'timestamp-ahead',
  message: 'its window ends further ahead of the clock than maxSkew',
};
const NO_JSON: RowFault = { code: 'json-invalid', message: 'the record is no JSON' };

function invalid(message: string): RowFault {
  return { code: 'row-invalid', message: `the record is no rollup row: ${message}` };
}

function isSound(numbers: Float64Array): boolean {
  const [from, to] = numbers;
  if (!isTimestamp(from) || !isTimestamp(to) || from >= to) return false;
  return isCounter(numbers[2 + VALUES]) && isCounter(numbers[3 + VALUES]);
}

function isCounter(value: number): boolean {
  return value >= 0 && value === (value | 0);
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
