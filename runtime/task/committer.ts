// Owns getting one entry's transaction into the log exactly once (ARCHITECTURE §3.6): send, and on any failure become
// ready again, read what the log says, and either go on or send the same records anew. Holds at most one transaction.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { LogWriter, StagedBatch } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type CommitLogPlace, readCommitLog } from '#runtime/task/commit-log.ts';
import { entryBatch, type WrittenEntry } from '#runtime/task/entry.ts';
import { type TaskEnvironment, taskName, transactionalId } from '#runtime/task/task-environment.ts';

const RETRY_PAUSE_MS = 200;
/** Whole-transaction failures in a row on the same records before the task gives up. */
const SAME_RECORDS_ATTEMPTS_MAX = 50;

export interface CommitterStatus {
  readonly transactionsFailed: number;
  /** What the committer waits for, null when nothing. */
  readonly waitingFor: string | null;
}

export class Committer {
  transactionsFailed = 0;
  waitingFor: string | null = null;
  readonly #environment: TaskEnvironment;
  readonly #identity: TaskIdentity;
  readonly #place: CommitLogPlace;
  readonly #signal: AbortSignal;
  readonly #writer: LogWriter;
  #expectedOffset = -1n;

  constructor(environment: TaskEnvironment, identity: TaskIdentity, place: CommitLogPlace, signal: AbortSignal) {
    this.#environment = environment;
    this.#identity = identity;
    this.#place = place;
    this.#signal = signal;
    this.#writer = environment.log.writer(transactionalId(identity));
  }

  /** Shuts out every older instance; the first step of an attempt. Retries while the log is away. */
  async fence(): Promise<void> {
    await this.#persist('fence', () => this.#writer.fence());
  }

  /** Tells where the next entry goes, as read after fencing. */
  expect(offset: bigint): void {
    this.#expectedOffset = offset;
  }

  /** Commits the entry with its output; its offset in the commit log. Throws when the attempt must end. */
  async commit(written: WrittenEntry, previousChainHash: string, batches: readonly StagedBatch[]): Promise<bigint> {
    for (let attempt = 1; ; attempt++) {
      const entry = entryBatch(written, this.#place.topic, this.#place.partition);
      try {
        const result = await this.#writer.transact({ batches, entry, expectedEntryOffset: this.#expectedOffset });
        this.#expectedOffset = result.nextEntryOffset;
        return result.entryOffset;
      } catch (error) {
        if (!(error instanceof StreamError) || !error.retryable) throw error;
        this.transactionsFailed++;
        this.#environment.logger.warn(
          { task: taskName(this.#identity), entry: written.entry.number, code: error.code, attempt },
          `transaction failed: ${error.message}; reading its fate from the commit log`,
        );
        if (attempt >= SAME_RECORDS_ATTEMPTS_MAX) throw error;
        const offset = await this.#fate(written, previousChainHash);
        if (offset !== null) return offset;
        await this.#environment.clock.sleep(Math.min(RETRY_PAUSE_MS, 10 * attempt), this.#signal);
        this.#checkStopped();
      }
    }
  }

  // Ready again, then the truth: the offset of the entry when it was committed, null when it was not.
  async #fate(written: WrittenEntry, previousChainHash: string): Promise<bigint | null> {
    await this.#becomeReady();
    const content = await this.#persist('read the commit log', () =>
      readCommitLog({ ...this.#environment, signal: this.#signal }, this.#place),
    );
    this.#expectedOffset = content.end;
    const last = content.entries.at(-1);
    const { number } = written.entry;
    if (last !== undefined && last.entry.number === number && last.chainHash === written.chainHash) return last.offset;
    if (last === undefined ? number === 0 : last.entry.number === number - 1 && last.chainHash === previousChainHash) {
      return null;
    }
    throw new StreamError(
      'writer-fenced',
      `task ${taskName(this.#identity)}: the commit log ends with entry ${last?.entry.number} of another instance`,
      'none needed: the other instance goes on, this one ends',
    );
  }

  async #becomeReady(): Promise<void> {
    try {
      await this.#persist('initialise the writer again', () => this.#writer.initialiseAgain());
      return;
    } catch (error) {
      if (!(error instanceof StreamError) || error.code !== 'writer-fenced') throw error;
    }
    // Fenced: somebody else, or an own ghost or time-out. Membership decides; then once with -1/-1.
    const owns = await this.#persist('ask who owns the task', () => this.#environment.ownership.owns(this.#identity));
    if (!owns) {
      throw new StreamError(
        'superseded',
        `task ${taskName(this.#identity)} belongs to a newer process`,
        'none needed: the newer process goes on; end this one if it does not end by itself',
      );
    }
    await this.#persist('fence', () => this.#writer.fence());
  }

  // Repeats while the log is away, however long: state and staged records are kept. Anything else ends it.
  async #persist<T>(what: string, action: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; failures++) {
      try {
        const result = await action();
        this.waitingFor = null;
        return result;
      } catch (error) {
        const passing = error instanceof StreamError && PASSING.has(error.code);
        if (!passing) throw error;
        this.waitingFor = `${what}: ${error.message}`;
        if (failures % 25 === 1) {
          this.#environment.logger.warn(
            { task: taskName(this.#identity), code: error.code },
            `waiting to ${this.waitingFor}`,
          );
        }
        await this.#environment.clock.sleep(RETRY_PAUSE_MS, this.#signal);
        this.#checkStopped();
      }
    }
  }

  #checkStopped(): void {
    if (!this.#signal.aborted) return;
    throw new StreamError(
      'log-unavailable',
      `task ${taskName(this.#identity)} was stopped while the log was away`,
      'start it again',
    );
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }
}

const PASSING = new Set<string>(['log-unavailable', 'log-timeout', 'log-protocol', 'writer-dead', 'disk-failed']);
