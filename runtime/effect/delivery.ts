// Owns getting an outbox to its receiver: request after request in order, again for as long as it takes, and down to the
// single item when the receiver refuses data. Knows no format and no protocol. Invariant: after `flush` every item was
// acknowledged or refused by itself; an item is sent only when every item before it was.

import type { Answer, Outbox, Receiver } from '#runtime/effect/contract.ts';
import { type PauseOptions, RetryPause } from '#runtime/effect/retry-pause.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Effect, EffectContext } from '#runtime/task/contract.ts';

export interface DeliveryOptions {
  /** The receiver's name in messages. */
  readonly target: string;
  readonly outbox: Outbox;
  readonly receiver: Receiver;
  readonly pauses?: PauseOptions | undefined;
  /** `requests`, `retries`, `items-taken`, `items-refused`. */
  readonly count?: ((counter: string, by: number) => void) | undefined;
}

/**
 * Statuses that speak of the data: sent again, the same request is refused again. Any other 4xx speaks of us or of the
 * address (no token, wrong path): the data is good, and what keeps it here is corrected from outside.
 */
const REFUSALS = new Set([400, 409, 413, 422]);
/** Every so many failures in a row are told again. */
const TELL_EVERY = 25;

export class Delivery implements Effect {
  waitingFor: string | null = null;
  settled = 0;
  readonly #target: string;
  readonly #outbox: Outbox;
  readonly #receiver: Receiver;
  readonly #pauses: PauseOptions | undefined;
  readonly #count: (counter: string, by: number) => void;
  #pause: RetryPause | null = null;

  constructor({ count, outbox, pauses, receiver, target }: DeliveryOptions) {
    this.#target = target;
    this.#outbox = outbox;
    this.#receiver = receiver;
    this.#pauses = pauses;
    this.#count = count ?? (() => {});
  }

  get full(): boolean {
    return this.#outbox.full;
  }

  async flush(context: EffectContext): Promise<void> {
    const outbox = this.#outbox;
    for (let start = 0; start < outbox.count; ) {
      const end = outbox.requestEnd(start);
      await this.#deliver(start, end, context);
      start = end;
    }
    outbox.settle(context.output);
  }

  discard(): void {
    this.#outbox.discard();
  }

  close(): void {
    this.#receiver.close();
  }

  // Halves what was refused until it is one item; the halves in order, so a series stays in order.
  async #deliver(start: number, end: number, context: EffectContext): Promise<void> {
    const refusal = await this.#send(this.#outbox.encode(start, end), context);
    const items = end - start;
    if (refusal === null) {
      this.settled += items;
      this.#count('items-taken', items);
    } else if (items > 1) {
      const middle = start + (items >> 1);
      await this.#deliver(start, middle, context);
      await this.#deliver(middle, end, context);
    } else {
      this.#outbox.refuse(start, refusal);
      this.settled++;
      this.#count('items-refused', 1);
    }
  }

  /** Null when the receiver has it; otherwise why it never takes it. */
  async #send(body: Uint8Array, context: EffectContext): Promise<Answer | null> {
    const { clock, signal } = context;
    for (let failures = 1; ; failures++) {
      if (signal.aborted) throw this.#stopped();
      const answer = await this.#attempt(body, signal);
      this.#count('requests', 1);
      if (isAnswer(answer)) {
        const taken = answer.status >= 200 && answer.status < 300;
        if (taken || REFUSALS.has(answer.status)) {
          this.#reached(context);
          return taken ? null : answer;
        }
      }
      this.#count('retries', 1);
      this.#pause ??= new RetryPause(context.seed, this.#pauses);
      const pauseMs = this.#pause.afterMs(failures, isAnswer(answer) ? answer.retryAfter : null, clock.nowMs());
      this.#tell(answer, failures, pauseMs, context);
      await clock.sleep(pauseMs, signal);
    }
  }

  async #attempt(body: Uint8Array, signal: AbortSignal): Promise<Answer | StreamError> {
    try {
      return await this.#receiver.send(body, signal);
    } catch (error) {
      if (error instanceof StreamError && error.retryable) return error;
      throw error;
    }
  }

  #tell(answer: Answer | StreamError, failures: number, pauseMs: number, { logger, task }: EffectContext): void {
    const { address } = this.#receiver;
    const said = isAnswer(answer) ? `answers ${answer.status} ${answer.message}`.trimEnd() : answer.message;
    const seconds = (pauseMs / 1_000).toFixed(1);
    this.waitingFor = `target '${this.#target}' at ${address}: ${said}; try ${failures + 1} in ${seconds} s`;
    if (failures > 3 && failures % TELL_EVERY !== 0) return;
    const remedy = isAnswer(answer) ? remedyFor(answer.status) : 'none needed if it comes back: nothing is lost';
    logger.warn({ task, code: 'receiver-unavailable', tries: failures, remedy }, `waiting for ${this.waitingFor}`);
  }

  #reached({ logger, task }: EffectContext): void {
    if (this.waitingFor === null) return;
    this.waitingFor = null;
    logger.info({ task }, `target '${this.#target}' at ${this.#receiver.address} takes data again`);
  }

  #stopped(): StreamError {
    const what = this.waitingFor ?? `target '${this.#target}'`;
    const remedy = 'start it again: what was not acknowledged is sent again';
    return new StreamError('receiver-unavailable', `stopped while waiting for ${what}`, remedy);
  }
}

function isAnswer(answer: Answer | StreamError): answer is Answer {
  return !(answer instanceof StreamError);
}

function remedyFor(status: number): string {
  if (status === 401 || status === 403) return 'give the target credentials that the receiver takes';
  if (status >= 300 && status < 400) return 'set the url of the target to where the receiver sends us';
  if (status === 408 || status === 429 || status >= 500) return 'none needed if it recovers: nothing is lost';
  return 'correct the url of the target, or what stands before the receiver: nothing is lost meanwhile';
}
