// Owns the seam between a running attempt and its log: what its writers send, and upon which word of who owns the task.

import type { LogClient, LogWriter, TopicPartition, Transaction, TransactionResult } from '#runtime/log/contract.ts';
import type { AttemptTrace } from '#test/simulation/attempt-trace.ts';
import type { Coverage } from '#test/simulation/coverage.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';

/** What one slot heard about who owns its tasks, by transactional id, and what it did upon it. */
export class OwnershipTrace {
  readonly #coverage: Coverage;
  readonly #violated: (violation: Violation) => void;
  /** Whether others were shut out since the word that a task is ours; nothing is known of tasks that are not here. */
  readonly #owned = new Map<string, 'heard' | 'used'>();

  constructor(coverage: Coverage, violated: (violation: Violation) => void) {
    this.#coverage = coverage;
    this.#violated = violated;
  }

  heard(id: string, owns: boolean): void {
    if (!owns && this.#owned.get(id) === 'used') this.#coverage.add('shut its successor out, and heard so');
    if (owns) this.#owned.set(id, 'heard');
    else this.#owned.delete(id);
  }

  /** A new attempt, or one that was shut out: what was heard before is worth nothing. */
  forget(id: string): void {
    this.#owned.delete(id);
  }

  /** One word will do for several tries, while the log is away. */
  fences(id: string): void {
    if (this.#owned.has(id)) this.#owned.set(id, 'used');
    else this.#violated(new Violation('ownership', `${id} shuts others out and did not hear that it owns the task`));
  }

  transacts(id: string): void {
    if (this.#owned.get(id) === 'heard') return;
    const text = `${id} begins a transaction and did not hear, since it shut others out, that it owns the task`;
    this.#violated(new Violation('ownership', text));
  }
}

export interface LogWatch {
  readonly coverage: Coverage;
  readonly ownership: OwnershipTrace;
  /** The attempt that a writer belongs to. */
  readonly traceOf: (transactionalId: string) => AttemptTrace | null;
  readonly transacts: () => void;
}

/** A log client whose writers tell what they send. */
export function watchLog(log: LogClient, watch: LogWatch): LogClient {
  const writer = (id: string, outputs?: readonly TopicPartition[]) => {
    watch.ownership.forget(id);
    return new WatchedWriter(log.writer(id, outputs), watch);
  };
  return { ...log, writer };
}

class WatchedWriter implements LogWriter {
  readonly #inner: LogWriter;
  readonly #watch: LogWatch;

  constructor(inner: LogWriter, watch: LogWatch) {
    this.#inner = inner;
    this.#watch = watch;
  }

  get transactionalId(): string {
    return this.#inner.transactionalId;
  }

  async fence(): Promise<number> {
    this.#watch.ownership.fences(this.transactionalId);
    return this.#ended(await this.#inner.fence());
  }

  #ended(partitions: number): number {
    if (partitions > 0) this.#watch.coverage.add('transaction ended by hand');
    return partitions;
  }

  async initialiseAgain(): Promise<number> {
    try {
      const ended = this.#ended(await this.#inner.initialiseAgain());
      this.#watch.coverage.add('initialised again with the own epoch');
      return ended;
    } catch (error) {
      if ((error as { code?: string }).code === 'writer-fenced') {
        this.#watch.ownership.forget(this.transactionalId);
        this.#watch.coverage.add('own epoch refused');
      }
      throw error;
    }
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.#watch.transacts();
    this.#watch.ownership.transacts(this.transactionalId);
    const trace = this.#watch.traceOf(this.transactionalId);
    if (trace !== null) this.#note(trace, transaction);
    return await this.#inner.transact(transaction);
  }

  // The entry's bytes are found by their braces: the one JSON value in a batch of one record.
  #note(trace: AttemptTrace, { entry }: Transaction): void {
    const from = entry.bytes.indexOf('{"kind"');
    const bytes = Buffer.from(entry.bytes.subarray(from, entry.bytes.lastIndexOf('}') + 1));
    const { kind, number } = JSON.parse(bytes.toString()) as { kind: string; number: number };
    if (trace.sent.some((one) => one.number === number && one.bytes.equals(bytes))) {
      this.#watch.coverage.add('same records sent again');
      return;
    }
    trace.sent.push({ number, bytes, state: kind === 'commit' ? (trace.states.at(-1) ?? null) : null });
  }

  abortOpen(): Promise<void> {
    return this.#inner.abortOpen();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
