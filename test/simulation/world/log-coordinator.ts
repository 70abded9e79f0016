// Owns the simulated transaction coordinator, as Kafka 4 with transaction.version 2 behaves: producer ids and epochs,
// fencing, one transaction per id at a time, markers that are written after EndTxn's answer, the time-out.

import type { TransactionState } from '#runtime/log/kafka/wire/transaction.ts';
import type { Faults } from '#test/simulation/world/log-faults.ts';
import { KAFKA, type SimulatedPartition } from '#test/simulation/world/log-partition.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { Scheduler } from '#test/simulation/world/scheduler.ts';

const EPOCH_MAX = 32_766;
/** How often the coordinator looks for transactions that took too long. */
const TIMEOUT_LOOK_MS = 10_000;

/** So many commits come upon one abort. */
const ABORTS_ARE_RARE = 8;

export interface ProducerAnswer {
  readonly error: number;
  readonly producerId: number;
  readonly epoch: number;
}

interface TransactionalId {
  readonly id: string;
  producerId: number;
  epoch: number;
  /** The epoch before, as long as its owner may still come back with it; -1 when somebody else took over. */
  ownerEpoch: number;
  ownerProducerId: number;
  state: 'empty' | 'ongoing' | 'ending';
  /** Whether the last transaction was committed; forgotten when the id is initialised. */
  committed: boolean;
  /** How the last transaction ended, to answer a repeated EndTxn. */
  lastEnd: 'commit' | 'abort' | null;
  timeoutMs: number;
  startedMs: number;
  partitions: Set<SimulatedPartition>;
}

export class SimulatedCoordinator {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #faults: () => Faults;
  /** What happened to producers, for a test that wants to know whether its faults happened. */
  readonly counts = {
    fenced: 0,
    refused: 0,
    epochRanOut: 0,
    timedOut: 0,
    commitMarkersLost: 0,
    abortMarkersLost: 0,
    markersLostInPart: 0,
    markersRefused: 0,
  };
  readonly #ids = new Map<string, TransactionalId>();
  #nextProducerId = 1000;
  #looking = false;

