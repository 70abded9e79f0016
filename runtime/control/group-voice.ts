// Owns how a member is heard by its group: signs of life and what the group says to them, the fault that keeps it from
// being heard, and waiting for a round in which an answer may get lost. Decides nothing about tasks.

import type { GroupSession } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

/** What the group says to a sign of life of one generation; a fault when it says nothing. */
export type Sign = 'stable' | 'rebalance' | 'ended' | 'unknown' | StreamError;

export interface GroupVoiceOptions {
  readonly session: GroupSession;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  /** No answer of the group takes longer without something being lost. */
  readonly patienceMs: number;
  /** Ends every wait. */
  readonly over: AbortSignal;
}

const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 1_000;
const REFUSED_PAUSE_MS = 5_000;

export class GroupVoice {
  readonly #options: GroupVoiceOptions;
  #fault: StreamError | null = null;
  #failures = 0;

  constructor(options: GroupVoiceOptions) {
    this.#options = options;
  }

  /** What keeps this member from being heard now, or null. */
  get fault(): StreamError | null {
    return this.#fault;
  }

  async sign(generation: number): Promise<Sign> {
    try {
      const state = await this.#options.session.heartbeat(generation);
      this.heard(null);
      return state;
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      if (error.code === 'member-unknown') return 'unknown';
      if (error.code === 'generation-ended') return 'ended';
      this.heard(error);
      return error;
    }
  }

  heard(fault: StreamError | null): void {
    const { logger } = this.#options;
    if (fault !== null && fault.code !== this.#fault?.code) {
      logger.warn({ code: fault.code, remedy: fault.remedy }, `the group does not hear this process: ${fault.message}`);
    } else if (fault === null && this.#fault !== null) logger.info({}, 'the group hears this process again');
    this.#fault = fault;
    if (fault === null) this.#failures = 0;
  }

  /** The group cannot be reached, or refuses this process: waits before the next try. */
  async failed(fault: StreamError): Promise<void> {
    this.heard(fault);
    const pauseMs = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#failures++);
    await this.#options.clock.sleep(fault.retryable ? pauseMs : REFUSED_PAUSE_MS, this.#options.over);
  }

  /**
   * Goes on giving signs of life while `work` waits for the group, and ends it when its answer must have been lost:
   * nothing for too long, or twice a word of the group (`over`) by which it should have ended. Null then.
   */
  async accompanied<T>(
    generation: number,
    over: readonly Sign[],
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | null> {
    const [lost, done] = [new AbortController(), new AbortController()];
    this.#accompany(generation, over, lost, done.signal);
    try {
      return await work(AbortSignal.any([lost.signal, this.#options.over]));
    } catch (error) {
      if (lost.signal.aborted) return null;
      throw error;
    } finally {
      done.abort();
    }
  }

  async #accompany(generation: number, over: readonly Sign[], lost: AbortController, done: AbortSignal): Promise<void> {
    const { clock, heartbeatMs, patienceMs } = this.#options;
    const lastMs = clock.monotonicMs() + patienceMs;
    let words = 0;
    for (;;) {
      await clock.sleep(heartbeatMs, done);
      if (done.aborted) return;
      if (generation >= 0 && over.includes(await this.sign(generation))) words++;
      if (done.aborted) return;
      if (words >= 2 || clock.monotonicMs() > lastMs) {
        lost.abort();
        return;
      }
    }
  }
}
