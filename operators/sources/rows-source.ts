// Owns the head of a stage that reads rollup rows from a topic: walks the records of a batch within the task's limits
// and hands bad ones over. Invariant: every log record becomes one row or one dead letter.

import type { RowDecoder, RowOrigin } from '#operators/formats/row-decoder.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';
import { rowDecoder } from '#operators/formats/row-format.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import type { RecordWalker } from '#runtime/log/record-batch.ts';
import { invariant } from '#runtime/std/errors.ts';
import {
  type Batch,
  type DecodeLimits,
  rollupColumns,
  type Source,
  type SourceContext,
  type SourceInput,
} from '#runtime/task/contract.ts';

export interface RowsSourceOptions {
  readonly id: string;
  /** The stage's series, each with its resolution behind the metric name. */
  readonly table: SeriesTable;
  /** @default 'json' */
  readonly format?: RowFormatName | undefined;
}

/** Counts `rows` and `bad-records`. */
export class RowsSource implements Source {
  readonly id: string;
  readonly control = null;
  consumedDelta = 0;
  readonly #table: SeriesTable;
  readonly #decoder: RowDecoder;
  readonly #origin: RowOrigin = { partition: 0, offset: 0, skewLimitMs: 0 };
  #context: SourceContext | null = null;

  constructor(options: RowsSourceOptions) {
    this.id = options.id;
    this.#table = options.table;
    this.#decoder = rowDecoder(options.format ?? 'json', options.table);
  }

  open(context: SourceContext): void {
    this.#context = context;
    this.#table.open(context.state);
  }

  decode(input: SourceInput, walker: RecordWalker, limits: DecodeLimits, batch: Batch): void {
    const context = this.#context;
    invariant(context !== null, `source ${this.id} decodes before it was opened`);
    const { stopDelta, skipBelowDelta, cutTimestampMs, rowsMax } = limits;
    const origin = this.#origin;
    const baseOffset = Number(input.baseOffset);
    const countBefore = batch.count;
    let consumedDelta = skipBelowDelta;
    let bad = 0;
    origin.partition = input.partition;
    origin.skewLimitMs = limits.skewLimitMs;
    batch.originTopic = input.topic;
    batch.rollups ??= rollupColumns(batch.capacity);
    while (walker.next()) {
      const delta = walker.offsetDelta;
      if (delta < skipBelowDelta) continue;
      if (delta >= stopDelta) {
        walker.back();
        consumedDelta = stopDelta;
        break;
      }
      consumedDelta = delta + 1;
      origin.offset = baseOffset + delta;
      const { bytes, valueEnd, valueStart } = walker;
      const fault = valueStart < 0 ? TOMBSTONE : this.#decoder.decode(bytes, valueStart, valueEnd, origin, batch);
      if (fault !== null) {
        bad++;
        context.deadLetter(walker, input, fault.code, fault.message);
      }
      if (batch.count >= rowsMax || batch.maxTimestampMs >= cutTimestampMs) break;
    }
    this.consumedDelta = consumedDelta;
    if (batch.count > countBefore) context.count('rows', batch.count - countBefore);
    if (bad > 0) context.count('bad-records', bad);
  }
}

const TOMBSTONE = { code: 'row-invalid', message: 'the record has no value (a tombstone)' };
