// Owns the decision about transactions of one id whose end was left out in some or all partitions: which are completed
// as committed, which are ended as aborted, and when to look. Sends nothing itself. Invariant: what was committed is
// marked everywhere, or owed to a transaction of our own, before another one begins or the coordinator forgets it.

import type { TopicPartition } from '#runtime/log/contract.ts';
import { CONCURRENT_TRANSACTIONS, NONE, TRANSACTIONAL_ID_NOT_FOUND } from '#runtime/log/kafka/broker-error.ts';
import type { OpenTransaction } from '#runtime/log/kafka/wire/producers.ts';
import { isSameState, type ProducerIdentity, type TransactionState } from '#runtime/log/kafka/wire/transaction.ts';

/** Markers follow their transaction within 35 ms; 130 ms were seen right after a broker's start. */
const MARKER_LAG_MAX_MS = 1_000;
const TRIES_MAX = 3;
const LOOK_PAUSE_MIN_MS = 2;
const LOOK_PAUSE_MAX_MS = 50;
/** So often offsets are asked for, which cost little; then who has something open, for another's open transaction hides ours. */
const LOOKS_AT_OFFSETS = 4;
/** About MARKER_LAG_MAX_MS. */
const LOOKS_BEFORE_ASKING = 24;
/** About half a minute: a leader that is away gets its markers when it is back. */
const LOOKS_MAX = 600;

/** What a transaction wrote to a partition. */
export interface WrittenPartition extends TopicPartition {
  readonly lastOffset: bigint;
}

interface CommittedTransaction {
  readonly written: readonly WrittenPartition[];
  readonly identity: ProducerIdentity;
}

/** What the writer of the id sends. `Life` is that of a coordinator: after a restart it is another. */
export interface EndsPort<Life> {
  /** DescribeTransactions. */
  describe(life: Life): Promise<TransactionState>;
  /** The same, from whoever coordinates now, once that one is ready. */
  describeNow(): Promise<TransactionState>;
  /** EndTxn with abort in the name of whoever has it open. Refused or not: whoever asks describes it again. */
  abort(life: Life, identity: ProducerIdentity): Promise<void>;
  /** ListOffsets, read committed: those that are not known to be readable. */
  unreadable(written: readonly WrittenPartition[]): Promise<readonly WrittenPartition[]>;
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
  /** Whose transactions can hang after an initialisation; -1n when nobody's. */
  #hangingId = -1n;
  /** What hangs as committed and may be ended only by a transaction of our own. Once initialised, nobody else knows of it. */
  #owed: readonly OpenTransaction[] = [];
  /** The transaction of ours that the coordinator has called committed last, until it is seen to be ended. */
  #committed: CommittedTransaction | null = null;

  constructor(outputs: readonly TopicPartition[], port: EndsPort<Life>) {
    this.#outputs = outputs;
    this.#port = port;
  }

  /** An initialisation begins. */
  begin(): void {
    this.byHand = 0;
  }

  /**
   * Returns when a transaction that was committed under `identity` is seen to be ended in every partition; in how many by
   * hand. A coordinator answers before it writes markers, and it leaves out those of a partition that has no leader: on a
   * single broker that was told to stop it answered to 7 of 24 ids so, and then let their next transaction begin, whose end
   * would have decided about both. So nothing of ours may begin before.
   */
  async untilEnded(written: readonly WrittenPartition[], identity: ProducerIdentity): Promise<number> {
    this.#committed = { written, identity };
    const byHand = await this.#seenEnded(this.#committed);
    this.#committed = null;
    return byHand;
  }

