// Owns what is known of the tasks of each job between its start and its end: how many run, how many take input, when all
// do, when none does any more. Starts and stops nothing. Invariant: every wait ends.

import { assignmentKey, type TaskAssignment } from '#runtime/slot/messages.ts';

/** `live`: every task took input once; `ended`: that will not come. */
export type RunProgress = 'live' | 'ended';

export class JobRun {
  readonly taskCount: number;
  readonly #live = new Set<string>();
  readonly #ended = new Set<string>();
  readonly #allLive = Promise.withResolvers<RunProgress>();
  readonly #allEnded = Promise.withResolvers<void>();

  constructor(taskCount: number) {
    this.taskCount = taskCount;
    if (taskCount === 0) this.#allLive.resolve('live');
    if (taskCount === 0) this.#allEnded.resolve();
  }

  get liveCount(): number {
    return this.#live.size;
  }

  get endedCount(): number {
    return this.#ended.size;
  }

  get over(): boolean {
    return this.#ended.size >= this.taskCount;
  }

  get allLive(): Promise<RunProgress> {
    return this.#allLive.promise;
  }

  get allEnded(): Promise<void> {
    return this.#allEnded.promise;
  }

  hasEnded(task: TaskAssignment): boolean {
    return this.#ended.has(assignmentKey(task));
  }

  live(task: TaskAssignment): void {
    this.#live.add(assignmentKey(task));
    if (this.#live.size >= this.taskCount) this.#allLive.resolve('live');
  }

  ended(task: TaskAssignment): void {
    this.#ended.add(assignmentKey(task));
    this.#allLive.resolve('ended');
    if (this.over) this.#allEnded.resolve();
  }

  /** The process ends: nobody is to wait any more. */
  abandoned(): void {
    this.#allLive.resolve('ended');
    this.#allEnded.resolve();
  }
}
