// Owns the short way from a sample's JSON labels to the canonical text of its series: printable ASCII without escapes,
// no white space, no label twice. Everything else is left to the full parser (null). Invariant: an answer is what
// `canonicalSeries` gives.

import { LABELS_MAX } from '#operators/series/canonical.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const TEXT_BYTES_MAX = 4096;

/** Bytes that a name may hold without quotes, see `canonicalText`. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte > 0x20 && byte < 0x7f && ![QUOTE, COMMA, EQUALS, BACKSLASH, OPEN, CLOSE].includes(byte) ? 1 : 0,
);

export class PlainSeries {
  readonly #text = Buffer.alloc(TEXT_BYTES_MAX);
  /** Per label, in the order of the names: where the name begins and ends, and where the value ends. */
  readonly #nameStart = new Int32Array(LABELS_MAX);
  readonly #nameEnd = new Int32Array(LABELS_MAX);
  readonly #valueEnd = new Int32Array(LABELS_MAX);
  #count = 0;

  /**
   * Canonical text of the metric name bytes[nameStart, nameStart + nameSize) and the labels object that begins at
   * `labelsStart` and whose closing brace is `labelsSize` further; 0 means no labels.
   */
  canonical(
    bytes: Uint8Array,
    nameStart: number,
    nameSize: number,
    labelsStart: number,
    labelsSize: number,
  ): string | null {
    const nameEnd = nameStart + nameSize;
    // Quotes, colon and comma of a label make room for what its text needs.
    if (nameSize === 0 || nameSize + labelsSize + 2 > TEXT_BYTES_MAX) return null;
    for (let i = nameStart; i < nameEnd; i++) if (PLAIN[bytes[i]] === 0) return null;
    this.#count = 0;
    if (labelsSize > 1 && !this.#readLabels(bytes, labelsStart + 1, labelsStart + labelsSize)) return null;
    return this.#write(bytes, nameStart, nameEnd);
  }

  #readLabels(bytes: Uint8Array, start: number, close: number): boolean {
    let at = start;
    for (;;) {
      if (bytes[at++] !== QUOTE) return false;
      const name = at;
      while (PLAIN[bytes[at]] === 1) at++;
      const nameEnd = at;
      if (nameEnd === name || bytes[at] !== QUOTE || bytes[at + 1] !== COLON || bytes[at + 2] !== QUOTE) return false;
      at += 3;
      const value = at;
      for (; at < close && bytes[at] !== QUOTE; at++) {
        const byte = bytes[at];
        if (byte < 0x20 || byte > 0x7e || byte === BACKSLASH) return false;
      }
      // An empty label is none, but may repeat another; reserved names are judged by the full parser.
      if (at === close || at === value || (bytes[name] === UNDERSCORE && bytes[name + 1] === UNDERSCORE)) return false;
      if (!this.#insert(bytes, name, nameEnd, at)) return false;
      at++;
      if (at === close) return true;
      if (bytes[at++] !== COMMA) return false;
    }
  }

  // Encoders write labels in order, or nearly: from the end it is one comparison.
  #insert(bytes: Uint8Array, nameStart: number, nameEnd: number, valueEnd: number): boolean {
    if (this.#count === LABELS_MAX) return false;
    let place = this.#count;
    for (; place > 0; place--) {
      const order = this.#compare(bytes, place - 1, nameStart, nameEnd);
      if (order === 0) return false;
      if (order < 0) break;
      this.#nameStart[place] = this.#nameStart[place - 1];
      this.#nameEnd[place] = this.#nameEnd[place - 1];
      this.#valueEnd[place] = this.#valueEnd[place - 1];
    }
    this.#nameStart[place] = nameStart;
    this.#nameEnd[place] = nameEnd;
    this.#valueEnd[place] = valueEnd;
    this.#count++;
    return true;
  }

  #compare(bytes: Uint8Array, label: number, nameStart: number, nameEnd: number): number {
    const size = nameEnd - nameStart;
    const start = this.#nameStart[label];
    const otherSize = this.#nameEnd[label] - start;
    for (let i = 0; i < size && i < otherSize; i++) {
      const difference = bytes[start + i] - bytes[nameStart + i];
      if (difference !== 0) return difference;
    }
    return otherSize - size;
  }

  #write(bytes: Uint8Array, nameStart: number, nameEnd: number): string {
    const text = this.#text;
    let to = 0;
    for (let i = nameStart; i < nameEnd; i++) text[to++] = bytes[i];
    for (let label = 0; label < this.#count; label++) {
      text[to++] = label === 0 ? OPEN : COMMA;
      const end = this.#nameEnd[label];
      for (let i = this.#nameStart[label]; i < end; i++) text[to++] = bytes[i];
      text[to++] = EQUALS;
      // Behind the name stand its quote and the colon, then the value with its quotes.
      const valueEnd = this.#valueEnd[label];
      for (let i = end + 2; i <= valueEnd; i++) text[to++] = bytes[i];
    }
    if (this.#count > 0) text[to++] = CLOSE;
    return text.toString('latin1', 0, to);
  }
}
