// Owns how much is asked of the process at once, and for how long an answer is waited for. A question counts until it
// is answered, whether or not anybody still waits: those who ask and go away cannot pile it up.

import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface AskGateOptions {
  readonly clock: Clock;
  readonly questionsMax: number;
  readonly answerMs: number;
}

export class AskGate {
  readonly #options: AskGateOptions;
  #asked = 0;

  constructor(options: AskGateOptions) {
    this.#options = options;
  }

  /** Errors: request-overload, answer-timeout. */
  async ask<T>(question: () => Promise<T>, answerMs = this.#options.answerMs): Promise<T> {
    const { clock, questionsMax } = this.#options;
    if (this.#asked >= questionsMax) {
      const message = `${questionsMax} requests of this kind are being answered already`;
      throw new StreamError('request-overload', message, 'ask again in a second, with fewer requests at once');
    }
    this.#asked++;
    const answer = question().finally(() => this.#asked--);
    const timer = new AbortController();
    const late = clock.sleep(answerMs, timer.signal).then(() => {
      if (timer.signal.aborted) return answer;
      const message = `the process did not answer within ${answerMs / 1_000}s`;
      throw new StreamError('answer-timeout', message, 'ask again; if it lasts, look into the log of the process');
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      timer.abort();
    }
  }
}
