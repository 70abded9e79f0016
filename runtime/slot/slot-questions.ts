// Owns what slots were asked and have not answered: request numbers, patience, and that nobody waits for a slot that is
// gone. Knows nothing of what is asked; who asks bounds it.

import type { FromSlot } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';

export type SlotAnswer = Extract<FromSlot, { readonly request: number }>;

export class SlotQuestions {
  readonly #clock: Clock;
  readonly #open = new Map<number, (answer: SlotAnswer) => void>();
  #next = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Null when the answer does not come in time, or the slot ends. */
  async ask(gone: AbortSignal, timeoutMs: number, say: (request: number) => void): Promise<SlotAnswer | null> {
    if (gone.aborted) return null;
    const request = this.#next++;
    const timer = new AbortController();
    gone.addEventListener('abort', () => timer.abort(), { once: true, signal: timer.signal });
    const answer = new Promise<SlotAnswer>((resolve) => this.#open.set(request, resolve));
    const late = this.#clock.sleep(timeoutMs, timer.signal).then(() => null);
    say(request);
    const given = await Promise.race([answer, late]);
    timer.abort();
    this.#open.delete(request);
    return given;
  }

  /** An answer that nobody waits for any more is dropped. */
  answered(answer: SlotAnswer): void {
    this.#open.get(answer.request)?.(answer);
  }
}
