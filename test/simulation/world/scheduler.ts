// Owns virtual time and the order of everything that happens: one event per step, then one turn of the event loop in
// which all promises settle. Nothing else in the world may wait, so the same seed gives the same steps.

/** One thing that will happen. */
export interface ScheduledEvent {
  readonly timeMs: number;
  readonly order: number;
  readonly label: string;
  readonly owner: EventOwner | null;
  action: (() => void) | null;
}

/** Whoever an event happens to: it may be dead by then, or stopped for a while. */
export interface EventOwner {
  readonly id: number;
  readonly alive: boolean;
  readonly pausedUntilMs: number;
  /** Called before an event of its own; may kill it. */
  beforeEvent(): void;
}

/** Why `run` came back. */
export type RunEnd = 'done' | 'idle' | 'steps';

/** Steps per turn of the real event loop: promises settle between any two immediates anyway. */
const STEPS_PER_TURN = 64;

export class Scheduler {
  nowMs = 0;
  steps = 0;
  /** Receives every step; for a person who looks into one seed. */
  watch: ((timeMs: number, owner: EventOwner | null, label: string) => void) | null = null;
  readonly #heap: ScheduledEvent[] = [];
  readonly #labels = new Map<string, number>();
  readonly #time = new Float64Array(1);
  readonly #timeBits = new Uint32Array(this.#time.buffer);
  #order = 0;
  #hashA = 0x811c9dc5;
  #hashB = 0x1b873593;
  #failure: unknown = null;

  /** Lets `action` happen after `delayMs`; if `owner` is dead by then it does not, if it is stopped it happens later. */
  schedule(delayMs: number, label: string, owner: EventOwner | null, action: () => void): ScheduledEvent {
    const event = { timeMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, label, owner, action };
    this.#push(event);
    return event;
  }

  cancel(event: ScheduledEvent): void {
    event.action = null;
  }

  /** When the next thing will happen, Infinity when nothing will. */
  get nextMs(): number {
    for (let event = this.#heap.at(0); event !== undefined; event = this.#heap.at(0)) {
      if (event.action !== null && event.owner?.alive !== false) return event.timeMs;
      this.#pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Steps until `done()`, until nothing is left to happen, or for `stepsMax` steps. What an event throws comes out. */
  run(done: () => boolean = () => false, stepsMax = Number.POSITIVE_INFINITY): Promise<RunEnd> {
    const last = this.steps + stepsMax;
    return new Promise((resolve, reject) => {
      let ended = false;
      const end = (how: RunEnd) => {
        ended = true;
        if (this.#failure !== null) reject(this.#failure);
        else resolve(how);
      };
      const one = () => {
        if (ended) return;
        if (this.#failure !== null || done()) end('done');
        else if (this.steps >= last) end('steps');
        else if (!this.#step()) end('idle');
      };
      const turn = () => {
        if (ended) return;
        for (let i = 0; i < STEPS_PER_TURN; i++) setImmediate(one);
        setImmediate(turn);
      };
      turn();
    });
  }

  /** Makes `run` reject: for faults found by the world itself. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** Adds a number to the trace: whatever must be the same for the same seed. */
  mix(value: number): void {
    this.#hashA = Math.imul(this.#hashA ^ value, 0x01000193);
    this.#hashB = Math.imul(this.#hashB ^ (this.#hashA >>> 15) ^ value, 0x5bd1e995);
  }

  traceHash(): string {
    const hex = (value: number) => (value >>> 0).toString(16).padStart(8, '0');
    return hex(this.#hashA) + hex(this.#hashB);
  }

  #step(): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === null) return false;
      const { owner } = event;
      if (event.action === null || owner?.alive === false) continue;
      this.nowMs = event.timeMs;
      if (owner !== null && owner.pausedUntilMs > this.nowMs) {
        this.#push(Object.assign(event, { timeMs: owner.pausedUntilMs, order: this.#order++ }));
        continue;
      }
      if (owner !== null) {
        owner.beforeEvent();
        if (!owner.alive) return true;
      }
      this.steps++;
      this.#trace(event);
      try {
        event.action();
      } catch (error) {
        this.fail(error);
      }
      return true;
    }
  }

  #trace(event: ScheduledEvent): void {
    let label = this.#labels.get(event.label);
    if (label === undefined) {
      label = 0;
      for (let i = 0; i < event.label.length; i++) label = (Math.imul(label, 31) + event.label.charCodeAt(i)) | 0;
      this.#labels.set(event.label, label);
    }
    this.#time[0] = event.timeMs;
    this.mix(label);
    this.mix(event.owner?.id ?? -1);
    this.mix(this.#timeBits[0]);
    this.mix(this.#timeBits[1]);
    if (this.watch !== null) this.watch(event.timeMs, event.owner, event.label);
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): ScheduledEvent | null {
    const heap = this.#heap;
    if (heap.length === 0) return null;
    const top = heap[0];
    const last = heap.pop()!;
    const size = heap.length;
    if (size === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);
}
