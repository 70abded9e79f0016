// Owns ULIDs: 48 bits of milliseconds and 80 bits of randomness in 26 characters that sort by time. Time and
// randomness are handed in. Follows the ULID specification (Crockford's base 32).

import { invariant } from '#runtime/std/errors.ts';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARACTERS = 10;
const RANDOM_BYTES = 10;

/** `random` holds at least 10 bytes, of which the first 10 are used. */
export function ulid(timeMs: number, random: Uint8Array): string {
  invariant(Number.isInteger(timeMs) && timeMs >= 0 && timeMs < 2 ** 48, `time ${timeMs} does not fit a ULID`);
  invariant(random.length >= RANDOM_BYTES, 'a ULID needs 10 random bytes');
  let time = '';
  let rest = timeMs;
  for (let i = 0; i < TIME_CHARACTERS; i++) {
    time = ALPHABET[rest % 32] + time;
    rest = Math.floor(rest / 32);
  }
  let tail = '';
  for (let i = 0; i < RANDOM_BYTES; i += 5) {
    let word = 0;
    for (let j = i; j < i + 5; j++) word = word * 256 + random[j];
    let characters = '';
    for (let j = 0; j < 8; j++) {
      characters = ALPHABET[word % 32] + characters;
      word = Math.floor(word / 32);
    }
    tail += characters;
  }
  return time + tail;
}

/** The milliseconds in a ULID, null when the text is none. */
export function ulidTimeMs(text: string): number | null {
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text)) return null;
  let timeMs = 0;
  for (let i = 0; i < TIME_CHARACTERS; i++) timeMs = timeMs * 32 + ALPHABET.indexOf(text[i]);
  return timeMs;
}
