// Owns the running of a task: when an entry begins, what ends it, and its commit. One flow of control, no queue:
// back-pressure is a reader that is not polled.

import type { InputPosition } from '#checkpoint/contract.ts';
import type { PartitionReader } from '#runtime/log/contract.ts';
import type { ChainHead } from '#runtime/task/attempt-start.ts';
import type { Checkpointing } from '#runtime/task/checkpointing.ts';
import { tellClockBehind } from '#runtime/task/clock-behind.ts';
import type { Committer } from '#runtime/task/committer.ts';
import { Drain } from '#runtime/task/drain.ts';
import { type Entry, writeEntry } from '#runtime/task/entry.ts';
import { EntryClock } from '#runtime/task/entry-clock.ts';
import { Idleness } from '#runtime/task/idleness.ts';
import { newestRecordMs } from '#runtime/task/output-stage.ts';
import { SavepointHold } from '#runtime/task/savepoint-hold.ts';
import { SetAside } from '#runtime/task/set-aside.ts';
import type { SourceSchemas } from '#runtime/task/source-schemas.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { StateAnswer, StateQuestions } from '#runtime/task/state-questions.ts';
import { type TaskEnvironment, type TaskOptions, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import type { TaskMeter } from '#runtime/task/task-meter.ts';
import type { TaskSavepoint } from '#runtime/task/task-savepoint.ts';
import { Waiting } from '#runtime/task/waiting.ts';

/** Bytes consumed before other tasks and the sockets get their turn. */
const SLICE_BYTES = 512 * 1024;
/** While it holds for a savepoint, it is woken when there is something to do. */
const HOLD_LOOK_MS = 1_000;
/** An entry that is open ends for questions about its state, but not more often than this. */
const QUESTIONS_EVERY_MS = 50;

export interface LiveLoopParts {
  readonly plan: TaskPlan;
  readonly options: TaskOptions;
  readonly environment: TaskEnvironment;
  readonly runner: StageRunner;
  readonly reader: PartitionReader;
  readonly committer: Committer;
  readonly checkpointing: Checkpointing;
  readonly head: ChainHead;
  readonly topicId: string;
  readonly generation: number;
  /** Last entry in the log when the loop begins. */
  readonly lastEntry: Entry;
  readonly questions: StateQuestions;
  readonly savepoint: TaskSavepoint;
  readonly count: (counter: string, by: number) => void;
  /** What was counted so far. */
  readonly counters: ReadonlyMap<string, number>;
  readonly meter: TaskMeter;
  /** Id of the attempt. */
  readonly seed: string;
  readonly signal: AbortSignal;
}

export class LiveLoop {
  readonly #parts: LiveLoopParts;
  readonly #waiting: Waiting;
  readonly #clock: EntryClock;
  readonly #setAside: SetAside;
  readonly #hold: SavepointHold;
  readonly #drain: Drain;
  /** Null behind an exchange, whose writers say themselves when they are idle. */
  readonly #idleness: Idleness | null;
  #stopping = false;
  #open = false;
  #full = false;
  /** The next record waits for a schema. */
  #blocked = false;
  #idleSinceMs: number | null = null;
  /** Of the open entry, when it lifts the watermark. */
  #drainMs: number | null = null;
  #openedMs = 0;
  #committedMs: number;
  #lookedMs: number;
  #lastEntry: Entry;

  constructor(parts: LiveLoopParts) {
    this.#parts = parts;
    this.#lastEntry = parts.lastEntry;
    this.#waiting = new Waiting(parts.environment.clock, parts.reader);
    this.#hold = new SavepointHold({
      ...parts,
      logger: parts.environment.logger,
      wake: () => this.#waiting.wake(),
    });
    const { clock, log } = parts.environment;
    const wake = () => this.#waiting.wake();
    this.#drain = new Drain({ admin: log.admin, input: parts.plan.input, clock, signal: parts.signal, wake });
    const { rule } = parts.runner;
    const { idleGapMaxMs } = parts.options;
    this.#clock = new EntryClock(clock);
    this.#idleness = rule.kind === 'source' ? new Idleness(clock, rule.idlenessMs, idleGapMaxMs) : null;
    const nowMs = clock.monotonicMs();
    this.#committedMs = nowMs;
    this.#lookedMs = nowMs;
    this.#setAside = new SetAside(parts.counters, nowMs);
    const { logger } = parts.environment;
    tellClockBehind(parts.lastEntry.clockMs, clock.nowMs(), logger, taskName(parts.plan.identity));
  }

  stop(): void {
    this.#stopping = true;
    this.#waiting.wake();
  }

  /** Reads what is there now, fires every timer, and stops then. */
  drain(): void {
    this.#drain.begin();
  }

  /** Asks for a checkpoint now: at the end of the entry in hand. */
  checkpoint(): void {
    this.#parts.checkpointing.asked = true;
    this.#waiting.wake();
  }

  get #checkpointDue(): boolean {
    const { checkpointing } = this.#parts;
    return checkpointing.asked && !checkpointing.inProgress;
  }

  /** Runs until stopped; then every consumed record is committed and checkpointed. */
  async run(): Promise<void> {
    const { signal, runner, checkpointing, environment, questions, head } = this.#parts;
    questions.begin(() => this.#waiting.wake());
    let sliceBytes = 0;
    while (!signal.aborted) {
      const before = runner.bytesConsumed;
      this.#drainOn();
      const worked = this.#mayGoOn() && !this.#full && !this.#stopping && !this.#stale && this.#work();
      if (worked) sliceBytes += Math.max(64, runner.bytesConsumed - before);
      if (this.#sealDue()) await this.#seal();
      if (questions.pending && !this.#open) questions.answer((query) => this.#look(query));
      if (this.#stopping && !this.#open) break;
      if (this.#checkpointDue && !this.#open)
        checkpointing.makeAsked(this.#lastEntry, head.chainHash, head.offset, runner);
      if (worked && sliceBytes < SLICE_BYTES) continue;
      sliceBytes = 0;
      const asked = questions.pending && !this.#open;
      if (this.holds && !asked) await this.#waiting.wait(HOLD_LOOK_MS, true);
      else if (worked || asked || (runner.hasBatch && !this.#blocked)) await environment.breathe();
      else await this.#waiting.wait(this.#nextDeadlineMs(), this.#blocked);
      await checkpointing.relieve(signal);
      if (!this.#open) await checkpointing.makeRoom();
    }
    this.#tellSetAside(Number.POSITIVE_INFINITY);
    if (signal.aborted) return;
    await this.#hold.stop();
    await checkpointing.finish(this.#lastEntry, head.chainHash, head.offset, runner);
  }

  // Once the input is read as far as it is to be, every entry lifts the watermark.
  #drainOn(): void {
    const { runner } = this.#parts;
    if (this.#open || this.#stopping || this.holds || !this.#drain.reached(runner)) return;
    const toMs = this.#drain.nextMs(runner);
    if (toMs === null) this.stop();
    else this.#begin(null, toMs);
  }

  /** Whether it stands at its part of a savepoint. */
  get holds(): boolean {
    return !this.#open && this.#hold.isAt(this.#lastEntry);
  }

  // False when no input is to be taken: the task holds for a savepoint, or its entry is to end for one.
  #mayGoOn(): boolean {
    const hold = this.#hold;
    // Nothing was looked at meanwhile.
    if (hold.ended()) this.#idleness?.interrupted();
    if (this.holds) hold.hold(this.#lastEntry);
    else if (hold.dueBehind(this.#lastEntry) === null) return true;
    else if (!this.#open && !this.#stopping) this.#begin(null);
    return false;
  }

  // Consumes what is at hand; false when there was nothing.
  #work(): boolean {
    const { runner, reader, plan, environment } = this.#parts;
    const idleness = this.#idleness;
    if (this.#blocked) return this.#blockedTick();
    if (!runner.hasBatch) {
      const batch = reader.poll();
      if (batch !== null) {
        if (batch.nextOffset <= runner.inputOffset) {
          batch.release();
          return true;
        }
        runner.take(batch, plan.input.topic, plan.input.partition);
      }
    }
    const unfinished = !this.#open && runner.firingUnfinished;
    if (!runner.hasBatch && !unfinished) return this.#idleTick();
    if (runner.hasBatch) idleness?.interrupted();
    const startMs = environment.clock.monotonicMs();
    if (!this.#open) this.#begin(null);
    if (runner.hasBatch && !this.#full) {
      this.#full = !runner.consume(null) || runner.full || runner.bytesConsumed >= this.#parts.options.commitBytesMax;
    }
    this.#worked(environment.clock.monotonicMs() - startMs);
    if (runner.schemas !== null && runner.schemas.waitsFor !== null) this.#block(runner.schemas);
    return true;
  }

  #block(schemas: SourceSchemas): void {
    this.#blocked = true;
    const over = () => {
      this.#blocked = false;
      this.#waiting.wake();
    };
    schemas.settled().then(over, over);
  }

  // Input waits; what the clock owes does not.
  #blockedTick(): boolean {
    const { runner, environment, options } = this.#parts;
    this.#idleness?.interrupted();
    // Nothing is looked at, but the next look is when this one would have been.
    const nowMs = environment.clock.monotonicMs();
    if (nowMs - this.#lookedMs >= options.idleTickMs) this.#lookedMs = nowMs;
    if (this.#open || !runner.clockTimerDue(this.#clock.peek(runner.clockMs))) return false;
    this.#begin(null);
    return true;
  }

  // While idle, time itself is input: it enters the log as an entry's clock.
  #idleTick(): boolean {
    const { runner, reader, environment, options } = this.#parts;
    const idleness = this.#idleness;
    const nowMs = environment.clock.monotonicMs();
    if (nowMs - this.#lookedMs < options.idleTickMs) return false;
    this.#lookedMs = nowMs;
    if (this.#open) return false;
    const sinceMs = idleness?.observe(reader.status()) ?? null;
    const idle = idleness === null ? runner.watermark.allWritersIdle : sinceMs !== null;
    if (!runner.wantsTick(this.#clock.peek(runner.clockMs), idle, sinceMs)) return false;
    this.#begin(sinceMs);
    this.#worked(environment.clock.monotonicMs() - nowMs);
    idleness?.used();
    return true;
  }

  #worked(ms: number): void {
    this.#parts.checkpointing.worked(ms);
    this.#parts.meter.worked(ms);
  }

  #look(query: StateQuery): StateAnswer | null {
    const { runner, head, plan, environment } = this.#parts;
    const page = runner.readState(query, environment.clock);
    if (page === null) return null;
    const { valueMs } = runner.watermark;
    const watermarkMs = Number.isFinite(valueMs) ? valueMs : null;
    return { ...page, partition: plan.identity.partition, entry: head.number, watermarkMs, clockMs: runner.clockMs };
  }

  #begin(idleSinceMs: number | null, drainMs: number | null = null): void {
    const { runner, environment } = this.#parts;
    const clockMs = this.#clock.next(runner.clockMs);
    this.#idleSinceMs = idleSinceMs;
    this.#drainMs = drainMs;
    this.#open = true;
    this.#openedMs = environment.clock.monotonicMs();
    this.#full = !runner.begin({ clockMs, idleSinceMs, ...(drainMs === null ? {} : { drainMs }) });
  }

  // The machine slept, or its clock jumped: what arrives now must not be judged by the clock of before.
  get #stale(): boolean {
    const { runner, options } = this.#parts;
    return this.#open && this.#clock.isStale(runner.clockMs, options.quietIntervalMs);
  }

  #sealDue(): boolean {
    if (!this.#open) return false;
    if (this.#full || this.#stopping || this.#stale || this.#idleSinceMs !== null || this.#drainMs !== null)
      return true;
    if (this.#hold.dueBehind(this.#lastEntry) !== null) return true;
    const { options, environment, runner, questions } = this.#parts;
    const nowMs = environment.clock.monotonicMs();
    if (this.#checkpointDue || (questions.pending && nowMs >= this.#questionsMs)) return true;
    // Clock timers fire at the beginning of an entry.
    if (runner.clockTimerDue(this.#clock.peek(runner.clockMs))) return true;
    if (nowMs - this.#openedMs >= options.quietIntervalMs) return true;
    if (nowMs - this.#committedMs < options.commitIntervalMs || !runner.wantsEntry()) return false;
    return this.#paceMs() === 0;
  }

  /** When an entry ends for those who ask: they must not make transactions of everything. */
  get #questionsMs(): number {
    return this.#committedMs + Math.min(QUESTIONS_EVERY_MS, this.#parts.options.commitIntervalMs);
  }

  #paceMs(): number {
    return this.#parts.environment.pace?.waitMs() ?? 0;
  }

  #nextDeadlineMs(): number {
    const { options, environment } = this.#parts;
    const nowMs = environment.clock.monotonicMs();
    let deadlineMs = this.#lookedMs + options.idleTickMs;
    if (this.#open) {
      deadlineMs = Math.min(deadlineMs, this.#openedMs + options.quietIntervalMs);
      if (this.#parts.questions.pending) deadlineMs = Math.min(deadlineMs, this.#questionsMs);
      if (this.#parts.runner.wantsEntry()) {
        const commitMs = Math.max(this.#committedMs + options.commitIntervalMs, nowMs + this.#paceMs());
        deadlineMs = Math.min(deadlineMs, commitMs);
      }
    }
    return Math.max(1, deadlineMs - nowMs);
  }

  // Ends the entry, commits it, and does what follows from that.
  async #seal(): Promise<void> {
    const { runner, reader, committer, checkpointing, head, meter, counters } = this.#parts;
    const { clock } = this.#parts.environment;
    const savepoint = this.#stopping ? undefined : (this.#hold.dueBehind(this.#lastEntry) ?? undefined);
    const endedMs = clock.monotonicMs();
    if (!runner.hasBatch && !this.#full && reader.position > runner.inputOffset) runner.skipTo(reader.position);
    runner.end(savepoint);
    checkpointing.requireSound();
    meter.worked(clock.monotonicMs() - endedMs);
    await this.#flushEffects();
    const flushedMs = clock.monotonicMs();
    const { outsideRecords } = runner.output;
    const misses = runner.schemas?.misses ?? [];
    const entry: Entry = {
      kind: 'commit',
      number: head.number + 1,
      generation: this.#parts.generation,
      version: this.#parts.plan.version,
      inputs: [this.#inputPosition()],
      clockMs: runner.clockMs,
      ...(this.#idleSinceMs === null ? {} : { idle: { sinceMs: this.#idleSinceMs } }),
      ...(this.#drainMs === null ? {} : { drain: { watermarkMs: this.#drainMs } }),
      timersFired: { ...runner.timersFired },
      ...(misses.length === 0 ? {} : { schemaMisses: misses }),
      ...(savepoint === undefined ? {} : { savepoint }),
      outputHash: runner.output.hash(),
      outputRecords: runner.output.records,
      ...(outsideRecords === 0 ? {} : { outsideRecords }),
      ...checkpointing.entryFields(),
    };
    const written = writeEntry(entry, head.chainHash);
    const batches = runner.output.take();
    const captured = checkpointing.due;
    if (captured) checkpointing.capture(entry, written.chainHash, runner);
    const newestMs = newestRecordMs(batches);
    this.#parts.environment.pace?.began();
    const sentMs = clock.monotonicMs();
    meter.worked(sentMs - flushedMs);
    head.offset = await committer.commit(written, head.chainHash, batches);
    runner.output.release(batches);
    head.number = entry.number;
    head.chainHash = written.chainHash;
    this.#lastEntry = entry;
    this.#parts.count('entries-committed', 1);
    this.#parts.count('records-in', runner.recordsConsumed);
    this.#parts.count('records-out', entry.outputRecords + outsideRecords);
    this.#open = false;
    this.#full = false;
    this.#idleSinceMs = null;
    this.#drainMs = null;
    this.#committedMs = clock.monotonicMs();
    meter.committed(counters, this.#committedMs - sentMs, newestMs);
    this.#tellSetAside(this.#committedMs);
    checkpointing.entryCommitted();
    if (captured) checkpointing.write(entry, head.offset);
    await checkpointing.makeRoom();
  }

  // Before the commit: the position is saved when the outside world has what was read. No input is taken meanwhile.
  async #flushEffects(): Promise<void> {
    const { environment, plan, runner, seed, signal } = this.#parts;
    const { clock, logger } = environment;
    for (const effect of runner.effects) {
      await effect.flush({ output: runner.output.outside, clock, logger, signal, task: taskName(plan.identity), seed });
    }
  }

  #tellSetAside(nowMs: number): void {
    this.#setAside.tell(nowMs, this.#parts.environment.logger, taskName(this.#parts.plan.identity));
  }

  #inputPosition(): InputPosition {
    const { plan, topicId, runner } = this.#parts;
    return {
      topic: plan.input.topic,
      topicId,
      partition: plan.input.partition,
      endOffset: String(runner.inputOffset),
    };
  }
}
