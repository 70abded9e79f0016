// Owns what a task, the delivery of its effects and the two sides of that know of each other: an effect, run between
// entries, an outbox, filled by a sink, and a receiver in the outside world. Nothing here knows a format or a protocol.

import type { RecordHeader } from '#runtime/log/record-batch.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

/**
 * What a stage does to the outside world with the records of an entry, before the entry is committed. In replay nothing
 * is done again: `discard` follows every replayed entry. After a crash the records of the entry that was not committed
 * are there again, so what was done is done once more: values are deterministic, the other side must bear repetition.
 */
export interface Effect {
  /** Whether the entry must end before more input is taken. */
  readonly full: boolean;
  /** What `flush` waits for, null when nothing. */
  readonly waitingFor: string | null;
  /** Grows with everything that was taken or refused for good. */
  readonly settled: number;
  /**
   * Resolves when everything was taken, or refused for good and put out as a record. Tries for as long as it takes;
   * rejects when the signal aborts, and with what will never pass.
   */
  flush(context: EffectContext): Promise<void>;
  discard(): void;
  close(): void;
}

/**
 * Records that only the outside world decided, in the transaction of the entry. Replay does not make them again: they stay
 * out of hash and count. Bytes are copied.
 */
export interface OutsideOutput {
  append(
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array,
    headers: readonly RecordHeader[],
  ): void;
}

export interface EffectContext {
  readonly output: OutsideOutput;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** For log lines. */
  readonly task: string;
  /** Another text for each attempt of a task: pauses between tries differ by it. */
  readonly seed: string;
}

/**
 * What one entry of a task has for a receiver: items in the order in which they must arrive. Filled while records are
 * processed; read, and emptied by `settle` or `discard`, between entries only.
 */
export interface Outbox {
  /** Items that wait. */
  readonly count: number;
  /** Whether the entry must end before more is put in. */
  readonly full: boolean;
  /** End of the request that begins with item `start`: at least one item, otherwise as many as one request may hold. */
  requestEnd(start: number): number;
  /** Body of a request with items [start, end), which may be none. The same items give the same bytes. */
  encode(start: number, end: number): Uint8Array;
  /** The receiver will never take this item. */
  refuse(index: number, reason: Refusal): void;
  /** Every item was taken or refused: puts out those that were refused, and forgets all. */
  settle(output: OutsideOutput): void;
  /** Forgets everything: nobody is told, nothing is sent. */
  discard(): void;
}

export interface Refusal {
  /** HTTP status of the answer. */
  readonly status: number;
  readonly message: string;
}

/** What a receiver said to a request. */
export interface Answer extends Refusal {
  /** As the receiver wrote it: seconds, or a date; null without. */
  readonly retryAfter: string | null;
  /** Type of the answer's body, empty when it was not said; null without a body. */
  readonly contentType: string | null;
}

export interface Receiver {
  /** Where it is, as people may read it: no secrets. */
  readonly address: string;
  /** Error receiver-unavailable when there is no answer: no connection, a lost one, a time-out, `signal`. */
  send(body: Uint8Array, signal: AbortSignal): Promise<Answer>;
  close(): void;
}
