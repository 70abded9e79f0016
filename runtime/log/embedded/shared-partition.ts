// Owns the few numbers of a partition that the writer thread publishes and readers look at without a message: log
// start, committed end, whether the topic is gone, whether a reader waits. Only the writer thread writes the first
// three. Invariant: everything below `end` is completely in the segment files before `end` is published.

const SHARED_BYTES = 24;
const LOG_START = 0;
const END = 1;
const DELETED = 4;
const WAITING = 5;

export class SharedPartition {
  readonly buffer: SharedArrayBuffer;
  readonly #offsets: BigInt64Array;
  readonly #flags: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(SHARED_BYTES)) {
    this.buffer = buffer;
    this.#offsets = new BigInt64Array(buffer, 0, 2);
    this.#flags = new Int32Array(buffer);
  }

  get logStart(): bigint {
    return Atomics.load(this.#offsets, LOG_START);
  }

  set logStart(offset: bigint) {
    Atomics.store(this.#offsets, LOG_START, offset);
  }

  /** Offset after the last committed record. */
  get end(): bigint {
    return Atomics.load(this.#offsets, END);
  }

  set end(offset: bigint) {
    Atomics.store(this.#offsets, END, offset);
  }

  get deleted(): boolean {
    return Atomics.load(this.#flags, DELETED) === 1;
  }

  markDeleted(): void {
    Atomics.store(this.#flags, DELETED, 1);
  }

  /** A reader calls this and looks again before it sleeps: either it sees the new end or the writer sees the wish. */
  askForWake(): void {
    Atomics.store(this.#flags, WAITING, 1);
  }

  takeWakeWish(): boolean {
    return Atomics.exchange(this.#flags, WAITING, 0) === 1;
  }
}
