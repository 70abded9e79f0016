// Owns taking and leaving the control partition, by which one process of several changes jobs: one after the other, and
// however long taking it takes. Invariant: what changes jobs exists only while the group says that it is this process's.

import type { HeldControl } from '#jobs/held-control.ts';
import type { ClaimedInstallation, JobPreparation } from '#jobs/job-preparation.ts';
import { ensurePeerToken } from '#jobs/peer-token.ts';
import type { JobState, RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import type { ControlAppender, ControlEdges, ControlRecord } from '#runtime/control/control-log.ts';
import { retryWords, runningJobs } from '#runtime/control/job-run.ts';
import type { MembershipView } from '#runtime/control/membership-view.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface ClusterControlParts {
  readonly edges: ControlEdges;
  readonly logger: Logger;
  readonly jobs: RunningJobs;
  readonly preparation: JobPreparation;
  /** Makes what changes jobs. `signal` ends when the partition is another's. */
  readonly takeControl: (claimed: ClaimedInstallation, signal: AbortSignal) => HeldControl;
  readonly view: () => MembershipView;
  /** No other process was seen, nor has this one begun: jobs that failed did so in processes that are gone. */
  readonly isFirst: () => boolean;
  /** Before changes that were left half done go on. */
  readonly taken: () => void;
  readonly left: () => void;
  /** Every job that this process has was refused: it is of no use. */
  readonly useless: () => void;
  /** This process cannot go on. */
  readonly failed: (fault: StreamError) => void;
  readonly ended: AbortSignal;
}

const AGAIN_MS = 1_000;
const GOING: readonly JobState[] = ['CREATED', 'RUNNING', 'STOPPING'];

export class ClusterControl {
  readonly #parts: ClusterControlParts;
  #held: HeldControl | null = null;
  #signal = new AbortController();
  #taking = false;
  #work: Promise<void> = Promise.resolve();

  constructor(parts: ClusterControlParts) {
    this.#parts = parts;
  }

  /** Null while it is another's, or not taken yet. */
  get held(): HeldControl | null {
    return this.#held;
  }

  /** What is written to the control log now is this process's own word. */
  get isOwnWord(): boolean {
    return this.#taking || this.#held !== null;
  }

  /** Resolves when what was begun is done. */
  get settled(): Promise<void> {
    return this.#work;
  }

  take(): void {
    this.#work = this.#work.then(() => this.#take());
  }

  leave(): Promise<void> {
    this.#signal.abort();
    this.#work = this.#work.then(async () => {
      const held = this.#held;
      this.#held = null;
      if (held === null) return;
      this.#parts.left();
      await held.close();
    });
    return this.#work;
  }

  // However long it takes: whoever has the control partition and does not take it keeps everybody from changing anything.
  async #take(): Promise<void> {
    const { ended, view } = this.#parts;
    if (this.#held !== null || ended.aborted) return;
    this.#signal = new AbortController();
    const { signal } = this.#signal;
    this.#taking = true;
    while (!signal.aborted && view().ownsControl && !(await this.#claim(signal)));
    this.#taking = false;
  }

  /** False: to be tried again. */
  async #claim(signal: AbortSignal): Promise<boolean> {
    const { edges, failed, jobs, logger, preparation, takeControl, useless, view } = this.#parts;
    try {
      const claimed = await preparation.claim(view().members.length === 1);
      if (claimed === null) {
        useless();
        return true;
      }
      await ensurePeerToken(claimed.control, edges.clock.nowMs());
      await this.#retryFailed(claimed.control);
      const held = takeControl(claimed, signal);
      this.#held = held;
      for (const job of jobs.all) job.state = stateTaken(job, claimed.control.records);
      this.#parts.taken();
      held.changes.resume();
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      if (!(error instanceof StreamError && error.retryable)) {
        failed(error instanceof StreamError ? error : memberBug(error));
        return true;
      }
      logger.warn({ code: error.code, remedy: error.remedy }, `the control log is not taken yet: ${error.message}`);
      await edges.clock.sleep(AGAIN_MS, signal);
      return false;
    }
  }

  async #retryFailed(control: ControlAppender): Promise<void> {
    const { edges, isFirst, jobs } = this.#parts;
    if (!isFirst()) return;
    const names = jobs.in('CREATED').map(({ name }) => name);
    const words = retryWords(control.records, names, edges.clock.nowMs());
    if (words.length > 0) await control.append(...words);
  }
}

/**
 * In which state whoever begins to change a job finds it: what it heard of the job may be older. A change that goes on may
 * hold the tasks, and starts them.
 */
export function stateTaken(
  { name, state, wanted }: Pick<RunningJob, 'name' | 'state' | 'wanted'>,
  records: readonly ControlRecord[],
): JobState {
  if (!GOING.includes(state)) return state;
  if (runningJobs(records).has(name)) return 'RUNNING';
  return wanted.state === 'RUNNING' ? 'CREATED' : wanted.state;
}

export function memberBug(error: unknown): StreamError {
  const message = error instanceof Error ? error.message : String(error);
  return new StreamError('internal-error', `the membership of this process ended: ${message}`, 'start it again');
}
