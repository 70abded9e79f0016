// Owns comparing the state of a task after a restart with what it was at the same entry before: the checkpoints of the
// product, with a look at the digest whenever the task is between two entries.

import { FileTaskCheckpoints, type TaskCheckpointsOptions } from '#checkpoint/task-checkpoints.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';

/** Of one task, by entry. */
export type StateDigests = Map<number, string>;

export interface StateComparison {
  readonly task: string;
  readonly digests: StateDigests;
  readonly status: () => TaskStatus;
}

export class ComparedCheckpoints extends FileTaskCheckpoints {
  readonly #comparison: StateComparison;
  #compared = -1;

  constructor(options: TaskCheckpointsOptions, comparison: StateComparison) {
    super(options);
    this.#comparison = comparison;
  }

  override async restore(...how: Parameters<FileTaskCheckpoints['restore']>) {
    const restored = await super.restore(...how);
    if (restored.manifest !== null) this.#compare(restored.manifest.entry);
    return restored;
  }

  /** The task calls it between entries: behind every replayed one, behind every committed one. */
  override async relieve(): Promise<void> {
    await super.relieve();
    const { phase, entry, replayedEntries } = this.#comparison.status();
    // While entries are replayed `entry` is the one it began at.
    this.#compare(phase === 'replaying' ? entry + replayedEntries + 1 : entry);
  }

  #compare(entry: number): void {
    if (entry === this.#compared) return;
    this.#compared = entry;
    const { task, digests } = this.#comparison;
    const digest = this.digest();
    const before = digests.get(entry);
    digests.set(entry, digest);
    if (before === undefined || before === digest) return;
    throw new StreamError(
      'replay-diverged',
      `task ${task}: its state at entry ${entry} is another than before the restart`,
      'look for a function that keeps a memory of its own or changes a state in place, and for a codec that does not read what it wrote',
    );
  }
}
