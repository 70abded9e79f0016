// Owns the deterministic part of a task: given entries' cuts and clocks it turns input batches into state and staged
// output. Synchronous, knows no log and no time. The same code runs live and in replay; only the limits differ.
// Invariant: output depends on log order and recorded ticks, never on how fetches were cut.

import type { Json, StateRegistry } from '#checkpoint/contract.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import type { Effect } from '#runtime/effect/contract.ts';
import type { FetchedBatch } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import type { BufferPool } from '#runtime/std/buffer-pool.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import {
  Batch,
  type EntryEnd,
  type Operator,
  type OperatorContext,
  type SourceContext,
  type SourceInput,
  type StageProgram,
  type WatermarkRule,
} from '#runtime/task/contract.ts';
import { sendDeadLetter } from '#runtime/task/dead-letters.ts';
import { DueTimers, type RecordedFirings } from '#runtime/task/due-timers.ts';
import type { Entry } from '#runtime/task/entry.ts';
import { OutputStage } from '#runtime/task/output-stage.ts';
import { SavepointMarkers } from '#runtime/task/savepoint-markers.ts';
import type { SourceSchemas } from '#runtime/task/source-schemas.ts';
import { readState, type StatePage, type StateQuery } from '#runtime/task/state-query.ts';
import { Watermark } from '#runtime/task/watermark.ts';

/** Of the clock by which a stage with effects judges whether a record is ahead. */
const SKEW_CLOCK_AGE_MAX_MS = 10_000;
const ROWS_MAX = 2048;
/** Most batches are small; the batch grows with the first that is not. */
const ROWS_FIRST = 128;

export interface StageRunnerOptions {
  readonly program: StageProgram;
  readonly partition: number;
  readonly partitionCounts: Readonly<Record<string, number>>;
  readonly writers: number;
  readonly state: StateRegistry;
  /** Staged bytes at which an entry ends, minimum 64 KiB. */
  readonly commitBytesMax: number;
  readonly count: (counter: string, by: number) => void;
  /** Where staged batches get their buffers. @default new ones each time */
  readonly buffers?: BufferPool | null;
}

/** What an entry begins with. */
export interface EntryStart {
  readonly clockMs: number;
  readonly idleSinceMs: number | null;
  /** Of the recorded entry, when it is replayed. */
  readonly schemaMisses?: readonly number[] | undefined;
  /** The watermark is lifted there. */
  readonly drainMs?: number | undefined;
}

export class StageRunner {
  readonly output: OutputStage;
  readonly watermark: Watermark;
  readonly markers: SavepointMarkers;
  clockMs = Number.NEGATIVE_INFINITY;
  /** Log records and their bytes consumed in this entry. */
  recordsConsumed = 0;
  bytesConsumed = 0;
  /** Offset after the last consumed record, or the input's start offset. */
  inputOffset = 0n;
  readonly #program: StageProgram;
  readonly #commitBytesMax: number;
  readonly #skewMs: number;
  /** The clock by which a record is ahead of it. */
  #skewFromMs = Number.NEGATIVE_INFINITY;
  readonly #rows = new Batch(ROWS_FIRST);
  readonly #walker = new RecordWalker();
  readonly #timers: DueTimers;
  #batch: FetchedBatch | null = null;
  #input: SourceInput = { topic: '', partition: 0, baseOffset: 0n, baseTimestampMs: 0 };
  #idleAtStart = false;
  #startOffset = 0n;
  readonly #watermarkMs = () => this.watermark.valueMs;

  constructor(options: StageRunnerOptions) {
    const { program, partition, partitionCounts, state, count } = options;
    this.#program = program;
    this.output = new OutputStage(options.buffers);
    this.#commitBytesMax = options.commitBytesMax;
    this.watermark = new Watermark(program.watermark, options.writers);
    this.markers = new SavepointMarkers(options.writers);
    this.#skewMs = program.watermark.kind === 'source' ? program.watermark.maxSkewMs : Number.POSITIVE_INFINITY;
    const partitionCount = (topic: string): number => {
      const known = partitionCounts[topic];
      invariant(known !== undefined, `topic ${topic} is not in the genesis entry`);
      return known;
    };
    const context: OperatorContext = {
      state,
      values(stateId, codec) {
        const values = new KeyedValues(stateId, codec);
        values.open(state);
        return values;
      },
      watermarkMs: () => this.watermark.valueMs,
      clockMs: () => this.clockMs,
      output: this.output,
      partitionCount,
      partition,
      count,
    };
    const target = { program, output: this.output, partitionCount, count };
    const sourceContext: SourceContext = {
      ...context,
      deadLetter: (walker, input, code, message, path) => sendDeadLetter(target, walker, input, code, message, path),
    };
    this.#timers = new DueTimers(program.operators, () => this.full);
    program.source.open(sourceContext);
    for (const operator of program.operators) operator.open(context);
  }

