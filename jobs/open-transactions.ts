// Owns ending what a slot that died left open: a transaction holds back every reader of its partitions until somebody
// initialises its id or its time is over. The tasks do that themselves when they are back; this is sooner.

import type { LogClient } from '#runtime/log/contract.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { transactionalId } from '#runtime/task/task-environment.ts';

/** Begins it for all tasks; what fails is left to them. */
export function endOpenTransactions(log: LogClient, namespace: string, tasks: readonly TaskAssignment[]): void {
  // A transaction of the embedded log is there whole or not at all.
  if (log.kind === 'embedded') return;
  for (const task of tasks) {
    const writer = log.writer(transactionalId({ namespace, ...task }));
    const done = writer.abortOpen().catch(() => {});
    done.then(() => writer.close());
  }
}
