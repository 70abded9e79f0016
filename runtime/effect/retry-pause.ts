// Owns how long to wait before a request is tried again: what the receiver asks for, else exponential with jitter.
// Reads no clock and no randomness: both are handed in.

/** Longest wait that a receiver may ask for. */
const ASKED_MAX_MS = 3_600_000;
/** Less is no wait: 0, or a time that has passed, would have us try again without end and without a breath. */
const ASKED_MIN_MS = 1_000;

export interface PauseOptions {
  /** Before the second try, doubled each time. @default 100 */
  readonly firstMs?: number | undefined;
  /** @default 30,000 */
  readonly lastMs?: number | undefined;
}

export class RetryPause {
  readonly #firstMs: number;
  readonly #lastMs: number;
  #state = 1;

  /** `seed` differs between writers, so that they do not come back all at once. */
  constructor(seed: string, { firstMs = 100, lastMs = 30_000 }: PauseOptions = {}) {
    this.#firstMs = firstMs;
    this.#lastMs = lastMs;
    for (let i = 0; i < seed.length; i++) this.#state = Math.imul(this.#state ^ seed.charCodeAt(i), 0x01000193) | 1;
  }

  /** Milliseconds until the next try after `failures` in a row; from half of the exponential pause to all of it. */
  afterMs(failures: number, retryAfter: string | null, nowMs: number): number {
    const askedMs = retryAfter === null ? null : parseRetryAfter(retryAfter, nowMs);
    if (askedMs !== null && askedMs >= ASKED_MIN_MS) return Math.min(ASKED_MAX_MS, askedMs);
    const fullMs = Math.min(this.#lastMs, this.#firstMs * 2 ** Math.min(30, failures - 1));
    return fullMs * (0.5 + 0.5 * this.#next());
  }

  // xorshift: uniform enough to spread writers.
  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) / 2 ** 32;
  }
}

/** Milliseconds that a Retry-After header asks for (RFC 9110: seconds, or a date); null when it is neither. */
export function parseRetryAfter(text: string, nowMs: number): number | null {
  const trimmed = text.trim();
  if (/^\d{1,9}$/.test(trimmed)) return Number(trimmed) * 1_000;
  const atMs = /GMT$/.test(trimmed) ? Date.parse(trimmed) : Number.NaN;
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
