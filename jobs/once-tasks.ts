// Owns tasks that run in the slots of this process to their end, by themselves, while their job is held: replays of a
// version that crashed, trials of one that is to come. Invariant: what becomes of them concerns no one else.

import type { JobAssignment } from '#jobs/process-settings.ts';
import { assignmentKey, type TaskAssignment } from '#runtime/slot/messages.ts';
import type { SlotPool } from '#runtime/slot/slot-pool.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export class OnceTasks {
  readonly #open = new Map<string, (failure: Failure | null) => void>();

  /** What the first of them failed of, when none runs any more; null: none did. */
  async run(
    pool: SlotPool,
    plan: JobAssignment,
    tasks: readonly TaskAssignment[],
    parallelism: number,
  ): Promise<Failure | null> {
    const { name } = plan.configuration;
    const ends = tasks.map((task) => {
      return new Promise<Failure | null>((resolve) => this.#open.set(assignmentKey(task), resolve));
    });
    pool.tellAll({ kind: 'plan', job: name, plan });
    pool.start(tasks, parallelism);
    const failures = (await Promise.all(ends)).filter((failure) => failure !== null);
    return failures[0] ?? null;
  }

  has(task: TaskAssignment): boolean {
    return this.#open.has(assignmentKey(task));
  }

  /** False: it is none of these. */
  ended(task: TaskAssignment, failure: Failure | null = null): boolean {
    const key = assignmentKey(task);
    const end = this.#open.get(key);
    this.#open.delete(key);
    end?.(failure);
    return end !== undefined;
  }

  /** The process ends: nobody is to wait any more. */
  abandon(failure: Failure): void {
    for (const end of this.#open.values()) end(failure);
    this.#open.clear();
  }
}

export function processEnds(): Failure {
  const remedy = 'none needed: the next process goes on with the change';
  return { code: 'request-interrupted', message: 'the process ends', remedy, stack: '' };
}
