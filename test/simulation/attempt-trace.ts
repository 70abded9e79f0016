// Owns the seams at which a running attempt is watched: what it restored, the state at its entries, what it sent. Wraps
// contracts from outside; the product knows nothing of it and behaves as without.

import type {
  CheckpointManifest,
  CheckpointMoment,
  CheckpointReference,
  PagedState,
  PageTracker,
  PendingCheckpoint,
  TaskCheckpoints,
} from '#checkpoint/contract.ts';
import type { LogClient, LogWriter, TopicPartition, Transaction, TransactionResult } from '#runtime/log/contract.ts';
import type { Operator, OperatorContext, StageProgram } from '#runtime/task/contract.ts';
import type { Coverage } from '#test/simulation/coverage.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';

/** A state at the end of an entry. */
export interface StateAtEntry {
  /** Null where none was taken. */
  readonly digest: string | null;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

export interface SentEntry {
  readonly number: number;
  readonly bytes: Buffer;
  readonly state: StateAtEntry | null;
}

export interface CapturedState {
  readonly entry: number;
  readonly chainHash: string;
  readonly digest: string;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

/** What one attempt at a task did. */
export class AttemptTrace {
  readonly attempt: string;
  /** Number of the process it was made by. */
  readonly process: number;
  readonly digestEvery: number;
  restored: CapturedState | null = null;
  /** States at the ends of its entries, replayed ones first. */
  readonly states: StateAtEntry[] = [];
  readonly sent: SentEntry[] = [];

  constructor(attempt: string, process: number, digestEvery: number) {
    this.attempt = attempt;
    this.process = process;
    this.digestEvery = digestEvery;
  }

  get replayed(): number {
    return this.states.length - this.sent.filter((one) => one.state !== null).length;
  }
}

/** The operator that stands behind all others of a stage: when an entry ends its state is final. */
class EntryProbe implements Operator {
  readonly id = 'simulation-probe';
  readonly #coverage: Coverage;
  readonly #others: readonly Operator[];
  #context: OperatorContext | null = null;

  constructor(coverage: Coverage, others: readonly Operator[]) {
    this.#coverage = coverage;
    this.#others = others;
  }

  open(context: OperatorContext): void {
    this.#context = context;
  }

  endEntry(): void {
    const context = this.#context!;
    const watermarkMs = context.watermarkMs();
    if (this.#others.some((one) => one.nextTimerMs() <= watermarkMs)) this.#coverage.add('entry cut within a firing');
    const checkpoints = context.state;
    if (!(checkpoints instanceof WatchedCheckpoints)) return;
    const { trace } = checkpoints;
    const take = trace.digestEvery > 0 && trace.states.length % trace.digestEvery === 0;
    const digest = take ? checkpoints.digest() : null;
    trace.states.push({ digest, watermarkMs, clockMs: context.clockMs() });
  }

  process(): void {}

  nextBoundaryMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  nextTimerMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fire(): boolean {
    return true;
  }

  usesKey(): boolean {
    return false;
  }

  wantsEntry(): boolean {
    return false;
  }
}

export function watchProgram(program: StageProgram, coverage: Coverage): StageProgram {
  return { ...program, operators: [...program.operators, new EntryProbe(coverage, program.operators)] };
}

export interface CheckpointWatch {
  readonly coverage: Coverage;
  /** Bytes that a snapshot copies at once, so that it takes several slices. */
  readonly sliceBytes: number;
  readonly published: (state: CapturedState) => void;
  /** Before files are deleted because an entry listed them. */
  readonly listedDeleted: (files: readonly string[]) => void;
  readonly violated: (violation: Violation) => void;
}

export class WatchedCheckpoints implements TaskCheckpoints {
  readonly trace: AttemptTrace;
  readonly #inner: TaskCheckpoints;
  readonly #watch: CheckpointWatch;

  constructor(inner: TaskCheckpoints, trace: AttemptTrace, watch: CheckpointWatch) {
    this.#inner = inner;
    this.trace = trace;
    this.#watch = watch;
  }

  register(state: PagedState): PageTracker {
    return this.#inner.register(state);
  }

  async restore(accept: (manifest: CheckpointManifest) => boolean): ReturnType<TaskCheckpoints['restore']> {
    const restored = await this.#inner.restore((manifest) => {
      const accepted = accept(manifest);
      if (!accepted) this.#watch.coverage.add('checkpoint of another chain refused');
      return accepted;
    });
    const { manifest } = restored;
    if (manifest !== null) {
      const { entry, chainHash, digest, watermarkMs, clockMs } = manifest;
      this.trace.restored = { entry, chainHash, digest, watermarkMs, clockMs };
      const now = this.#inner.digest();
      if (now !== digest) {
        this.#watch.violated(new Violation('digest', `restored ${digest} of entry ${entry} and got ${now}`));
      }
    }
    return restored;
  }

  capture(moment: CheckpointMoment): PendingCheckpoint {
    const pending = this.#inner.capture(moment);
    const { entry, chainHash, watermarkMs, clockMs } = moment;
    return {
      advance: (bytesMax) => pending.advance(Math.min(bytesMax, this.#watch.sliceBytes)),
      get heldBytes() {
        return pending.heldBytes;
      },
      writeSegments: () => pending.writeSegments(),
      publish: async (entryOffset) => {
        const reference = await pending.publish(entryOffset);
        this.#watch.published({ entry, chainHash, digest: reference.digest, watermarkMs, clockMs });
        return reference;
      },
      abandon: () => pending.abandon(),
    };
  }

  digest(): string {
    return this.#inner.digest();
  }

  get sizeBytes(): number {
    return this.#inner.sizeBytes;
  }

  kept(): readonly CheckpointReference[] {
    return this.#inner.kept();
  }

  oldestKept(): CheckpointManifest | null {
    return this.#inner.oldestKept();
  }

  confirm(reference: CheckpointReference): void {
    this.#inner.confirm(reference);
  }

  dead(): readonly string[] {
    return this.#inner.dead();
  }

  deleteListed(files: readonly string[]): Promise<void> {
    this.#watch.listedDeleted(files);
    return this.#inner.deleteListed(files);
  }

  deleteOrphans(): Promise<void> {
    return this.#inner.deleteOrphans();
  }
}

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
    const at = trace.sent.findLastIndex((one) => one.bytes.equals(bytes));
    if (at >= 0) {
      this.#watch.coverage.add('same records sent again');
      return;
    }
    const { kind, number } = JSON.parse(bytes.toString()) as { kind: string; number: number };
    trace.sent.push({ number, bytes, state: kind === 'commit' ? (trace.states.at(-1) ?? null) : null });
  }

  abortOpen(): Promise<void> {
    return this.#inner.abortOpen();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
