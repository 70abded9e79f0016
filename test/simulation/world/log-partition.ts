// Owns one simulated partition: stored batches, producers' sequences, open transactions and their markers, retention.
// Offsets are plain numbers inside; the port's bigints are made at the door (log-reader.ts, log-writer.ts).

import { crc32c } from '#runtime/std/crc32c.ts';

/** Kafka's error numbers, as far as the simulation answers them. */
export const KAFKA = {
  none: 0,
  offsetOutOfRange: 1,
  unknownTopic: 3,
  notLeader: 6,
  messageTooLarge: 10,
  coordinatorLoading: 14,
  coordinatorMoved: 15,
  notCoordinator: 16,
  outOfOrderSequence: 45,
  invalidEpoch: 47,
  invalidTransactionState: 48,
  concurrentTransactions: 51,
  producerFenced: 90,
  transactionalIdNotFound: 105,
} as const;

export type Fate = 'open' | 'committed' | 'aborted';

export interface StoredBatch {
  readonly bytes: Buffer;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly maxTimestampMs: number;
  readonly producerId: number;
  readonly control: boolean;
  /** Fixed once the marker is written; plain batches are committed from the start. */
  fate: Fate;
  /** The coordinator has taken the commit: the fate is fixed although no marker is written yet. */
  decided: boolean;
}

interface ProducerState {
  epoch: number;
  nextSequence: number;
  /** Batches of this epoch, to answer repeated requests: base sequence → base offset. */
  readonly sent: Map<number, number>;
}

export class SimulatedPartition {
  readonly topic: string;
  readonly partition: number;
  batches: StoredBatch[] = [];
  /** Everything ever written, also what was cut away since; for those who judge afterwards, never for a process. */
  readonly archive: StoredBatch[] = [];
  logStart: number;
  end: number;
  /** Until then there is no leader. */
  electedAtMs = 0;
  leaderEpoch = 0;
  /** Batches whose commit the coordinator had taken, and that a marker aborted: nobody may do that. */
  overruled = 0;
  readonly #producers = new Map<number, ProducerState>();
  /** First offset of each open transaction by producer id. */
  readonly #open = new Map<number, number>();
  #waiting: (() => void)[] = [];

  constructor(topic: string, partition: number, startOffset: number) {
    this.topic = topic;
    this.partition = partition;
    this.logStart = startOffset;
    this.end = startOffset;
  }

  get lastStable(): number {
    let first = this.end;
    for (const offset of this.#open.values()) if (offset < first) first = offset;
    return first;
  }

  /** Nobody has a transaction open here. */
  get quiet(): boolean {
    return this.#open.size === 0;
  }

  /** What it holds now, while it is quiet; calling what is returned makes it so again, as if nothing had come since. */
  copy(): () => void {
    const { end, logStart } = this;
    const batches = [...this.batches];
    const archived = this.archive.length;
    const producers = [...this.#producers].map(([id, { epoch, nextSequence, sent }]) => {
      return [id, { epoch, nextSequence, sent: new Map(sent) }] as const;
    });
    return () => {
      this.batches = [...batches];
      this.archive.length = archived;
      this.logStart = logStart;
      this.end = end;
      this.#open.clear();
      this.#producers.clear();
      for (const [id, state] of producers) this.#producers.set(id, state);
      this.changed();
    };
  }

  /** Calls back once, when something becomes visible or is removed. */
  onChange(callback: () => void): void {
    this.#waiting.push(callback);
  }

  changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }

  /** The epoch of the producer id's last records here if its transaction is open, null otherwise. */
  openEpoch(producerId: number): number | null {
    return this.#open.has(producerId) ? (this.#producers.get(producerId)?.epoch ?? 0) : null;
  }

  /** The newest epoch seen of a producer id; -1 when none was. */
  epochOf(producerId: number): number {
    return this.#producers.get(producerId)?.epoch ?? -1;
  }

  /** Stores a batch as it is; the log owns the bytes from now on. */
  append(bytes: Buffer, fate: Fate): StoredBatch {
    const baseOffset = this.end;
    putInt64(bytes, baseOffset, 0);
    bytes.writeInt32BE(this.leaderEpoch, 12);
    this.end = baseOffset + bytes.readInt32BE(23) + 1;
    const batch: StoredBatch = {
      bytes,
      baseOffset,
      nextOffset: this.end,
      maxTimestampMs: int64At(bytes, 35),
      producerId: int64At(bytes, 43),
      control: (bytes.readInt16BE(21) & 0x20) !== 0,
      fate,
      decided: fate === 'committed',
    };
    this.batches.push(batch);
    this.archive.push(batch);
    if (fate !== 'open') this.changed();
    return batch;
  }

  /** A transactional batch: error number and base offset, as a Produce answer tells them. */
  produce(bytes: Buffer): { readonly error: number; readonly baseOffset: number } {
    const producerId = int64At(bytes, 43);
    const epoch = bytes.readInt16BE(51);
    const sequence = bytes.readInt32BE(53);
    let state = this.#producers.get(producerId);
    if (state !== undefined && epoch < state.epoch) return { error: KAFKA.invalidEpoch, baseOffset: -1 };
    if (state === undefined || epoch > state.epoch) {
      if (sequence !== 0) return { error: KAFKA.outOfOrderSequence, baseOffset: -1 };
      state = { epoch, nextSequence: 0, sent: new Map() };
      this.#producers.set(producerId, state);
    }
    const repeated = state.sent.get(sequence);
    if (repeated !== undefined) return { error: KAFKA.none, baseOffset: repeated };
    if (sequence !== state.nextSequence) return { error: KAFKA.outOfOrderSequence, baseOffset: -1 };
    if (crc32c(bytes, 21) !== bytes.readUInt32BE(17)) throw new Error('a client sent a batch with a wrong CRC');
    const { baseOffset, nextOffset } = this.append(bytes, 'open');
    state.sent.set(sequence, baseOffset);
    state.nextSequence = sequence + (nextOffset - baseOffset);
    if (!this.#open.has(producerId)) this.#open.set(producerId, baseOffset);
    return { error: KAFKA.none, baseOffset };
  }

  /** The coordinator has taken a producer's commit. */
  decide(producerId: number): void {
    for (let i = this.batches.length - 1; i >= 0; i--) {
      const batch = this.batches[i];
      if (batch.producerId === producerId && batch.fate === 'open') batch.decided = true;
      else if (batch.producerId === producerId) return;
    }
  }

  /** For those who judge: what the coordinator has taken counts, also where nobody was left to end it. */
  settle(): void {
    for (const batch of this.archive) if (batch.decided && batch.fate === 'open') batch.fate = 'committed';
  }

  /** Writes the control marker that ends a producer's transaction here, and takes an offset for it. */
  writeMarker(producerId: number, epoch: number, commit: boolean, timestampMs: number): void {
    const first = this.#open.get(producerId);
    this.#open.delete(producerId);
    const fate = commit ? 'committed' : 'aborted';
    if (first !== undefined) {
      for (let i = this.batches.length - 1; i >= 0 && this.batches[i].baseOffset >= first; i--) {
        const batch = this.batches[i];
        if (batch.producerId !== producerId || batch.fate !== 'open') continue;
        if (batch.decided && !commit) this.overruled++;
        batch.fate = fate;
      }
    }
    const state = this.#producers.get(producerId);
    if (state === undefined || epoch > state.epoch) {
      this.#producers.set(producerId, { epoch, nextSequence: 0, sent: new Map() });
    }
    this.append(controlBatch(producerId, epoch, commit, timestampMs), fate);
  }

  /** Index of the first batch that holds `offset` or something behind it. */
  indexOf(offset: number): number {
    let low = 0;
    let high = this.batches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.batches[middle].nextOffset > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Retention, asked for or not: records below `before` are gone. */
  cut(before: number): void {
    if (before <= this.logStart) return;
    this.logStart = Math.min(before, this.end);
    const keep = this.indexOf(this.logStart);
    if (keep > 0) this.batches.splice(0, keep);
    this.changed();
  }
}

// One record: key {version 0, type}, value {version 0, coordinator epoch 0}.
const COMMIT_RECORD = Buffer.from([16 * 2, 0, 0, 0, 4 * 2, 0, 0, 0, 1, 6 * 2, 0, 0, 0, 0, 0, 0, 0]);
const ABORT_RECORD = Buffer.from(COMMIT_RECORD).fill(0, 8, 9);

function int64At(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
}

function putInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}

function controlBatch(producerId: number, epoch: number, commit: boolean, timestampMs: number): Buffer {
  const body = commit ? COMMIT_RECORD : ABORT_RECORD;
  const bytes = Buffer.allocUnsafe(61 + body.length);
  bytes.writeInt32BE(49 + body.length, 8);
  bytes[16] = 2;
  bytes.writeInt16BE(0x30, 21);
  bytes.writeInt32BE(0, 23);
  putInt64(bytes, timestampMs, 27);
  putInt64(bytes, timestampMs, 35);
  putInt64(bytes, producerId, 43);
  bytes.writeInt16BE(epoch, 51);
  bytes.writeInt32BE(-1, 53);
  bytes.writeInt32BE(1, 57);
  bytes.set(body, 61);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return bytes;
}