  constructor(scheduler: Scheduler, random: Random, faults: () => Faults) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#faults = faults;
  }

  /** No transaction is open or ending. */
  get quiet(): boolean {
    return [...this.#ids.values()].every(({ state }) => state === 'empty');
  }

  /** What it knows now, while it is quiet; calling what is returned makes it so again. Producer ids are not given twice. */
  copy(): () => void {
    const entries = [...this.#ids].map(([id, entry]) => [id, { ...entry }] as const);
    return () => {
      this.#ids.clear();
      for (const [id, entry] of entries) this.#ids.set(id, { ...entry, partitions: new Set() });
    };
  }

  /** InitProducerId; producer id and epoch -1 fence whoever has the id. */
  initProducerId(id: string, timeoutMs: number, producerId: number, epoch: number): ProducerAnswer {
    let entry = this.#ids.get(id);
    if (entry === undefined) {
      entry = this.#create(id);
      this.#ids.set(id, entry);
    }
    const own = producerId >= 0;
    if (own && !this.#isOwner(entry, producerId, epoch)) {
      this.counts.refused++;
      return refused(KAFKA.producerFenced);
    }
    if (entry.state === 'ending') return refused(KAFKA.concurrentTransactions);
    if (entry.state === 'ongoing') {
      if (!own) this.counts.fenced++;
      this.#end(entry, false, own);
      return refused(KAFKA.concurrentTransactions);
    }
    entry.timeoutMs = timeoutMs;
    entry.lastEnd = null;
    entry.committed = false;
    // A repeated request of the owner gets the epoch that the first one made.
    const repeated = own && !(entry.producerId === producerId && entry.epoch === epoch);
    if (!repeated) this.#bump(entry, own);
    return { error: KAFKA.none, producerId: entry.producerId, epoch: entry.epoch };
  }

  /** DescribeTransactions. */
  describe(id: string): TransactionState {
    const entry = this.#ids.get(id);
    if (entry === undefined) {
      return { error: KAFKA.transactionalIdNotFound, state: '', producerId: -1n, epoch: -1, startMs: -1n };
    }
    const { producerId, epoch, state, committed, startedMs } = entry;
    const names = {
      empty: committed ? 'CompleteCommit' : 'Empty',
      ongoing: 'Ongoing',
      ending: committed ? 'PrepareCommit' : 'PrepareAbort',
    };
    const startMs = BigInt(Math.floor(startedMs));
    return { error: KAFKA.none, state: names[state], producerId: BigInt(producerId), epoch, startMs };
  }

  addPartitions(id: string, producerId: number, epoch: number, partitions: readonly SimulatedPartition[]): number {
    const entry = this.#ids.get(id);
    const error = this.#check(entry, producerId, epoch);
    if (error !== KAFKA.none || entry === undefined) return error;
    if (entry.state === 'ending') return KAFKA.concurrentTransactions;
    if (entry.state === 'empty') {
      entry.state = 'ongoing';
      entry.startedMs = this.#scheduler.nowMs;
      entry.lastEnd = null;
      this.#lookForTimeouts();
    }
    for (const partition of partitions) entry.partitions.add(partition);
    return KAFKA.none;
  }

  /** Whether a batch may be written to a partition as part of the transaction; adds it, as Produce v12 does. */
  verify(id: string, producerId: number, epoch: number, partition: SimulatedPartition): number {
    const entry = this.#ids.get(id);
    if (entry?.state === 'ongoing' && entry.producerId === producerId && entry.epoch === epoch) {
      entry.partitions.add(partition);
      return KAFKA.none;
    }
    const error = this.addPartitions(id, producerId, epoch, [partition]);
    return error === KAFKA.producerFenced ? KAFKA.invalidEpoch : error;
  }

  /** EndTxn v5: the answer carries the epoch of the next transaction; the markers follow. */
  endTransaction(id: string, producerId: number, epoch: number, commit: boolean): ProducerAnswer {
    const entry = this.#ids.get(id);
    const how = commit ? 'commit' : 'abort';
    if (entry !== undefined && entry.lastEnd !== null && this.#isBefore(entry, producerId, epoch)) {
      if (entry.lastEnd !== how) return refused(KAFKA.invalidTransactionState);
      return { error: KAFKA.none, producerId: entry.producerId, epoch: entry.epoch };
    }
    const error = this.#check(entry, producerId, epoch);
    if (error !== KAFKA.none || entry === undefined) return refused(error);
    if (entry.state === 'ending') return refused(KAFKA.concurrentTransactions);
    if (entry.state === 'empty' && commit) return refused(KAFKA.invalidTransactionState);
    this.#end(entry, commit, true);
    return { error: KAFKA.none, producerId: entry.producerId, epoch: entry.epoch };
  }

  #create(id: string): TransactionalId {
    const late = this.#random.happens('epochs-run-out', this.#faults().epochsRunOut);
    return {
      id,
      producerId: this.#nextProducerId++,
      epoch: late ? EPOCH_MAX - this.#random.range(1, 12) : -1,
      ownerEpoch: -1,
      ownerProducerId: -1,
      state: 'empty',
      committed: false,
      lastEnd: null,
      timeoutMs: 0,
      startedMs: 0,
      partitions: new Set(),
    };
  }

  #isBefore(entry: TransactionalId, producerId: number, epoch: number): boolean {
    return entry.ownerEpoch === epoch && entry.ownerProducerId === producerId;
  }

  #isOwner(entry: TransactionalId, producerId: number, epoch: number): boolean {
    return (entry.producerId === producerId && entry.epoch === epoch) || this.#isBefore(entry, producerId, epoch);
  }

  #check(entry: TransactionalId | undefined, producerId: number, epoch: number): number {
    if (entry === undefined) return KAFKA.invalidTransactionState;
    if (entry.producerId === producerId && entry.epoch === epoch) return KAFKA.none;
    return KAFKA.producerFenced;
  }

  /** The next epoch; a new producer id when there is none. With `own` the old one may still come back with its epoch. */
  #bump(entry: TransactionalId, own: boolean): void {
    entry.ownerProducerId = own ? entry.producerId : -1;
    entry.ownerEpoch = own ? entry.epoch : -1;
    if (entry.epoch >= EPOCH_MAX) {
      this.counts.epochRanOut++;
      entry.producerId = this.#nextProducerId++;
      entry.epoch = 0;
    } else entry.epoch++;
  }

  /** Ends the open transaction. With `own` its writer may come back, otherwise it is shut out. */
  #end(entry: TransactionalId, commit: boolean, own: boolean): void {
    const { producerId, epoch } = entry;
    this.#bump(entry, own);
    entry.lastEnd = own ? (commit ? 'commit' : 'abort') : null;
    entry.committed = commit;
    let partitions = [...entry.partitions];
    entry.partitions = new Set();
    if (commit) for (const partition of partitions) partition.decide(producerId);
    const lost = this.#faults().markersLost * (commit ? 1 : ABORTS_ARE_RARE);
    if (this.#random.happens('markers-lost', lost)) partitions = this.#leaveOut(partitions, commit);
    if (partitions.length === 0) {
      entry.state = 'empty';
      return;
    }
    entry.state = 'ending';
    const markerEpoch = epoch + 1;
    let left = partitions.length;
    for (const partition of partitions) {
      const lagMs = this.#random.between(0, this.#faults().markerLagMs);
      this.#scheduler.schedule(lagMs, 'marker', null, () => {
        partition.writeMarker(producerId, markerEpoch, commit, Math.floor(this.#scheduler.nowMs));
        this.#scheduler.mix(partition.end);
        if (--left === 0) entry.state = 'empty';
      });
    }
  }

  /** The coordinator stops or has just started, and takes for ended what it ended nowhere or not everywhere. */
  #leaveOut(partitions: readonly SimulatedPartition[], commit: boolean): SimulatedPartition[] {
    const marked = this.#random.chance(0.5) ? [] : partitions.filter(() => this.#random.chance(0.5));
    if (marked.length < partitions.length) this.counts[commit ? 'commitMarkersLost' : 'abortMarkersLost']++;
    if (marked.length > 0 && marked.length < partitions.length) this.counts.markersLostInPart++;
    return marked;
  }

  #lookForTimeouts(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#scheduler.schedule(TIMEOUT_LOOK_MS, 'transaction time-outs', null, () => {
      this.#looking = false;
      let ongoing = false;
      for (const entry of this.#ids.values()) {
        if (entry.state !== 'ongoing') continue;
        if (this.#scheduler.nowMs - entry.startedMs < entry.timeoutMs) ongoing = true;
        else {
          this.counts.timedOut++;
          this.#end(entry, false, !this.#faults().timeoutFences);
          entry.lastEnd = null;
        }
      }
      if (ongoing) this.#lookForTimeouts();
    });
  }
}

function refused(error: number): ProducerAnswer {
  return { error, producerId: -1, epoch: -1 };
}
