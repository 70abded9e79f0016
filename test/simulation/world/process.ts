// Owns the notion of an operating system's process in the simulation: everything it waits for is an event of its own,
// so it can be killed (nothing it waits for ever happens, nothing it does later has an effect) or stopped for a while
// (SIGSTOP: what it waits for happens later, what it sent goes on).

import { StreamError } from '#runtime/std/errors.ts';
import type { Operations } from '#test/simulation/world/operations.ts';
import type { EventOwner, Scheduler } from '#test/simulation/world/scheduler.ts';

export class Process implements EventOwner {
  readonly id: number;
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly startedMs: number;
  alive = true;
  pausedUntilMs = 0;
  /** What the process's clock shows beyond the world's. */
  clockOffsetMs = 0;
  /** Events that happened to it. */
  events = 0;
  /** Numbers what it does to the world; null: nobody counts. */
  operations: Operations | null = null;
  #interruptAt = Number.POSITIVE_INFINITY;
  #interrupt: () => void = () => {};
  /** Of its own: whatever waits for it is kept as long as it is. */
  readonly #never: Promise<never> = new Promise(() => {});

  constructor(scheduler: Scheduler, id: number, name: string) {
    this.scheduler = scheduler;
    this.id = id;
    this.name = name;
    this.startedMs = scheduler.nowMs;
  }

  /** kill -9. */
  kill(): void {
    this.alive = false;
  }

  /** kill -9 in place of the event that comes after `count` more of its events: every await point can be hit. */
  killAfterEvents(count: number): void {
    this.afterEvents(count, () => this.kill());
  }

  /** Calls back before the event that comes after `count` more of its events; the last call counts. */
  afterEvents(count: number, callback: () => void): void {
    this.#interruptAt = this.events + count + 1;
    this.#interrupt = callback;
  }

  /** SIGSTOP, and SIGCONT after `ms`. */
  pause(ms: number): void {
    this.pausedUntilMs = Math.max(this.pausedUntilMs, this.scheduler.nowMs + ms);
  }

  beforeEvent(): void {
    this.events++;
    if (this.events < this.#interruptAt) return;
    this.#interruptAt = Number.POSITIVE_INFINITY;
    this.#interrupt();
  }

  /** Resolves with what `action` gives after `delayMs`; rejects when it throws a fault of the world. */
  after<T>(delayMs: number, label: string, action: () => T): Promise<T> {
    if (!this.alive) return this.#never;
    return new Promise((resolve, reject) => {
      this.scheduler.schedule(delayMs, label, this, () => {
        try {
          const value = action();
          // It may have died of it.
          if (this.alive) resolve(value);
        } catch (error) {
          if (!isWorldFault(error)) throw error;
          reject(error);
        }
      });
    });
  }

  /** The same for an operation on a disk, which is one that is numbered. */
  operate<T>(delayMs: number, label: string, action: () => T): Promise<T> {
    const crash = this.alive ? (this.operations?.begin() ?? null) : null;
    if (crash === 'before') this.operations?.crash(this);
    if (crash !== 'after') return this.after(delayMs, label, action);
    return this.after(delayMs, label, () => {
      try {
        return action();
      } finally {
        this.operations?.crash(this);
      }
    });
  }

  /** What a call of a dead process gives. */
  get never(): Promise<never> {
    return this.#never;
  }
}

function isWorldFault(error: unknown): boolean {
  return error instanceof StreamError || (error as NodeJS.ErrnoException).code !== undefined;
}
