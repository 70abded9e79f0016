// Owns calling the functions of a window of records and sending what they give: results and late records. Invariant:
// what follows from one record leaves before what follows from the next, whichever output it takes.

import { RecordRows } from '#operators/records/record-rows.ts';
import { functionFailed, isPromise, shown, threw } from '#operators/records/user-function.ts';
import type { OpenWindow } from '#operators/windows/key-windows.ts';
import type { WindowFold } from '#operators/windows/window-function.ts';
import { invariant, type StreamError } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, KeyTable, OperatorContext } from '#runtime/task/contract.ts';

export interface RecordResultsOptions {
  readonly id: string;
  readonly keys: KeyTable;
  readonly fold: WindowFold;
  readonly purge: boolean;
  readonly results: readonly BatchConsumer[];
  readonly late: readonly BatchConsumer[];
}

export class RecordResults {
  // Of the record or timer at hand.
  slot = -1;
  timeMs = 0;
  readonly #options: RecordResultsOptions;
  readonly #results: RecordRows;
  readonly #late: RecordRows;
  #lateLast = false;
  #context: OperatorContext | null = null;

  constructor(options: RecordResultsOptions) {
    this.#options = options;
    this.#results = new RecordRows(options.results);
    this.#late = new RecordRows(options.late);
  }

  open(context: OperatorContext): void {
    this.#context = context;
  }

  from(batch: Batch, index: number): void {
    this.slot = batch.key[index];
    this.timeMs = batch.timestampMs[index];
    this.#results.from(batch, index);
    this.#late.from(batch, index);
  }

  fromTimer(slot: number, timeMs: number): void {
    this.slot = slot;
    this.timeMs = timeMs;
    this.#results.fromTimer();
  }

  add(window: OpenWindow, record: unknown): void {
    const { fold } = this.#options;
    try {
      window.content = window.isEmpty ? fold.first(record) : fold.add(window.content, record);
    } catch (error) {
      throw this.failed(threw(error), record, error);
    }
    if (isPromise(window.content)) throw this.failed('is asynchronous', record);
    window.isEmpty = false;
    window.added++;
  }

  merge(content: unknown, next: unknown): unknown {
    try {
      return this.#options.fold.merge(content, next);
    } catch (error) {
      throw this.failed(`${threw(error)} in merge`, next, error);
    }
  }

  /** Sends the window's result. `isLast`: nobody looks at its content again. */
  fire(window: OpenWindow, isLast: boolean): void {
    const { fold, purge } = this.#options;
    const { startMs, endMs, content } = window;
    const hasEnd = endMs !== Number.POSITIVE_INFINITY;
    const value = this.#valueOf(window);
    const timestampMs = hasEnd ? endMs - 1 : this.timeMs;
    if (this.#lateLast) this.#flushLate();
    if (!fold.many) this.#results.add(this.slot, timestampMs, value);
    else if (!Array.isArray(value)) throw this.failed(`gave ${shown(value)} instead of an array`, { startMs, endMs });
    else for (const one of value) this.#results.add(this.slot, timestampMs, one);
    window.firings++;
    window.added = 0;
    if (purge) {
      window.content = null;
      window.isEmpty = true;
    } else if (!isLast) window.content = fold.apart(content);
  }

  addLate(record: unknown): void {
    if (!this.#lateLast) {
      this.#results.flush();
      this.#lateLast = true;
    }
    this.#late.add(this.slot, this.timeMs, record);
  }

  flush(): void {
    this.#results.flush();
    this.#flushLate();
  }

  get keyText(): string {
    const bytes = this.#options.keys.canonicalBytes(this.slot);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  }

  failed(problem: string, about: unknown, cause?: unknown): StreamError {
    const where = `for key ${this.keyText} at ${this.timeMs}: ${shown(about)}`;
    return functionFailed(`window '${this.#options.id}'`, problem, where, cause);
  }

  #valueOf({ startMs, endMs, firings, content }: OpenWindow): unknown {
    const context = this.#context;
    invariant(context !== null, `window '${this.#options.id}' is used before open`);
    const info = {
      key: this.keyText,
      startMs,
      endMs,
      revision: firings,
      watermarkMs: context.watermarkMs(),
      clockMs: context.clockMs(),
    };
    let value: unknown;
    try {
      value = this.#options.fold.value(content, info);
    } catch (error) {
      throw this.failed(`${threw(error)} in its result`, content, error);
    }
    if (value === undefined) throw this.failed('gave nothing', content);
    if (isPromise(value)) throw this.failed('is asynchronous', content);
    return value;
  }

  #flushLate(): void {
    this.#late.flush();
    this.#lateLast = false;
  }
}
