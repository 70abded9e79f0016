// Owns the decision about transactions of one id whose end was left out in some or all partitions: which are completed
// as committed, which are ended as aborted, and when to look. Sends nothing itself. Invariant: what was committed is
// marked everywhere, or owed to a transaction of our own, before the coordinator forgets it.

import type { TopicPartition } from '#runtime/log/contract.ts';
import { CONCURRENT_TRANSACTIONS, NONE, TRANSACTIONAL_ID_NOT_FOUND } from '#runtime/log/kafka/broker-error.ts';
import type { OpenTransaction } from '#runtime/log/kafka/wire/producers.ts';
import { isSameState, type ProducerIdentity, type TransactionState } from '#runtime/log/kafka/wire/transaction.ts';

/** Markers follow their transaction within 35 ms; 130 ms were seen right after a broker's start. */
const MARKER_LAG_MAX_MS = 1_000;
const TRIES_MAX = 3;

/** What the writer of the id sends. `Life` is that of a coordinator: after a restart it is another. */
export interface EndsPort<Life> {
  /** DescribeTransactions. */
  describe(life: Life): Promise<TransactionState>;
  /** DescribeProducers: where the producer id has a transaction open now. */
  open(partitions: readonly TopicPartition[], producerId: bigint): Promise<readonly OpenTransaction[]>;
  /** WriteTxnMarkers: ends these as committed; false when this client may not. */
  commit(open: readonly OpenTransaction[]): Promise<boolean>;
  /** A transaction without records: its markers end what was open before. */
  endWithoutRecords(partitions: readonly TopicPartition[], commit: boolean): Promise<void>;
  /** The own one, as of now. */
  identity(): ProducerIdentity;
  pause(ms: number): Promise<void>;
  fenced(what: string): Error;
  dead(what: string): Error;
}

export class TransactionEnds<Life> {
  /** Partitions in which this initialisation ended something. */
  byHand = 0;
  readonly #outputs: readonly TopicPartition[];
  readonly #port: EndsPort<Life>;
  /** Where all ends so far are known to be written: while the coordinator lives it sees to them, the next may not. */
  #settledIn: Life | null = null;
  /** Which coordinator the transaction under way was begun at, when its predecessors were seen to be ended. */
  #begunIn: Life | null = null;
  /** Whose transactions can hang after an initialisation; -1n when nobody's. */
  #hangingId = -1n;
  /** What hangs as committed and may be ended only by a transaction of our own. Once initialised, nobody else knows of it. */
  #owed: readonly OpenTransaction[] = [];

  constructor(outputs: readonly TopicPartition[], port: EndsPort<Life>) {
    this.#outputs = outputs;
    this.#port = port;
  }

  /** Nothing is known any more: an initialisation begins. */
  begin(): void {
    this.#settledIn = null;
    this.#begunIn = null;
    this.byHand = 0;
  }

  /**
   * The coordinator has answered to an end of ours in that life. One that took the end only, having come back in between,
   * may have left out the markers in this very life.
   */
  settled(life: Life | null): void {
    this.#settledIn = life === this.#begunIn ? life : null;
  }

  /**
   * Before initialising wipes out what the coordinator knows: what was committed must be marked everywhere. Measured: a
   * broker restarted under load left 1 to 3 of 24 committing ids without markers for ever, in all or some partitions, and
   * the end of their next transaction there would have decided about the old records. Markers carry the epoch of those:
   * newer ones stay. Gives the number of an error.
   */
  async completeCommitted(life: Life): Promise<number> {
    if (life === this.#settledIn) return NONE;
    const described = await this.#port.describe(life);
    const { error, state, producerId } = described;
    this.#hangingId = -1n;
    if (error === TRANSACTIONAL_ID_NOT_FOUND) return NONE;
    if (error !== NONE) return error;
    if (state === 'PrepareCommit') return CONCURRENT_TRANSACTIONS;
    if (state !== 'CompleteCommit') {
      if (this.#owed.length > 0 && (await this.#payOngoing(described))) return CONCURRENT_TRANSACTIONS;
      this.#hangingId = producerId;
      return NONE;
    }
    this.#owed = [];
    const missing = await this.#missing(this.#outputs, producerId);
    if (missing.length === 0) return NONE;
    // The owner may have begun another one before we looked: that is not ours to end.
    if (!isSameState(described, await this.#port.describe(life))) return CONCURRENT_TRANSACTIONS;
    if (!(await this.#port.commit(missing))) this.#owed = missing;
    this.byHand += missing.length;
    return NONE;
  }

  /** The same before the first transaction at a coordinator that did not take the last one. */
  async beforeTransaction(life: Life): Promise<number> {
    const error = await this.completeCommitted(life);
    if (this.#owed.length > 0) {
      throw this.#port.dead('the last one has no markers and this client may not write them');
    }
    this.#begunIn = life;
    return error;
  }

  /** The id was initialised by the coordinator in that life, after `completeCommitted`. */
  async initialised(life: Life | null): Promise<void> {
    await this.#commitOwed();
    await this.#abortHanging();
    this.#settledIn = life;
  }

  /**
   * An answer was lost, to the initialisation or to the transaction that was to pay: what is open as it was is owed still.
   * True: that transaction is under way, and was ended; initialising would abort it and what it stands for.
   */
  async #payOngoing({ epoch, producerId, state }: TransactionState): Promise<boolean> {
    const owed = this.#owed;
    const open = await this.#port.open(owed, producerId);
    this.#owed = open.filter((now) => owed.some((then) => isSamePlace(now, then) && now.epoch === then.epoch));
    const own = this.#port.identity();
    if (state !== 'Ongoing' || own.producerId !== producerId || own.epoch !== epoch) return false;
    await this.#port.endWithoutRecords(owed, true);
    return true;
  }

  /** The end of ours that stands for the one that was left out may be left out, too: a coordinator may restart in this. */
  async #commitOwed(): Promise<void> {
    for (let tries = 0; this.#owed.length > 0; tries++) {
      if (tries === TRIES_MAX) throw this.#port.dead(`${this.#owed.length} partitions stay without markers`);
      await this.#port.endWithoutRecords(this.#owed, true);
      this.#owed = await this.#missing(this.#owed, this.#owed[0].producerId);
    }
  }

  /** What hangs after an initialisation, and was not committed, was aborted. A coordinator may restart in this, too. */
  async #abortHanging(): Promise<void> {
    // What another producer id left open ours cannot end.
    if (this.#hangingId !== this.#port.identity().producerId) return;
    for (let tries = 0; ; tries++) {
      const hanging = await this.#missing(this.#outputs, this.#hangingId);
      if (hanging.length === 0) return;
      const { epoch } = this.#port.identity();
      if (hanging.some((open) => open.epoch >= epoch)) throw this.#port.fenced('a newer transaction is open');
      if (tries === TRIES_MAX) throw this.#port.dead(`${hanging.length} partitions stay open`);
      await this.#port.endWithoutRecords(hanging, false);
      if (tries === 0) this.byHand += hanging.length;
    }
  }

  /** Where the producer id has a transaction open and keeps it: markers that are only late are waited for. */
  async #missing(partitions: readonly TopicPartition[], producerId: bigint): Promise<readonly OpenTransaction[]> {
    const open = await this.#port.open(partitions, producerId);
    if (open.length === 0) return open;
    await this.#port.pause(MARKER_LAG_MAX_MS);
    return this.#port.open(open, producerId);
  }
}

function isSamePlace(one: TopicPartition, other: TopicPartition): boolean {
  return one.topic === other.topic && one.partition === other.partition;
}
