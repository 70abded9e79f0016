// Owns the reading end of an exchange: one record per call, because each carries a watermark. Interns the block's keys
// in the stage's table. The watermark itself belongs to the task.

import type { ValueCodec } from '#checkpoint/contract.ts';
import { EXCHANGE_DATA, ExchangeRecord } from '#operators/formats/exchange-block.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import type { RecordWalker } from '#runtime/log/record-batch.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import type {
  Batch,
  DecodeLimits,
  ExchangeControl,
  Source,
  SourceContext,
  SourceInput,
} from '#runtime/task/contract.ts';

export interface ExchangeSourceOptions {
  readonly id: string;
  /** The stage's keys, shared with its keyBy. */
  readonly table: SeriesTable;
  /** How records are read; null: rows are samples. */
  readonly codec?: ValueCodec<unknown> | null;
}

export class ExchangeSource implements Source {
  readonly id: string;
  control: ExchangeControl | null = null;
  consumedDelta = 0;
  readonly #table: SeriesTable;
  readonly #codec: ValueCodec<unknown> | null;
  readonly #record = new ExchangeRecord();
  #slots: Int32Array = new Int32Array(64);
  #context: SourceContext | null = null;

  constructor(options: ExchangeSourceOptions) {
    this.id = options.id;
    this.#table = options.table;
    this.#codec = options.codec ?? null;
  }

  open(context: SourceContext): void {
    this.#context = context;
    this.#table.open(context.state);
  }

  decode(input: SourceInput, walker: RecordWalker, limits: DecodeLimits, batch: Batch): void {
    invariant(this.#context !== null, `source ${this.id} decodes before it was opened`);
    this.control = null;
    this.consumedDelta = limits.skipBelowDelta;
    while (walker.next()) {
      const delta = walker.offsetDelta;
      if (delta < limits.skipBelowDelta) continue;
      if (delta >= limits.stopDelta) {
        walker.back();
        this.consumedDelta = limits.stopDelta;
        return;
      }
      this.consumedDelta = delta + 1;
      this.#decodeRecord(input, walker, batch);
      return;
    }
  }

  #decodeRecord(input: SourceInput, walker: RecordWalker, batch: Batch): void {
    const record = this.#record;
    try {
      // A tombstone is an empty record, which the reader refuses.
      record.read(walker.bytes, Math.max(0, walker.valueStart), Math.max(0, walker.valueEnd));
      if (record.kind === EXCHANGE_DATA) this.#addRows(walker, batch);
    } catch (error) {
      if (!(error instanceof StreamError) || error.code !== 'exchange-corrupt') throw error;
      const offset = input.baseOffset + BigInt(walker.offsetDelta);
      const at = `source '${this.id}', ${input.topic}/${input.partition} offset ${offset}`;
      throw new StreamError(error.code, `${at}: ${error.message}`, error.remedy, { cause: error });
    }
    const { writer, watermarkMs, idle, savepoint } = record;
    this.control = savepoint === undefined ? { writer, watermarkMs, idle } : { writer, watermarkMs, idle, savepoint };
  }

  #addRows(walker: RecordWalker, batch: Batch): void {
    const record = this.#record;
    const { keyCount, keyStart, keyEnd } = record;
    if (this.#slots.length < keyCount) this.#slots = new Int32Array(keyCount * 2);
    for (let k = 0; k < keyCount; k++) this.#slots[k] = this.#table.slotOf(walker.bytes, keyStart[k], keyEnd[k]);
    record.rowsInto(batch, this.#slots, this.#codec);
    this.#context!.count(record.hasRecords ? 'records' : 'samples', record.rows);
  }
}
