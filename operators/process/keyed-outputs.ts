// Owns what an operator over keyed records sends: its outputs as batches, and the errors that name key and time.
// Invariant: what follows from one record leaves before what follows from the next, whichever output it takes.

import { RecordRows } from '#operators/records/record-rows.ts';
import { functionFailed, isPromise, shown, threw } from '#operators/records/user-function.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, KeyTable } from '#runtime/task/contract.ts';

export class KeyedOutputs {
  // Of the record or timer at hand.
  slot = -1;
  timeMs = 0;
  readonly #step: string;
  readonly #keys: KeyTable;
  readonly #outputs: readonly RecordRows[];
  #last = 0;

  /** `step` names the operator in errors: `intervalJoin 'paid'`. */
  constructor(step: string, keys: KeyTable, outputs: readonly (readonly BatchConsumer[])[]) {
    this.#step = step;
    this.#keys = keys;
    this.#outputs = outputs.map((consumers) => new RecordRows(consumers));
  }

  from(batch: Batch, index: number): void {
    this.slot = batch.key[index];
    this.timeMs = batch.timestampMs[index];
    for (const rows of this.#outputs) rows.from(batch, index);
  }

  fromTimer(slot: number, timeMs: number): void {
    this.slot = slot;
    this.timeMs = timeMs;
    for (const rows of this.#outputs) rows.fromTimer();
  }

  send(output: number, timestampMs: number, record: unknown): void {
    if (output !== this.#last) {
      this.#outputs[this.#last].flush();
      this.#last = output;
    }
    this.#outputs[output].add(this.slot, timestampMs, record);
  }

  flush(): void {
    this.#outputs[this.#last].flush();
  }

  get keyText(): string {
    const bytes = this.#keys.canonicalBytes(this.slot);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  }

  /** What a function of the job answers: something, and at once. */
  answered(answer: unknown, about: unknown): unknown {
    if (answer === undefined) throw this.failed('gave nothing', about);
    if (isPromise(answer)) throw this.failed('is asynchronous', about);
    return answer;
  }

  threw(error: unknown, about: unknown): StreamError {
    return this.failed(threw(error), about, error);
  }

  failed(problem: string, about: unknown, cause?: unknown): StreamError {
    return functionFailed(this.#step, problem, `for key ${this.keyText} at ${this.timeMs}: ${shown(about)}`, cause);
  }
}
