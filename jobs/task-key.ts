// Owns reading the key of a task back into the task. Names of jobs and runs hold no dots, so there is one way to read it.

import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { invariant } from '#runtime/std/errors.ts';

/** The reverse of `assignmentKey`. */
export function taskOf(key: string): TaskAssignment {
  const parts = key.split('.');
  invariant(parts.length >= 5, `'${key}' is no key of a task`);
  const [job, run, generation] = parts;
  const stage = parts.slice(3, -1).join('.');
  return { job, run, generation: Number(generation), stage, partition: Number(parts.at(-1)) };
}
