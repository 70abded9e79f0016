// Owns what the delivery of effects and the two sides of it know of each other: an outbox, filled by a sink, and a
// receiver in the outside world. Nothing here knows a format or a protocol.

import type { OutsideOutput } from '#runtime/task/contract.ts';

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
