// Owns getting an outbox to its receiver: request after request in order, again for as long as it takes, and down to the
// single item when the receiver refuses data. Knows no format and no protocol. Invariant: after `flush` every item was
// acknowledged or refused by itself; an item is sent only when every item before it was; nothing is refused by somebody
// who refuses everything.

import type { Answer, Effect, EffectContext, Outbox, Receiver } from '#runtime/effect/contract.ts';
import { type PauseOptions, RetryPause } from '#runtime/effect/retry-pause.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface DeliveryOptions {
  /** The receiver's name in messages. */
  readonly target: string;
  readonly outbox: Outbox;
  readonly receiver: Receiver;
  readonly pauses?: PauseOptions | undefined;
  /** `requests`, `retries`, `probes`, `items-taken`, `items-refused`. */
  readonly count?: ((counter: string, by: number) => void) | undefined;
}

/**
 * Statuses that speak of the data: sent again, the same request is refused again. Any other 4xx speaks of us or of the
 * address (no token, wrong path): the data is good, and what keeps it here is corrected from outside.
 */
const REFUSALS = new Set([400, 409, 413, 422]);
/** What people's browsers are shown: a login, a proxy's word. No receiver answers so. */
const PAGE = /^text\/html\b/i;
/** Characters of an answer that are told. */
const SAID_MAX = 300;
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
  /** Whether something was taken since the last failure: what is refused then is refused for what it is. */
  #takesData = false;
  #toldOfBody = false;

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
    this.#takesData = false;
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
    const refusal = await this.#judgement(start, end, context);
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

  /** Null when the receiver has these items; otherwise why it never takes all of them. */
  async #judgement(start: number, end: number, context: EffectContext): Promise<Answer | null> {
    for (let failures = 1; ; failures++) {
      const refusal = await this.#send(this.#outbox.encode(start, end), context);
      if (refusal === null || this.#takesData) return refusal;
      // A wrong path, or something before the receiver, may answer 400 to all: then a request without items is refused, too.
      this.#count('probes', 1);
      const probed = await this.#send(this.#outbox.encode(start, start), context);
      // Who takes that may be another than who refused: what was before the receiver is gone. Asked again, it decides.
      if (probed === null) continue;
      await this.#wait(probed, failures, REFUSES_ALL, context);
    }
  }

  /** Null when the receiver has it; otherwise what it says to it, which it will always say. */
  async #send(body: Uint8Array, context: EffectContext): Promise<Answer | null> {
    const { signal } = context;
    for (let failures = 1; ; failures++) {
      if (signal.aborted) throw this.#stopped();
      const answer = await this.#attempt(body, signal);
      this.#count('requests', 1);
      if (isAnswer(answer)) {
        if (isTaken(answer)) {
          this.#takesData = true;
          this.#reached(answer, context);
          return null;
        }
        if (REFUSALS.has(answer.status)) return answer;
      }
      await this.#wait(answer, failures, isAnswer(answer) ? remedyFor(answer) : COMES_BACK, context);
    }
  }

  async #wait(answer: Answer | StreamError, failures: number, remedy: string, context: EffectContext): Promise<void> {
    const { clock, seed, signal } = context;
    this.#takesData = false;
    this.#count('retries', 1);
    this.#pause ??= new RetryPause(seed, this.#pauses);
    const pauseMs = this.#pause.afterMs(failures, isAnswer(answer) ? answer.retryAfter : null, clock.nowMs());
    this.#tell(answer, failures, pauseMs, remedy, context);
    await clock.sleep(pauseMs, signal);
    if (signal.aborted) throw this.#stopped();
  }

  async #attempt(body: Uint8Array, signal: AbortSignal): Promise<Answer | StreamError> {
    try {
      return await this.#receiver.send(body, signal);
    } catch (error) {
      if (error instanceof StreamError && error.retryable) return error;
      throw error;
    }
  }

  #tell(
    answer: Answer | StreamError,
    failures: number,
    pauseMs: number,
    remedy: string,
    { logger, task }: EffectContext,
  ): void {
    const { address } = this.#receiver;
    const said = isAnswer(answer) ? `answers ${answer.status} ${shortened(answer.message)}`.trimEnd() : answer.message;
    const seconds = (pauseMs / 1_000).toFixed(1);
    this.waitingFor = `target '${this.#target}' at ${address}: ${said}; try ${failures + 1} in ${seconds} s`;
    if (failures > 3 && failures % TELL_EVERY !== 0) return;
    logger.warn({ task, code: 'receiver-unavailable', tries: failures, remedy }, `waiting for ${this.waitingFor}`);
  }

  #reached({ contentType, message, status }: Answer, { logger, task }: EffectContext): void {
    const where = `target '${this.#target}' at ${this.#receiver.address}`;
    if (contentType !== null && !this.#toldOfBody) {
      this.#toldOfBody = true;
      const remedy = 'see that the url is that of a receiver of remote write: those have nothing to add';
      logger.warn(
        { task, remedy },
        `${where} answers ${status}, which counts as taken, and adds: ${shortened(message)}`,
      );
    }
    if (this.waitingFor === null) return;
    this.waitingFor = null;
    logger.info({ task }, `${where} takes data again`);
  }

  #stopped(): StreamError {
    const what = this.waitingFor ?? `target '${this.#target}'`;
    const remedy = 'start it again: what was not acknowledged is sent again';
    return new StreamError('receiver-unavailable', `stopped while waiting for ${what}`, remedy);
  }
}

function shortened(message: string): string {
  return message.length > SAID_MAX ? `${message.slice(0, SAID_MAX)}…` : message;
}

function isAnswer(answer: Answer | StreamError): answer is Answer {
  return !(answer instanceof StreamError);
}

function isTaken({ contentType, status }: Answer): boolean {
  return status >= 200 && status < 300 && (contentType === null || !PAGE.test(contentType));
}

const COMES_BACK = 'none needed if it comes back: nothing is lost';
const REFUSES_ALL =
  'correct the url of the target, or what stands before the receiver: it refuses a request without samples, too';

function remedyFor({ status }: Answer): string {
  if (status < 300)
    return 'correct the url of the target: what answers there is a web page, no receiver of remote write';
  if (status === 401 || status === 403) return 'give the target credentials that the receiver takes';
  if (status >= 300 && status < 400) return 'set the url of the target to where the receiver sends us';
  if (status === 408 || status === 429 || status >= 500) return 'none needed if it recovers: nothing is lost';
  return 'correct the url of the target, or what stands before the receiver: nothing is lost meanwhile';
}
