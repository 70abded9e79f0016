// Owns how the tasks of a slot learn whether they are still this process's: the main thread is asked, which is the member
// of the group. Invariant: every question ends with the answer that was given to it, also when that is that nobody knows.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { FromSlot, TaskAssignment } from '#runtime/slot/messages.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type Ownership, taskName } from '#runtime/task/task-environment.ts';

export class AskedOwnership implements Ownership {
  readonly #say: (message: FromSlot) => void;
  readonly #open = new Map<number, (owned: boolean | null) => void>();
  #next = 1;

  constructor(say: (message: FromSlot) => void) {
    this.#say = say;
  }

  /** Error: log-unavailable when the main thread cannot find out. */
  async owns(identity: TaskIdentity): Promise<boolean> {
    const question = this.#next++;
    const answer = new Promise<boolean | null>((resolve) => this.#open.set(question, resolve));
    this.#say({ kind: 'owns', question, assignment: assignmentOf(identity) });
    const owned = await answer;
    if (owned !== null) return owned;
    throw new StreamError(
      'log-unavailable',
      `task ${taskName(identity)}: whether it is still this process's cannot be found out`,
      'look at the log; it is asked again',
    );
  }

  /** @param owned null: it cannot be found out now */
  answered(question: number, owned: boolean | null): void {
    this.#open.get(question)?.(owned);
    this.#open.delete(question);
  }
}

function assignmentOf({ job, run, generation, stage, partition }: TaskIdentity): TaskAssignment {
  return { job, run, generation, stage, partition };
}
