// Owns finding the parts of one line of Influx line protocol: series, fields, timestamp, as ranges of bytes. Knows no
// sample and does not look into names and values. Invariant: a line that is taken has the shape
// `series field=value,… timestamp`; a quoted string may hold line ends.

const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const HASH = 0x23;
const COMMA = 0x2c;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;

/** Per field: key start, key end, value start, value end. */
export const FIELD_INTS = 4;

export type LineKind = 'line' | 'empty' | 'broken';

/** The fields describe the line that was scanned last. */
export class InfluxLineScanner {
  /** Measurement and tags. */
  seriesStart = 0;
  seriesEnd = 0;
  fieldCount = 0;
  /** FIELD_INTS numbers per field. */
  fields = new Int32Array(64 * FIELD_INTS);
  /** Empty range: no timestamp. */
  timestampStart = 0;
  timestampEnd = 0;
  /** Where the next line begins. */
  next = 0;
  /** What is wrong with a broken line. */
  problem = '';

  /** Scans the line of bytes[at, end) that begins at `at`. After a broken one the next begins behind its first line end. */
  scan(bytes: Buffer, at: number, end: number): LineKind {
    let p = at;
    while (p < end && (bytes[p] === SPACE || bytes[p] === TAB)) p++;
    const blankEnd = lineEnd(bytes, p, end);
    if (blankEnd >= 0) {
      this.next = blankEnd;
      return 'empty';
    }
    if (bytes[p] === HASH) {
      this.next = behindNewline(bytes, p, end);
      return 'empty';
    }
    const stop = this.#parts(bytes, p, end);
    if (stop < 0) this.next = behindNewline(bytes, at, end);
    else this.next = stop;
    return stop < 0 ? 'broken' : 'line';
  }

  // Where the next line begins, -1 when it is broken.
  #parts(bytes: Buffer, start: number, end: number): number {
    let p = start;
    for (; p < end && bytes[p] !== NEWLINE; p++) if (bytes[p] === SPACE && bytes[p - 1] !== BACKSLASH) break;
    if (p === end || bytes[p] === NEWLINE) return this.#broken('has no fields');
    this.seriesStart = start;
    this.seriesEnd = p;
    while (bytes[p] === SPACE && p < end) p++;
    this.fieldCount = 0;
    for (;;) {
      p = this.#field(bytes, p, end);
      if (p < 0) return -1;
      if (p === end || bytes[p] !== COMMA) break;
      p++;
    }
    while (p < end && bytes[p] === SPACE) p++;
    this.timestampStart = p;
    while (p < end && bytes[p] !== SPACE && bytes[p] !== NEWLINE && bytes[p] !== RETURN) p++;
    this.timestampEnd = p;
    while (p < end && bytes[p] === SPACE) p++;
    const stop = lineEnd(bytes, p, end);
    return stop < 0 ? this.#broken('goes on behind its timestamp') : stop;
  }

  // Index behind the field that starts at `at`, -1 when the line is broken.
  #field(bytes: Buffer, at: number, end: number): number {
    let p = at;
    for (; p < end; p++) {
      const byte = bytes[p];
      if (byte === NEWLINE) break;
      if ((byte === EQUALS || byte === COMMA || byte === SPACE) && (p === at || bytes[p - 1] !== BACKSLASH)) break;
    }
    if (p === at || p === end || bytes[p] !== EQUALS) return this.#broken('has a field without a key or a value');
    const keyEnd = p++;
    const valueStart = p;
    if (p < end && bytes[p] === QUOTE) {
      for (p++; p < end && bytes[p] !== QUOTE; p++) if (bytes[p] === BACKSLASH) p++;
      if (p >= end) return this.#broken('has a string that does not end');
      p++;
      if (p < end && !isValueEnd(bytes[p])) return this.#broken('goes on behind a string');
    } else while (p < end && !isValueEnd(bytes[p])) p++;
    this.#add(at, keyEnd, valueStart, p);
    return p;
  }

  #add(keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void {
    let at = this.fieldCount++ * FIELD_INTS;
    if (at === this.fields.length) {
      const grown = new Int32Array(at * 2);
      grown.set(this.fields);
      this.fields = grown;
    }
    this.fields[at++] = keyStart;
    this.fields[at++] = keyEnd;
    this.fields[at++] = valueStart;
    this.fields[at] = valueEnd;
  }

  #broken(problem: string): number {
    this.problem = problem;
    return -1;
  }
}

function isValueEnd(byte: number): boolean {
  return byte === COMMA || byte === SPACE || byte === NEWLINE || byte === RETURN;
}

// Where the next line begins when this one ends at `at`, else -1.
function lineEnd(bytes: Buffer, at: number, end: number): number {
  const p = at < end && bytes[at] === RETURN ? at + 1 : at;
  if (p === end) return end;
  return bytes[p] === NEWLINE ? p + 1 : -1;
}

function behindNewline(bytes: Buffer, at: number, end: number): number {
  let p = at;
  while (p < end && bytes[p] !== NEWLINE) p++;
  return p === end ? end : p + 1;
}