  async #seenEnded({ identity, written }: CommittedTransaction): Promise<number> {
    let left = written;
    for (let looks = 0; ; looks++) {
      if (looks > 0) await this.#port.pause(Math.min(LOOK_PAUSE_MAX_MS, LOOK_PAUSE_MIN_MS * 2 ** (looks - 1)));
      left = await this.#port.unreadable(left);
      if (left.length > 0 && looks >= LOOKS_AT_OFFSETS) {
        const open = await this.#openUnder(left, identity);
        left = left.filter((one) => open.some((other) => isSamePlace(one, other)));
      }
      if (left.length === 0) return 0;
      if (looks < LOOKS_BEFORE_ASKING) continue;
      if (looks === LOOKS_MAX) throw this.#port.dead(`${left.length} partitions have no marker yet`);
      const { error, state } = await this.#port.describeNow();
      const isOver = error === NONE ? state !== 'PrepareCommit' : error === TRANSACTIONAL_ID_NOT_FOUND;
      if (isOver) return this.#endByHand(left, identity);
    }
  }

  async #endByHand(left: readonly WrittenPartition[], identity: ProducerIdentity): Promise<number> {
    const open = await this.#openUnder(left, identity);
    if (!(await this.#port.commit(open))) {
      throw this.#port.dead('the last one has no markers and this client may not write them');
    }
    const rest = await this.#openUnder(open, identity);
    if (rest.length > 0) throw this.#port.dead(`${rest.length} partitions stay without markers`);
    return open.length;
  }

  /** With a newer epoch it is a successor's, who looked after ours before. */
  async #openUnder(
    partitions: readonly TopicPartition[],
    { producerId, epoch }: ProducerIdentity,
  ): Promise<readonly OpenTransaction[]> {
    const open = await this.#port.open(partitions, producerId);
    return open.filter((one) => one.epoch === epoch);
  }

  /**
   * Before initialising wipes out what the coordinator knows: what was committed must be marked everywhere. Measured: a
   * broker restarted under load left 1 to 3 of 24 committing ids without markers for ever, in all or some partitions, and
   * the end of their next transaction there would have decided about the old records. Markers carry the epoch of those:
   * newer ones stay. What is under way is aborted here, and asked for again: where the commit was faster, initialising would
   * not tell. `own` is who initialises again, null whoever shuts out all others. Gives the number of an error.
   */
  async completeCommitted(life: Life, own: ProducerIdentity | null): Promise<number> {
    const described = await this.#port.describe(life);
    const { error, state, producerId } = described;
    this.#hangingId = -1n;
    if (error !== NONE && error !== TRANSACTIONAL_ID_NOT_FOUND) return error;
    if (state === 'PrepareCommit') return CONCURRENT_TRANSACTIONS;
    await this.#endCommitted();
    if (error === TRANSACTIONAL_ID_NOT_FOUND) return NONE;
    if (state !== 'CompleteCommit') {
      if (this.#owed.length > 0 && (await this.#payOngoing(described))) return CONCURRENT_TRANSACTIONS;
      if (state === 'Ongoing' && (own === null || isSameIdentity(own, described))) {
        await this.#port.abort(life, described);
        return CONCURRENT_TRANSACTIONS;
      }
      this.#hangingId = producerId;
      return NONE;
    }
    this.#owed = this.#owed.filter((one) => one.producerId !== producerId);
    const missing = await this.#missing(this.#outputs, producerId);
    if (missing.length === 0) return NONE;
    // The owner may have begun another one before we looked: that is not ours to end.
    if (!isSameState(described, await this.#port.describe(life))) return CONCURRENT_TRANSACTIONS;
    if (!(await this.#port.commit(missing))) this.#owed = [...this.#owed, ...missing];
    this.byHand += missing.length;
    return NONE;
  }

  /**
   * What was called committed to us counts, whatever the coordinator knows now: somebody may have been initialised since,
   * for one by a late request of ours.
   */
  async #endCommitted(): Promise<void> {
    if (this.#committed === null) return;
    const { identity, written } = this.#committed;
    let open = await this.#openUnder(written, identity);
    if (open.length > 0) {
      await this.#port.pause(MARKER_LAG_MAX_MS);
      open = await this.#openUnder(open, identity);
      if (open.length > 0 && !(await this.#port.commit(open))) this.#owed = open;
      this.byHand += open.length;
    }
    this.#committed = null;
  }

  /** The id was initialised, after `completeCommitted`. */
  async initialised(): Promise<void> {
    await this.#commitOwed();
    await this.#abortHanging();
  }

  /**
   * An answer was lost, to the initialisation or to the transaction that was to pay: what is open as it was is owed still.
   * True: that transaction is under way, and was ended; initialising would abort it and what it stands for.
   */
  async #payOngoing({ epoch, producerId, state }: TransactionState): Promise<boolean> {
    const owed = this.#owed;
    const open = await this.#port.open(owed, producerId);
    this.#owed = open.filter((now) => owed.some((then) => isSamePlace(now, then) && now.epoch === then.epoch));
    if (state !== 'Ongoing' || !isSameIdentity(this.#port.identity(), { producerId, epoch })) return false;
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

function isSameIdentity(one: ProducerIdentity, other: ProducerIdentity): boolean {
  return one.producerId === other.producerId && one.epoch === other.epoch;
}

function isSamePlace(one: TopicPartition, other: TopicPartition): boolean {
  return one.topic === other.topic && one.partition === other.partition;
}
