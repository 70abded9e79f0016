// Owns what a task was told of a savepoint, and what it answered: asked for once, held until released, over all attempts
// of the task. When the task is at the cut the loop decides. Invariant: whoever asked is answered, at the latest when the
// task ends or the savepoint is released.

import type { CheckpointReference, InputPosition, TaskIdentity } from '#checkpoint/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** A task's part of a savepoint: its durable state at the cut. */
export interface SavepointPart {
  readonly identity: TaskIdentity;
  readonly version: string;
  /** The entry at which the task was cut, `checkpoint.entry`. */
  readonly checkpoint: CheckpointReference;
  readonly inputs: readonly InputPosition[];
  /** Null before the first record. */
  readonly watermarkMs: number | null;
  readonly clockMs: number;
  /** By state id. */
  readonly schemaVersions: Readonly<Record<string, number>>;
}

export interface SavepointOptions {
  /** Whether the files of the part live until the savepoint is deleted. @default true */
  readonly keep?: boolean;
  /**
   * So long the task holds without a word: whoever asked may have died. What is in its part stays true then; whoever relies on
   * nothing having come behind it looks at the task's last entry. @default 600,000
   */
  readonly holdMaxMs?: number;
}

const HOLD_MAX_MS = 600_000;

interface Asked {
  readonly id: string;
  readonly keep: boolean;
  /** Of the monotonic clock. */
  readonly untilMs: number;
  readonly answered: PromiseWithResolvers<SavepointPart>;
}

export class TaskSavepoint {
  readonly #task: string;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #asked: Asked | null = null;
  #wake: () => void = () => {};

  /** @param task its name, for people */
  constructor(task: string, clock: Pick<Clock, 'monotonicMs'>) {
    this.#task = task;
    this.#clock = clock;
  }

  /** The savepoint that the task is to be cut for, or held for; null: none. */
  get wanted(): string | null {
    return this.#asked?.id ?? null;
  }

  /** Whether the part is to outlive the checkpoints of the task. */
  get keep(): boolean {
    return this.#asked?.keep ?? false;
  }

  /**
   * Asks for the task's part of savepoint `id`; asked again, the same answer. The task holds from then on until `release`,
   * whatever the answer was. Error savepoint-failed.
   */
  ask(id: string, { keep = true, holdMaxMs = HOLD_MAX_MS }: SavepointOptions = {}): Promise<SavepointPart> {
    if (this.#asked?.id === id) return this.#asked.answered.promise;
    if (this.#asked !== null) return Promise.reject(this.#failed(id, `still holds for savepoint ${this.#asked.id}`));
    const answered = Promise.withResolvers<SavepointPart>();
    // Whoever asked may have gone: the supervisor does not fall over it.
    answered.promise.catch(() => {});
    this.#asked = { id, keep, untilMs: this.#clock.monotonicMs() + holdMaxMs, answered };
    this.#wake();
    return answered.promise;
  }

  /** The savepoint is done, or has failed: the task goes on. Another id than the one asked for changes nothing. */
  release(id: string): void {
    if (this.#asked?.id === id) this.#forget(this.#asked, 'was released before it had answered');
  }

  /** Goes on when nobody said a word for too long; true then. To be called now and then. */
  expire(): boolean {
    if (this.#asked === null || this.#clock.monotonicMs() < this.#asked.untilMs) return false;
    this.#forget(this.#asked, 'was held for as long as it may be');
    return true;
  }

  /** An attempt listens from now on; `wake` is called when something was said. */
  begin(wake: () => void): void {
    this.#wake = wake;
  }

  answer(id: string, part: SavepointPart): void {
    if (this.#asked?.id === id) this.#asked.answered.resolve(part);
  }

  fail(id: string, why: string, cause?: unknown): void {
    if (this.#asked?.id === id) this.#asked.answered.reject(this.#failed(id, why, cause));
  }

  /** The task ended. */
  end(): void {
    if (this.#asked !== null) this.#forget(this.#asked, 'ended before it had answered');
  }

  #forget({ id, answered }: Asked, why: string): void {
    this.#asked = null;
    answered.reject(this.#failed(id, why));
    this.#wake();
  }

  #failed(id: string, why: string, cause?: unknown): StreamError {
    return new StreamError(
      'savepoint-failed',
      `savepoint ${id}: task ${this.#task} ${why}`,
      'take another one; the job goes on as if this one had never been asked for',
      { cause },
    );
  }
}
