// Owns the seams at which the state of a running attempt is watched: its operators and its checkpoints. Contracts are
// used from outside; the product knows nothing of it and behaves as without.

import type {
  CheckpointManifest,
  CheckpointMoment,
  PendingCheckpoint,
  StateFit,
  TaskCheckpoints,
} from '#checkpoint/contract.ts';
import { FileTaskCheckpoints, type TaskCheckpointsOptions } from '#checkpoint/task-checkpoints.ts';
import type { Operator, OperatorContext, StageProgram } from '#runtime/task/contract.ts';
import type { AttemptTrace, CapturedState } from '#test/simulation/attempt-trace.ts';
import type { Coverage } from '#test/simulation/coverage.ts';
import { codeOf } from '#test/simulation/generation.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';

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
  /** Which of the workload's versions runs. */
  readonly code: number;
  /** Before it looks at what is there. */
  readonly restores: () => void;
  readonly published: (state: CapturedState) => void;
  /** Before files are deleted because an entry listed them. */
  readonly listedDeleted: (files: readonly string[]) => void;
  readonly violated: (violation: Violation) => void;
}

export class WatchedCheckpoints extends FileTaskCheckpoints {
  readonly trace: AttemptTrace;
  readonly #watch: CheckpointWatch;

  constructor(options: TaskCheckpointsOptions, trace: AttemptTrace, watch: CheckpointWatch) {
    super(options);
    this.trace = trace;
    this.#watch = watch;
  }

  override async restore(
    accept: (manifest: CheckpointManifest) => boolean,
    fit?: StateFit,
  ): ReturnType<TaskCheckpoints['restore']> {
    this.#watch.restores();
    const restored = await super.restore((manifest) => {
      const accepted = accept(manifest);
      if (!accepted) this.#watch.coverage.add('checkpoint of another chain refused');
      return accepted;
    }, fit);
    const { manifest } = restored;
    if (manifest !== null) {
      const { entry, chainHash, digest, watermarkMs, clockMs } = manifest;
      this.trace.restored = { entry, chainHash, digest, watermarkMs, clockMs };
      const now = this.digest();
      // Another version may keep it otherwise.
      if (now !== digest && codeOf(manifest.version) === this.#watch.code) {
        this.#watch.violated(new Violation('digest', `restored ${digest} of entry ${entry} and got ${now}`));
      }
    }
    return restored;
  }

  override capture(moment: CheckpointMoment): PendingCheckpoint {
    const pending = super.capture(moment);
    const { entry, chainHash, watermarkMs, clockMs } = moment;
    return {
      advance: (bytesMax) => pending.advance(Math.min(bytesMax, this.#watch.sliceBytes)),
      get writtenBytes() {
        return pending.writtenBytes;
      },
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

  override deleteListed(files: readonly string[]): Promise<void> {
    this.#watch.listedDeleted(files);
    return super.deleteListed(files);
  }
}
