// Owns the embedded log in the process: the lock on its directory, its writer thread, the ports to it, the retention
// clock. Lives on the main thread; slots get a port. Invariant: the directory is locked from before the first file is
// read until after the last one is closed.

import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { LogClient } from '#runtime/log/contract.ts';
import type { RoomReport } from '#runtime/log/embedded/disk-room.ts';
import { connectEmbedded } from '#runtime/log/embedded/embedded-client.ts';
import { type ControlAnswer, type ControlRequest, fromFault } from '#runtime/log/embedded/messages.ts';
import type { RetentionPolicy } from '#runtime/log/embedded/retention.ts';
import type { WriterThreadData } from '#runtime/log/embedded/writer-thread.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { type DirectoryLock, lockDirectory } from '#runtime/std/directory-lock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type Logger, silentLogger } from '#runtime/std/logger.ts';

export interface EmbeddedLogOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** @default 32 MiB */
  readonly segmentBytesMax?: number;
  /** Write-ahead log that a checkpoint empties. @default 64 MiB */
  readonly walBytesMax?: number;
  /** How often retention is enforced. @default 300000 */
  readonly retentionIntervalMs?: number;
}

const RETENTION_INTERVAL_MS = 300_000;

/**
 * Opens the log, recovering it when it was not closed. Errors: log-in-use (names the holder), directory-not-writable,
 * log-corrupt, log-unsupported, disk-failed.
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  const lock = await lockDirectory(options.directory).catch((error: StreamError) => {
    if (error.code !== 'directory-in-use') throw error;
    throw new StreamError('log-in-use', `the log's ${error.message}`, error.remedy, { cause: error });
  });
  try {
    const log = new EmbeddedLog(options, lock);
    await log.opened;
    return log;
  } catch (error) {
    lock.release();
    throw error;
  }
}

export class EmbeddedLog {
  /** @internal Settles when the writer thread has opened the log, or refused to. */
  readonly opened: Promise<void>;
  /** Resolves when the log can serve nobody any more before it was closed: the process should end. */
  readonly failure: Promise<StreamError>;
  readonly #options: EmbeddedLogOptions;
  readonly #logger: Logger;
  readonly #lock: DirectoryLock;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #closing = new AbortController();
  #full: RoomReport | null = null;
  #retention: RetentionPolicy | null = null;
  #closed: Promise<void> | null = null;

  constructor(options: EmbeddedLogOptions, lock: DirectoryLock) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#lock = lock;
    const workerData: WriterThreadData = {
      directory: options.directory,
      segmentBytesMax: options.segmentBytesMax ?? null,
      walBytesMax: options.walBytesMax ?? null,
    };
    // The published package holds JavaScript.
    const file = import.meta.url.endsWith('.ts') ? './writer-thread.ts' : './writer-thread.js';
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData, name: 'embedded-log' });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    const { promise: opened, resolve: open, reject: refuse } = Promise.withResolvers<void>();
    const { promise: failure, resolve: fail } = Promise.withResolvers<StreamError>();
    this.opened = opened;
    this.failure = failure;
    const ended = (cause?: unknown) => {
      const fault = new StreamError(
        'log-unavailable',
        `the writer thread of the embedded log ended${cause === undefined ? '' : `: ${(cause as Error).message}`}`,
        'restart the process; report this when it happens again',
        { cause },
      );
      refuse(fault);
      if (!this.#closing.signal.aborted) fail(fault);
    };
    this.#worker.on('message', (answer: ControlAnswer) => {
      if (answer.kind === 'opened') open();
      else if (answer.kind === 'refused') refuse(fromFault(answer.fault));
      else if (answer.kind === 'note') this.#note(answer.message);
      else if (answer.kind === 'room') this.#setRoom(answer.report);
      else if (answer.fault !== null) {
        this.#note(answer.fault.message);
        if (answer.kind === 'broken') fail(fromFault(answer.fault));
      }
    });
    this.#worker.on('error', ended);
    this.#worker.on('exit', () => ended());
    void opened.then(
      () => this.#enforceRetentionAgainAndAgain(),
      () => undefined,
    );
  }

  /** Set while the disk has no room for more records: what writes waits, nothing is lost. */
  get full(): RoomReport | null {
    return this.#full;
  }

  #setRoom(report: RoomReport): void {
    this.#full = report.full ? report : null;
    const { directory } = this.#options;
    const { freeBytes, neededBytes } = report;
    if (!report.full) {
      this.#logger.info({ directory, freeBytes }, 'the disk of the log has room again: what waited goes on');
      return;
    }
    const remedy = 'make room on that disk; everything goes on by itself';
    this.#logger.error({ directory, freeBytes, neededBytes, remedy }, 'the disk of the log is full: what writes waits');
    this.#enforceRetention();
  }

  /** A client for this thread. */
  client(): LogClient {
    return connectEmbedded(this.port(), { directory: this.#options.directory });
  }

  /** A port for `connectEmbedded` in a slot: one client each; transfer it to the slot's thread. */
  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#send({ kind: 'attach', port: port1 }, [port1]);
    return port2;
  }

  /** Answers what clients have sent, hangs up, checkpoints, frees the directory. A second call waits for the first. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#send({ kind: 'close' }, []);
    await this.#exited;
    this.#lock.release();
  }

  #send(request: ControlRequest, transfer: readonly MessagePort[]): void {
    this.#worker.postMessage(request, transfer);
  }

  #note(message: string): void {
    this.#logger.warn({ directory: this.#options.directory }, message);
  }

  /** What is kept beyond what topics say themselves, from now on; null, as before the first call: everything. */
  keep(policy: RetentionPolicy | null): void {
    this.#retention = policy;
    // A process that never runs until the next time would keep everything for ever.
    this.#enforceRetention();
  }

  #enforceRetention(): void {
    this.#send({ kind: 'retain', nowMs: this.#options.clock.nowMs(), policy: this.#retention }, []);
  }

  async #enforceRetentionAgainAndAgain(): Promise<void> {
    const { clock, retentionIntervalMs } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await clock.sleep(retentionIntervalMs ?? RETENTION_INTERVAL_MS, signal);
      if (!signal.aborted) this.#enforceRetention();
    }
  }
}
