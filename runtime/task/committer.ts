// Owns getting one entry's transaction into the log exactly once (ARCHITECTURE §3.6): send, and on any failure become
// ready again, read what the log says, and either go on or send the same records anew. Holds one transaction at most.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { LogWriter, StagedBatch, TopicPartition } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type CommitLogContent, type CommitLogPlace, readCommitLog } from '#runtime/task/commit-log.ts';
import { entryBatch, type WrittenEntry } from '#runtime/task/entry.ts';
import {
  stoppedWhile,
  superseded,
  type TaskEnvironment,
  taskName,
  transactionalId,
} from '#runtime/task/task-environment.ts';

const RETRY_PAUSE_MS = 200;
/** Every so many failures in a row are told again. */
const TELL_EVERY = 25;

export interface CommitterStatus {
  readonly transactionsFailed: number;
  /** What the committer waits for, null when nothing. */
  readonly waitingFor: string | null;
}

interface Sealed {
  readonly written: WrittenEntry;
  readonly previousChainHash: string;
  readonly batches: readonly StagedBatch[];
}

export interface CommitterPlan {
  readonly identity: TaskIdentity;
  readonly place: CommitLogPlace;
  /** Every partition the task may write, its commit log included. */
  readonly outputs: readonly TopicPartition[];
  /** Told of what failed, and of what the log had left out. @default nobody is */
  readonly happened?: (what: string, by: number) => void;
}

export class Committer {
  transactionsFailed = 0;
  waitingFor: string | null = null;
  readonly #environment: TaskEnvironment;
  readonly #identity: TaskIdentity;
  readonly #place: CommitLogPlace;
  readonly #signal: AbortSignal;
  readonly #writer: LogWriter;
  readonly #happened: (what: string, by: number) => void;
  #expectedOffset = -1n;

  constructor(environment: TaskEnvironment, plan: CommitterPlan, signal: AbortSignal) {
    this.#environment = environment;
    this.#identity = plan.identity;
    this.#place = plan.place;
    this.#signal = signal;
    this.#happened = plan.happened ?? (() => {});
    this.#writer = environment.log.writer(transactionalId(plan.identity), plan.outputs);
  }

  /** The first step of an attempt: shuts out every older instance and reads what it left. Waits while the log is away. */
  async takeOver(): Promise<CommitLogContent> {
    await this.#fence();
    return this.#readLog();
  }

  async #readLog(): Promise<CommitLogContent> {
    const content = await this.#persist('read the commit log', () =>
      readCommitLog({ ...this.#environment, signal: this.#signal }, this.#place),
    );
    this.#expectedOffset = content.end;
    return content;
  }

  /** Commits the entry with its output; its offset in the commit log. Throws when the attempt must end. */
  async commit(written: WrittenEntry, previousChainHash: string, batches: readonly StagedBatch[]): Promise<bigint> {
    const sealed: Sealed = { written, previousChainHash, batches };
    let foreign = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        const offset = await this.#transact(sealed);
        this.waitingFor = null;
        return offset;
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        // Once, an unexpected offset may come of a marker that an older writer of ours had sent, and that came late.
        if (!error.retryable && !(error.code === 'foreign-writer' && ++foreign === 1)) throw error;
        this.transactionsFailed++;
        this.#happened('transactions-failed', 1);
        this.#tell(error, written.entry.number, attempt);
      }
      const offset = await this.#committedAt(sealed);
      if (offset !== null) {
        this.waitingFor = null;
        return offset;
      }
      // As often as it takes: a broker that is down comes back, and a restart of the task would only replay.
      await this.#environment.clock.sleep(Math.min(RETRY_PAUSE_MS, 10 * attempt), this.#signal);
      this.#checkStopped();
    }
  }

  async #transact({ written, batches }: Sealed): Promise<bigint> {
    const entry = entryBatch(written, this.#place.topic, this.#place.partition);
    const result = await this.#writer.transact({ batches, entry, expectedEntryOffset: this.#expectedOffset });
    this.#expectedOffset = result.nextEntryOffset;
    this.#tellEnded(result.endedByHand);
    return result.entryOffset;
  }

  #tell(error: StreamError, entry: number, attempt: number): void {
    this.waitingFor = `commit entry ${entry}: ${error.message}`;
    // Whoever ended the attempt was told why; nobody reads the fate any more.
    if (this.#signal.aborted || (attempt > 3 && attempt % TELL_EVERY !== 0)) return;
    this.#environment.logger.warn(
      { task: taskName(this.#identity), entry, code: error.code, attempt, remedy: error.remedy },
      `transaction failed: ${error.message}; reading its fate from the commit log`,
    );
  }

  // Ready again, then the truth: where the entry is, null when it was not committed and has to be sent again.
  async #committedAt({ written, previousChainHash }: Sealed): Promise<bigint | null> {
    await this.#initialiseAgain();
    const last = (await this.#readLog()).entries.at(-1);
    if (last !== undefined && last.chainHash === written.chainHash) return last.offset;
    if (last === undefined ? written.entry.number === 0 : last.chainHash === previousChainHash) return null;
    throw new StreamError(
      'writer-fenced',
      `task ${taskName(this.#identity)}: the commit log ends with entry ${last?.entry.number} of another instance`,
      'none needed: the other instance goes on, this one ends',
    );
  }

  async #initialiseAgain(): Promise<void> {
    try {
      this.#tellEnded(await this.#persist('initialise the writer again', () => this.#writer.initialiseAgain()));
      return;
    } catch (error) {
      if (!(error instanceof StreamError) || error.code !== 'writer-fenced') throw error;
    }
    // Fenced: somebody else, or an own ghost or time-out. Membership decides; then once with -1/-1.
    await this.#checkOwner();
    await this.#fence();
  }

  // Whoever fences has asked before who owns the task, and may have been stopped since: asked again, because whoever
  // owns it later fences later, and nothing of ours gets in behind it.
  async #fence(): Promise<void> {
    this.#tellEnded(await this.#persist('fence', () => this.#writer.fence()));
    await this.#checkOwner();
  }

  #tellEnded(partitions: number): void {
    if (partitions === 0) return;
    this.#happened('transaction-ends-written', partitions);
    const task = taskName(this.#identity);
    const what = `the log had left out the end of a transaction in ${partitions} partitions; it is written now`;
    this.#environment.logger.warn({ task, partitions }, what);
  }

  async #checkOwner(): Promise<void> {
    const owns = await this.#persist('ask who owns the task', () => this.#environment.ownership.owns(this.#identity));
    if (!owns) throw superseded(this.#identity);
  }

  // Repeats while the log is away, however long: state and staged records are kept. Anything else ends it.
  async #persist<T>(what: string, action: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; failures++) {
      this.#checkStopped();
      try {
        const result = await action();
        if (failures > 0) this.waitingFor = null;
        return result;
      } catch (error) {
        const passing = error instanceof StreamError && PASSING.has(error.code);
        if (!passing) throw error;
        this.waitingFor = `${what}: ${error.message}`;
        if (failures % TELL_EVERY === 1) {
          this.#environment.logger.warn(
            { task: taskName(this.#identity), code: error.code, remedy: error.remedy },
            `waiting to ${this.waitingFor}`,
          );
        }
        await this.#environment.clock.sleep(RETRY_PAUSE_MS, this.#signal);
      }
    }
  }

  #checkStopped(): void {
    if (this.#signal.aborted) throw stoppedWhile(`waiting to ${this.waitingFor ?? 'reach the log'}`);
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }
}

const PASSING = new Set<string>(['log-unavailable', 'log-timeout', 'log-protocol', 'writer-dead', 'disk-failed']);
