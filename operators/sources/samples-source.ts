// Owns the head of a stage that reads samples: walks the records of a batch, lets the format decode them within the
// task's limits, hands bad ones over and checks the declared partitioning. Policy for bad records and watermarks belong
// to the task. Invariant: every sample becomes a row, or is counted as not finite, or is named in a dead letter.

import {
  NOT_WAITING,
  type RecordOrigin,
  type SampleDecoder,
  type SeriesAdmission,
} from '#operators/formats/sample-decoder.ts';
import { type SampleFormatName, type SampleFormatOptions, sampleDecoder } from '#operators/formats/sample-format.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import type { RecordWalker } from '#runtime/log/record-batch.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import { partitionOf } from '#runtime/std/murmur2.ts';
import type {
  Batch,
  DecodeLimits,
  ExchangeControl,
  Source,
  SourceContext,
  SourceInput,
} from '#runtime/task/contract.ts';

/** Paths of bad parts that one dead letter names. */
const PATHS_MAX = 20;

export interface SamplesSourceOptions {
  readonly id: string;
  /** The stage's series, shared with its keyBy. */
  readonly table: SeriesTable;
  readonly format: SampleFormatName;
  /** What the format needs to know beside its name. */
  readonly formatOptions?: Omit<SampleFormatOptions, 'name'>;
  /** `series`: by murmur2 of the canonical series, checked; `producer`: trusted; null: not at all. */
  readonly partitionedBy: 'series' | 'producer' | null;
  /** NaN, infinite and stale samples become rows. @default false: they are counted */
  readonly keepsNotFinite?: boolean | undefined;
}

/**
 * Counts, per call of `decode`: `samples` (rows), `not-finite` (NaN, infinite and stale samples, which get no row and
 * do not raise the watermark, unless they are kept) and `bad-samples` (parts of records that went to `deadLetter`, one dead letter a record).
 */
export class SamplesSource implements Source {
  readonly id: string;
  readonly control: ExchangeControl | null = null;
  consumedDelta = 0;
  /** Id of the schema that the next record waits for, when `decode` ended before it for that reason; else NOT_WAITING. */
  waitsFor = NOT_WAITING;
  readonly #table: SeriesTable;
  readonly #decoder: SampleDecoder;
  readonly #origin: RecordOrigin = { partition: 0, offset: 0, timestampMs: 0, headersAt: -1, skewLimitMs: 0 };
  #context: SourceContext | null = null;
  #input: SourceInput = { topic: '', partition: 0, baseOffset: 0n, baseTimestampMs: 0 };
  #partitionCount = 0;

  constructor(options: SamplesSourceOptions) {
    this.id = options.id;
    this.#table = options.table;
    const admit: SeriesAdmission = (canonical, hash) => this.#checkPartition(canonical, hash);
    const { keepsNotFinite = false, table } = options;
    const common = { table, keepsNotFinite };
    this.#decoder = sampleDecoder(
      { ...options.formatOptions, name: options.format },
      options.partitionedBy === 'series' ? { ...common, admit } : common,
    );
  }

  open(context: SourceContext): void {
    this.#context = context;
    this.#table.open(context.state);
  }

  decode(input: SourceInput, walker: RecordWalker, limits: DecodeLimits, batch: Batch): void {
    const context = this.#context;
    invariant(context !== null, `source ${this.id} decodes before it was opened`);
    const decoder = this.#decoder;
    const { stopDelta, skipBelowDelta, cutTimestampMs, rowsMax } = limits;
    const origin = this.#origin;
    const baseOffset = Number(input.baseOffset);
    const countBefore = batch.count;
    let consumedDelta = skipBelowDelta;
    let notFinite = 0;
    let bad = 0;
    origin.partition = input.partition;
    origin.skewLimitMs = limits.skewLimitMs;
    batch.originTopic = input.topic;
    this.#input = input;
    this.waitsFor = NOT_WAITING;
    while (walker.next()) {
      const delta = walker.offsetDelta;
      if (delta < skipBelowDelta) continue;
      if (delta >= stopDelta) {
        walker.back();
        consumedDelta = stopDelta;
        break;
      }
      consumedDelta = delta + 1;
      if (walker.valueStart < 0) {
        bad++;
        context.deadLetter(walker, input, 'sample-invalid', 'the record has no value (a tombstone)');
      } else {
        origin.offset = baseOffset + delta;
        origin.timestampMs = input.baseTimestampMs + walker.timestampDelta;
        origin.headersAt = walker.headersAt;
        decoder.decode(walker.bytes, walker.valueStart, walker.valueEnd, origin, batch);
        const { outcome } = decoder;
        if (outcome.waitsFor !== NOT_WAITING) {
          walker.back();
          consumedDelta = delta;
          this.waitsFor = outcome.waitsFor;
          break;
        }
        notFinite += outcome.notFinite;
        if (outcome.faultCount > 0) {
          bad += outcome.faultCount;
          this.#deadLetter(context, walker, input);
        }
      }
      if (batch.count >= rowsMax || batch.maxTimestampMs >= cutTimestampMs) break;
    }
    this.consumedDelta = consumedDelta;
    if (batch.count > countBefore) context.count('samples', batch.count - countBefore);
    if (notFinite > 0) context.count('not-finite', notFinite);
    if (bad > 0) context.count('bad-samples', bad);
  }

  // One dead letter per record, whatever the number of bad parts: a copy for each would multiply large records.
  #deadLetter(context: SourceContext, walker: RecordWalker, input: SourceInput): void {
    const { faults, faultCount, hasParts } = this.#decoder.outcome;
    const first = faults[0];
    if (!hasParts) {
      const message = first.path === '$' ? `the record ${first.message}` : `${first.path} ${first.message}`;
      context.deadLetter(walker, input, first.code, message);
      return;
    }
    const more = faultCount > 1 ? `; ${faultCount - 1} more bad samples in this record` : '';
    const paths = faults.slice(0, PATHS_MAX).map((fault) => fault.path);
    if (faultCount > PATHS_MAX) paths.push('…');
    context.deadLetter(walker, input, first.code, `${first.path} ${first.message}${more}`, paths.join(', '));
  }

  #checkPartition(canonical: Buffer, hash: number): void {
    const { topic, partition } = this.#input;
    if (this.#partitionCount === 0) this.#partitionCount = this.#context!.partitionCount(topic);
    const expected = partitionOf(hash, this.#partitionCount);
    if (expected === partition) return;
    throw new StreamError(
      'series-not-partitioned',
      `source '${this.id}': series '${canonical.toString()}' is on partition ${partition} of topic '${topic}', but partitionedBy: 'series' puts it on partition ${expected} of ${this.#partitionCount}`,
      `let the producer use murmur2 of the canonical series text as Kafka's default partitioner does with that key, or set partitionedBy to 'producer' when each series stays on one partition anyway, or leave partitionedBy out: then the job exchanges by series`,
    );
  }
}
