// Owns ending what a slot that died left open: a transaction holds back every reader of its partitions until somebody
// initialises its id or its time is over. The tasks do that themselves when they are back; this is sooner.

import type { LogClient } from '#runtime/log/contract.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { transactionalId } from '#runtime/task/task-environment.ts';

export interface DeadSlot {
  readonly log: LogClient;
  readonly namespace: string;
  readonly tasks: readonly TaskAssignment[];
  /** Whether the installation is still this process's: what is open may be its successor's, at work. */
  readonly owns: () => Promise<boolean>;
}

/** Tries it for all tasks; what fails is left to them. */
export async function endOpenTransactions({ log, namespace, tasks, owns }: DeadSlot): Promise<void> {
  // A transaction of the embedded log is there whole or not at all.
  if (log.kind === 'embedded' || !(await owns().catch(() => false))) return;
  await Promise.all(
    tasks.map(async (task) => {
      const writer = log.writer(transactionalId({ namespace, ...task }));
      await writer.abortOpen().catch(() => {});
      await writer.close();
    }),
  );
}
