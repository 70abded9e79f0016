// Owns the line of a long run on a terminal: how much is done, how fast, how long it will still take. Elsewhere a line now
// and then, so that a pipeline sees that it goes on.

const EVERY_MS = 250;
const ELSEWHERE_EVERY_MS = 60_000;

export class Progress {
  readonly #what: string;
  readonly #count: number;
  readonly #startedMs = performance.now();
  #done = 0;
  #saidMs: number;

  constructor(what: string, count: number) {
    this.#what = what;
    this.#count = count;
    this.#saidMs = this.#startedMs;
  }

  /** One more is done. */
  one(): void {
    this.#done++;
    const nowMs = performance.now();
    const { isTTY } = process.stderr;
    if (nowMs - this.#saidMs < (isTTY ? EVERY_MS : ELSEWHERE_EVERY_MS)) return;
    this.#saidMs = nowMs;
    const text = progressText(this.#what, this.#done, this.#count, nowMs - this.#startedMs);
    process.stderr.write(isTTY ? `\r\u001b[K${text}` : `${text}\n`);
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }
}

export function progressText(what: string, done: number, count: number, elapsedMs: number): string {
  const perSecond = (done * 1000) / Math.max(1, elapsedMs);
  const leftS = Math.ceil((count - done) / Math.max(perSecond, 1e-9));
  const left = leftS < 120 ? `${leftS} s` : `${Math.ceil(leftS / 60)} min`;
  return `${done} of ${count} ${what}, ${perSecond.toFixed(1)}/s, ${left} left`;
}
