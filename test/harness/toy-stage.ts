// Owns a stage small enough to be checked by eye: records are `<event time> <number>`, sums per minute come out as
// `<minute> <sum>`. For tests of the task alone; formats and real operators are not involved.

import type { PagedState, PageTracker } from '#checkpoint/contract.ts';
import { RecordBatchBuilder, type RecordWalker } from '#runtime/log/record-batch.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import type {
  Batch,
  DecodeLimits,
  EntryEnd,
  ExchangeControl,
  FiringBudget,
  Operator,
  OperatorContext,
  Source,
  SourceContext,
  SourceInput,
  StageProgram,
} from '#runtime/task/contract.ts';

const MINUTE_MS = 60_000;

class ToySource implements Source {
  readonly id = 'toy';
  readonly control: ExchangeControl | null = null;
  consumedDelta = 0;
  #context: SourceContext | null = null;

  open(context: SourceContext): void {
    this.#context = context;
  }

  decode(input: SourceInput, walker: RecordWalker, limits: DecodeLimits, batch: Batch): void {
    this.consumedDelta = limits.skipBelowDelta;
    while (walker.next()) {
      if (walker.offsetDelta < limits.skipBelowDelta) continue;
      if (walker.offsetDelta >= limits.stopDelta) {
        walker.back();
        this.consumedDelta = limits.stopDelta;
        return;
      }
      this.consumedDelta = walker.offsetDelta + 1;
      const text = walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd);
      const [timestampMs, value] = text.split(' ').map(Number);
      if (!Number.isFinite(value) || timestampMs > limits.skewLimitMs) {
        this.#context?.deadLetter(walker, input, 'bad', `'${text}' is no toy record`);
        continue;
      }
      if (batch.count === batch.capacity) batch.grow();
      batch.timestampMs[batch.count] = timestampMs;
      batch.value[batch.count++] = value;
      batch.maxTimestampMs = Math.max(batch.maxTimestampMs, timestampMs);
      if (batch.count >= limits.rowsMax || batch.maxTimestampMs >= limits.cutTimestampMs) return;
    }
  }
}

class MinuteSums implements Operator, PagedState {
  readonly id = 'sums';
  readonly stateId = 'sums/minutes';
  readonly schemaVersion = 1;
  readonly #sums = new Map<number, number>();
  readonly #topic: string;
  #context: OperatorContext | null = null;
  #tracker: PageTracker | null = null;

  constructor(topic: string) {
    this.#topic = topic;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#tracker = context.state.register(this);
  }

  process(batch: Batch): void {
    const watermarkMs = this.#context?.watermarkMs() ?? 0;
    for (let i = 0; i < batch.count; i++) {
      const start = Math.floor(batch.timestampMs[i] / MINUTE_MS) * MINUTE_MS;
      if (start + MINUTE_MS <= watermarkMs) {
        this.#emit(`late ${batch.timestampMs[i]} ${batch.value[i]}`, batch.timestampMs[i]);
        continue;
      }
      this.#tracker?.touch(start / MINUTE_MS);
      this.#sums.set(start, (this.#sums.get(start) ?? 0) + batch.value[i]);
    }
  }

  #emit(text: string, timestampMs: number): void {
    const value = Buffer.from(text);
    this.#context?.output.append(0, this.#topic, 0, timestampMs, null, value, 0, value.length);
  }

  nextBoundaryMs(watermarkMs: number): number {
    if (watermarkMs === Number.NEGATIVE_INFINITY) return Number.NEGATIVE_INFINITY;
    return (Math.floor(watermarkMs / MINUTE_MS) + 1) * MINUTE_MS;
  }

  nextTimerMs(): number {
    return Math.min(...[...this.#sums.keys()].map((start) => start + MINUTE_MS));
  }

  fire(timeMs: number, budget: FiringBudget): boolean {
    if (!budget.take()) return false;
    const start = timeMs - MINUTE_MS;
    this.#emit(`${start} ${this.#sums.get(start)}`, timeMs - 1);
    this.#tracker?.touch(start / MINUTE_MS);
    this.#sums.delete(start);
    return true;
  }

  usesKey(): boolean {
    return false;
  }

  endEntry(_end: EntryEnd): void {}

  wantsEntry(): boolean {
    return false;
  }

  writePage(page: number, out: ByteWriter): void {
    const sum = this.#sums.get(page * MINUTE_MS);
    if (sum !== undefined) out.f64(sum);
  }

  readPage(page: number, input: ByteReader): void {
    this.#sums.set(page * MINUTE_MS, input.f64());
  }
}

export interface ToyStageOptions {
  readonly outputTopic: string;
  readonly deadLetterTopic: string;
  readonly outOfOrdernessMs?: number;
  readonly idlenessMs?: number;
}

export function toyStage(options: ToyStageOptions): StageProgram {
  const sums = new MinuteSums(options.outputTopic);
  return {
    stageId: 'toy',
    source: new ToySource(),
    watermark: {
      kind: 'source',
      outOfOrdernessMs: options.outOfOrdernessMs ?? 5_000,
      idlenessMs: options.idlenessMs ?? 30_000,
      maxSkewMs: Number.MAX_SAFE_INTEGER,
    },
    operators: [sums],
    head: sums,
    outputs: [{ topic: options.outputTopic, sinkIndex: 0 }],
    deadLetter: { topic: options.deadLetterTopic, sinkIndex: 1 },
    badRecords: 'dead-letter',
  };
}

/** A batch of toy records for a topic's partition 0. */
export function toyBatch(topic: string, records: readonly string[]) {
  const builder = new RecordBatchBuilder(topic, 0);
  for (const text of records) {
    const value = Buffer.from(text);
    builder.append(0, null, 0, 0, value, 0, value.length);
  }
  return builder.finish();
}
