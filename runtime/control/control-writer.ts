// Owns writing the control log while jobs run: one record after the other, each until it is known to be there. A log that
// is away is waited for. Invariant: what `append` resolved for is in the log once, and nothing is written by a process that
// is not the owner any more.

import {
  type ControlAppender,
  type ControlEdges,
  ControlLog,
  type ControlRecord,
} from '#runtime/control/control-log.ts';
import type { LogAdmin } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface ControlWriterParts {
  readonly edges: ControlEdges;
  readonly processId: string;
  readonly logger: Logger;
  /** Ends the waiting for a log. */
  readonly signal: AbortSignal;
}

const RETRY_MS = 1_000;

export class ControlWriter implements ControlAppender {
  readonly #parts: ControlWriterParts;
  #log: ControlLog;
  /** One at a time: the log wants to be told where the next record goes. */
  #last: Promise<void> = Promise.resolve();

  /** @param log in which this process is the last owner */
  constructor(parts: ControlWriterParts, log: ControlLog) {
    this.#parts = parts;
    this.#log = log;
  }

  get records(): readonly ControlRecord[] {
    return this.#log.records;
  }

  /** All of them or none. Errors: superseded; those of a log that was away when the end came. */
  append(...records: readonly ControlRecord[]): Promise<void> {
    const written = this.#last.then(() => this.#append(records));
    this.#last = written.catch(() => {});
    return written;
  }

  /** Whether somebody else wrote since: most likely a newer owner. */
  async overtaken(admin: LogAdmin): Promise<boolean> {
    await this.#last;
    return this.#log.overtaken(admin);
  }

  async close(): Promise<void> {
    await this.#log.close();
  }

  async #append(records: readonly ControlRecord[]): Promise<void> {
    const { edges, logger, signal } = this.#parts;
    for (let tries = 1; ; tries++) {
      try {
        if (tries === 1) await this.#log.append(...records);
        else if (!(await this.#isThereAnew(records))) await this.#log.append(...records);
        return;
      } catch (error) {
        if (!(error instanceof StreamError && error.retryable) || signal.aborted) throw error;
        const { code, message, remedy } = error;
        logger.warn({ code, remedy }, `a change waits for the control log: ${message}`);
        await edges.clock.sleep(RETRY_MS, signal);
      }
    }
  }

  // What became of a write is in the log, which is looked at behind everything that may still be under way.
  async #isThereAnew(records: readonly ControlRecord[]): Promise<boolean> {
    const { edges, processId } = this.#parts;
    const before = this.#log.records.length;
    const log = await ControlLog.open(edges);
    const last = log.records.findLast((record) => record.kind === 'owner');
    if (last?.kind !== 'owner' || last.processId !== processId) {
      await log.close();
      throw new StreamError(
        'superseded',
        `a newer process of installation '${edges.namespace}' took over`,
        'none needed: the newer process goes on',
      );
    }
    await this.#log.close();
    this.#log = log;
    const texts = log.records.slice(before).map((record) => JSON.stringify(record));
    return records.every((record) => texts.includes(JSON.stringify(record)));
  }
}
