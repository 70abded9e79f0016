// Owns turning the canonical bytes of a series into its JSON head without making strings: both texts escape quotes,
// backslashes and line feeds alike. What differs, other control characters and quoted names, is left to `seriesJson`.

import type { ByteWriter } from '#runtime/std/byte-writer.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const METRIC_NAME = Buffer.from('"metric_name":"');
const LABELS = Buffer.from('","labels":{');

/** Appends `seriesJson` of the series, or nothing: then the answer is false. */
export function writeSeriesJson(out: ByteWriter, canonical: Uint8Array): boolean {
  const before = out.length;
  // Every label gains three bytes at most for the four it has at least.
  out.ensure(canonical.length * 2 + METRIC_NAME.length + LABELS.length + 2);
  out.raw(METRIC_NAME);
  const { bytes } = out;
  const end = canonical.length;
  let to = out.length;
  let at = 0;
  for (; at < end && canonical[at] !== OPEN; at++) bytes[to++] = canonical[at];
  if (at === 0) return undo(out, before);
  out.length = to;
  out.raw(LABELS);
  to = out.length;
  if (at < end) {
    to = copyLabels(canonical, at + 1, bytes, to);
    if (to < 0) return undo(out, before);
  }
  bytes[to++] = CLOSE;
  out.length = to;
  return true;
}

// `a="…",b="…"}` as `"a":"…","b":"…"`; the index behind it, or -1.
function copyLabels(canonical: Uint8Array, start: number, bytes: Uint8Array, target: number): number {
  let at = start;
  let to = target;
  for (;;) {
    if (canonical[at] === QUOTE) return -1;
    bytes[to++] = QUOTE;
    for (; canonical[at] !== EQUALS; at++) bytes[to++] = canonical[at];
    bytes[to++] = QUOTE;
    bytes[to++] = COLON;
    bytes[to++] = QUOTE;
    for (at += 2; canonical[at] !== QUOTE; at++) {
      const byte = canonical[at];
      if (byte < 0x20) return -1;
      bytes[to++] = byte;
      if (byte === BACKSLASH) bytes[to++] = canonical[++at];
    }
    bytes[to++] = QUOTE;
    at++;
    if (canonical[at] !== COMMA) return to;
    bytes[to++] = COMMA;
    at++;
  }
}

function undo(out: ByteWriter, length: number): false {
  out.length = length;
  return false;
}