  /**
   * Begins an entry. First an unfinished firing of the entry before is finished under the old clock; if that already
   * fills the entry, it returns false and the clock does not move.
   *
   * What goes outside goes before the commit. Under a clock that only the commit makes true, whoever comes after a crash
   * between the two could say something else. So in a stage with effects what the clock makes due waits for the next
   * entry, and records are judged by the clock of the entry before, which is brought up to date by an entry of its own.
   */
  begin(start: EntryStart, recordedFirings: RecordedFirings = null): boolean {
    this.#timers.begin(recordedFirings);
    this.recordsConsumed = 0;
    this.bytesConsumed = 0;
    this.#idleAtStart = false;
    this.#startOffset = this.inputOffset;
    this.schemas?.begin(recordedFirings === null ? null : (start.schemaMisses ?? []));
    if (!this.#timers.fireClock(this.clockMs) || !this.#fireDue()) return false;
    invariant(start.clockMs >= this.clockMs, 'the clock of an entry went back');
    const previousMs = this.clockMs;
    this.clockMs = start.clockMs;
    const outside = this.effects.length > 0;
    this.#skewFromMs = outside ? previousMs : this.clockMs;
    if (!outside && !this.#timers.fireClock(this.clockMs)) return false;
    if (start.drainMs !== undefined) this.watermark.lift(start.drainMs);
    else if (start.idleSinceMs !== null) {
      this.#idleAtStart = true;
      const fromMs = Math.max(previousMs, start.idleSinceMs);
      if (this.clockMs > fromMs) this.watermark.advanceIdle(this.clockMs - fromMs);
    }
    if (!outside) return this.#fireDue();
    return !this.firingUnfinished && this.clockMs - previousMs <= SKEW_CLOCK_AGE_MAX_MS;
  }

  /** Firings of timers in this entry. */
  get timersFired(): Readonly<Entry['timersFired']> {
    return this.#timers.fired;
  }

  get program(): StageProgram {
    return this.#program;
  }

  /** Of the batch taken last, as its log has it; 0 before the first. */
  get inputTimestampMs(): number {
    return this.#input.baseTimestampMs;
  }

  /** Whether due timers wait for the next entry. */
  get firingUnfinished(): boolean {
    return this.#timers.isDue(this.watermark.valueMs) || this.clockTimerDue(this.clockMs);
  }

  /** When the watermark would put something out that waits for it; Infinity: nothing does. */
  get nextOutputMs(): number {
    return Math.min(...this.#program.operators.map((one) => one.nextOutputMs?.() ?? one.nextTimerMs()));
  }

  /** Whether a timer would fire if the clock moved there. */
  clockTimerDue(clockMs: number): boolean {
    return this.#timers.isClockDue(clockMs);
  }

  /** Takes a fetched batch in hand; it is released when its records are consumed. */
  take(batch: FetchedBatch, topic: string, partition: number): void {
    invariant(this.#batch === null, 'a batch is in hand already');
    this.#batch = batch;
    this.#walker.reset(batch.bytes, batch.start, batch.end, batch.count);
    this.#input = { topic, partition, baseOffset: batch.baseOffset, baseTimestampMs: batch.baseTimestampMs };
  }

  get schemas(): SourceSchemas | null {
    return this.#program.schemas ?? null;
  }

  get effects(): readonly Effect[] {
    return this.#program.effects ?? [];
  }

  /** Whether what is staged for the log, or for the outside world, fills the entry. */
  get full(): boolean {
    return this.output.stagedBytes >= this.#commitBytesMax || this.effects.some((effect) => effect.full);
  }

  get rule(): WatermarkRule {
    return this.#program.watermark;
  }

  get hasBatch(): boolean {
    return this.#batch !== null;
  }

  /**
   * Consumes the batch in hand up to `stopOffset` (exclusive). True: the batch is used up and released, or the stop was reached;
   * false: the entry is full and must end here.
   */
  consume(stopOffset: bigint | null): boolean {
    const batch = this.#batch;
    invariant(batch !== null, 'no batch in hand');
    const { source, head, operators } = this.#program;
    const walker = this.#walker;
    const rows = this.#rows;
    const consumedBefore = Number(this.inputOffset - batch.baseOffset);
    const skipBelowDelta = Math.max(batch.skipBelowDelta, consumedBefore);
    const stopDelta = stopOffset === null ? Number.MAX_SAFE_INTEGER : Number(stopOffset - batch.baseOffset);
    const limits = {
      cutTimestampMs: Number.POSITIVE_INFINITY,
      stopDelta,
      skipBelowDelta,
      skewLimitMs: this.#skewFromMs + this.#skewMs,
      rowsMax: ROWS_MAX,
    };
    let more = true;
    while (more) {
      limits.cutTimestampMs = this.#cutTimestamp(operators);
      rows.clear();
      const leftBefore = walker.left;
      source.decode(this.#input, walker, limits, rows);
      const records = leftBefore - walker.left;
      this.recordsConsumed += records;
      // The next record waits for somebody: the rest of the batch stays in hand.
      if (records === 0 && this.schemas !== null && this.schemas.waitsFor !== null) return true;
      if (records === 0 && walker.left > 0) {
        // The next record lies beyond the stop.
        invariant(stopOffset !== null, `source '${source.id}' did not consume its next record`);
        this.inputOffset = stopOffset;
        return true;
      }
      if (rows.count > 0) {
        const maxTimestampMs = rows.maxTimestampMs;
        head.process(rows);
        if (this.#program.watermark.kind === 'source') this.watermark.raise(maxTimestampMs);
      }
      if (source.control !== null) {
        this.watermark.hear(source.control);
        // A marker is the last record of its batch: whoever waits for it has read no further.
        this.markers.hear(source.control);
      }
      this.inputOffset = batch.baseOffset + BigInt(source.consumedDelta);
      const fired = this.#fireDue();
      if (walker.left === 0 && (stopOffset === null || batch.nextOffset <= stopOffset)) {
        this.bytesConsumed += batch.end - batch.start;
        this.inputOffset = batch.nextOffset;
        this.dropBatch();
        more = false;
      } else if (source.consumedDelta >= stopDelta) more = false;
      if (!fired) return false;
      if (!this.#timers.isReplay && this.full) return !more && this.#batch === null;
    }
    return true;
  }

  /** Moves the input over invisible records, at most up to the batch in hand. */
  skipTo(offset: bigint): void {
    const free = this.#batch === null || offset <= this.#batch.baseOffset;
    invariant(free && offset >= this.inputOffset, 'skipping over records in hand');
    this.inputOffset = offset;
  }

  /** Ends what the stage has outside. */
  close(): void {
    this.dropBatch();
    for (const effect of this.effects) effect.close();
    this.schemas?.close();
  }

  dropBatch(): void {
    this.#batch?.release();
    this.#batch = null;
  }

  #cutTimestamp(operators: readonly Operator[]): number {
    if (this.#program.watermark.kind !== 'source') return Number.POSITIVE_INFINITY;
    let boundaryMs = Number.POSITIVE_INFINITY;
    const watermarkMs = this.watermark.valueMs;
    for (let i = 0; i < operators.length; i++) {
      const next = operators[i].nextBoundaryMs(watermarkMs);
      if (next < boundaryMs) boundaryMs = next;
    }
    return this.watermark.timestampFor(boundaryMs);
  }

  // Total order of timers: (time, place in the plan, key slot). False when the budget ended it.
  #fireDue(): boolean {
    return this.#timers.fire(this.#watermarkMs);
  }

  /** Keyed state as it is; to be asked between entries. Null: no such operator. */
  readState(query: StateQuery, clock: Clock): StatePage | null {
    return readState(this.#program, query, clock);
  }

  /** What the entry ends with, so far. */
  entryEnd(): EntryEnd {
    const idle =
      this.#program.watermark.kind === 'source'
        ? this.#idleAtStart && this.inputOffset === this.#startOffset
        : this.watermark.allWritersIdle;
    return { watermarkMs: this.watermark.valueMs, clockMs: this.clockMs, idle: idle && !this.#timers.oweOutput };
  }

  /** Whether something waits to be committed. */
  wantsEntry(): boolean {
    return this.output.records > 0 || this.#operatorsWant(this.entryEnd());
  }

  /** Whether an entry that began now, without input, would fire something or have something to say. */
  wantsTick(clockMs: number, idle: boolean, idleSinceMs: number | null): boolean {
    let watermarkMs = this.watermark.valueMs;
    if (idleSinceMs !== null) watermarkMs += Math.max(0, clockMs - Math.max(this.clockMs, idleSinceMs));
    if (
      this.#operatorsWant({ watermarkMs, clockMs, idle: idle && !this.#timers.oweOutput }) ||
      this.clockTimerDue(clockMs)
    )
      return true;
    return idleSinceMs !== null && this.#program.operators.some((operator) => operator.nextTimerMs() <= watermarkMs);
  }

  #operatorsWant(end: EntryEnd): boolean {
    return this.#program.operators.some((operator) => operator.wantsEntry(end));
  }

  /** Ends the entry: operators flush what they hold back until now; for a savepoint they tell whoever reads on. */
  end(savepoint?: string): void {
    const end = savepoint === undefined ? this.entryEnd() : { ...this.entryEnd(), savepoint };
    for (const operator of this.#program.operators) operator.endEntry(end);
  }

  /** Goes on, with the state of other tasks, where those were. */
  adopt(watermarkMs: number | null): void {
    this.watermark.begin(watermarkMs ?? Number.NEGATIVE_INFINITY);
  }

  save(): Json {
    const watermark = this.watermark.save();
    return this.markers.isEmpty ? { watermark } : { watermark, markers: this.markers.save() };
  }

  restore(saved: Json, position: { readonly clockMs: number; readonly inputOffset: bigint }): void {
    const state = saved as { watermark: Json; markers?: Json };
    if (state === null || typeof state !== 'object' || state.watermark === undefined) {
      throw new StreamError(
        'checkpoint-corrupt',
        'a manifest lacks the watermark',
        'remove this checkpoint; the one before is used',
      );
    }
    this.watermark.restore(state.watermark);
    this.markers.restore(state.markers);
    this.clockMs = position.clockMs;
    this.inputOffset = position.inputOffset;
  }
}
