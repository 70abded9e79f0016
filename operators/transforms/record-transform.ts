// Owns map, filter and flatMap over records (and over samples seen as records): stateless, in order, one function.

import { RecordRows } from '#operators/records/record-rows.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { functionFailed, isPromise, shown, threw } from '#operators/records/user-function.ts';
import type { Batch, BatchConsumer, Operator } from '#runtime/task/contract.ts';

export type RecordFunction =
  | { readonly kind: 'map'; readonly apply: (record: unknown) => unknown }
  | { readonly kind: 'filter'; readonly apply: (record: unknown) => unknown }
  | { readonly kind: 'flatMap'; readonly apply: (record: unknown) => unknown };

export interface RecordTransformOptions {
  readonly id: string;
  readonly function: RecordFunction;
  /** The record of a row, as the function sees it. */
  readonly view: (batch: Batch, index: number) => unknown;
  readonly next: readonly BatchConsumer[];
}

export class RecordTransform extends Untimed implements Operator {
  readonly id: string;
  readonly #options: RecordTransformOptions;
  readonly #rows: RecordRows;

  constructor(options: RecordTransformOptions) {
    super();
    this.id = options.id;
    this.#options = options;
    this.#rows = new RecordRows(options.next);
  }

  open(): void {}

  process(batch: Batch): void {
    const { view } = this.#options;
    const { kind, apply } = this.#options.function;
    const rows = this.#rows;
    for (let i = 0; i < batch.count; i++) {
      const record = view(batch, i);
      let answer: unknown;
      try {
        answer = apply(record);
      } catch (error) {
        throw this.#failed(threw(error), record, error);
      }
      if (isPromise(answer)) throw this.#failed('is asynchronous', record);
      rows.from(batch, i);
      const slot = batch.key[i];
      const timestampMs = batch.timestampMs[i];
      if (kind === 'map') {
        if (answer === undefined) throw this.#failed('gave nothing', record);
        rows.add(slot, timestampMs, answer);
      } else if (kind === 'filter') {
        if (typeof answer !== 'boolean') throw this.#failed(`gave ${shown(answer)} instead of a boolean`, record);
        if (answer) rows.add(slot, timestampMs, record);
      } else {
        if (!Array.isArray(answer)) throw this.#failed(`gave ${shown(answer)} instead of an array`, record);
        for (const one of answer) rows.add(slot, timestampMs, one);
      }
    }
    rows.flush();
  }

  #failed(problem: string, record: unknown, cause?: unknown): Error {
    const step = `${this.#options.function.kind} '${this.id}'`;
    return functionFailed(step, problem, `for ${shown(record)}`, cause);
  }
}
