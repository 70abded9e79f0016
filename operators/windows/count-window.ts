// Owns windows of so many records of a key, in the order they come: each record in one window, or sliding ones over the
// last of them. Time means nothing to it, so nothing is late. Invariant: what it sends follows from the key's records.

import { readerOf, type ValueCodec, type ValueStore } from '#checkpoint/contract.ts';
import type { OwningCodec } from '#operators/process/contract.ts';
import { recordOf } from '#operators/records/record-rows.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { emptyWindow, NEVER } from '#operators/windows/key-windows.ts';
import { RecordResults } from '#operators/windows/record-results.ts';
import { listCodec, type WindowFold, type WindowFunction, windowFold } from '#operators/windows/window-function.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, KeyLook, KeyTable, Operator, OperatorContext } from '#runtime/task/contract.ts';

export interface CountWindowOptions {
  readonly id: string;
  readonly keys: KeyTable;
  /** Records of a window. */
  readonly size: number;
  /** A result after every so many records, of the last `size`; null: windows follow each other. */
  readonly slide: number | null;
  readonly function: WindowFunction;
  /** Of a record; needed to slide. */
  readonly recordCodec: OwningCodec<unknown> | null;
  /** The record of a row, as the function sees it. @default the row's record */
  readonly view?: ((batch: Batch, index: number) => unknown) | undefined;
  readonly results: readonly BatchConsumer[];
}

/** Of a key: records since the last result, and what they add up to, or the last records themselves. */
interface CountState {
  added: number;
  content: unknown;
}

export class CountWindow extends Untimed implements Operator {
  readonly id: string;
  readonly #options: CountWindowOptions;
  readonly #fold: WindowFold;
  readonly #results: RecordResults;
  readonly #window = emptyWindow(Number.NEGATIVE_INFINITY, NEVER);
  #store: ValueStore<CountState> | null = null;

  constructor(options: CountWindowOptions) {
    super();
    const { id, keys, results } = options;
    this.id = id;
    this.#options = options;
    this.#fold = windowFold(options.function, (value, { key }) => ({ key, value }));
    this.#results = new RecordResults({ id, keys, fold: this.#fold, purge: true, results, late: [] });
    invariant(options.slide === null || options.recordCodec !== null, `window '${id}' slides without a codec`);
  }

  open(context: OperatorContext): void {
    const { slide, recordCodec } = this.#options;
    const content = slide === null ? this.#fold.codec : listCodec(recordCodec!);
    this.#store = context.values(`${this.id}/counts`, countCodec(content));
    this.#results.open(context);
  }

  process(batch: Batch): void {
    invariant(this.#store !== null, `window '${this.id}' is used before open`);
    const { view = recordOf, slide } = this.#options;
    for (let i = 0; i < batch.count; i++) {
      this.#results.from(batch, i);
      if (slide === null) this.#add(this.#store, view(batch, i));
      else this.#slide(this.#store, view(batch, i), slide);
    }
    this.#results.flush();
  }

  override usesKey(slot: number): boolean {
    return this.#store?.has(slot) === true;
  }

  look(slot: number): KeyLook | null {
    const state = this.#store?.get(slot);
    return state === undefined ? null : { states: { ...state }, eventTimersMs: [], clockTimersMs: [] };
  }

  #add(store: ValueStore<CountState>, record: unknown): void {
    const { slot } = this.#results;
    const window = this.#window;
    const known = store.change(slot);
    window.content = known?.content ?? null;
    window.isEmpty = known === undefined;
    this.#results.add(window, record);
    const added = (known?.added ?? 0) + 1;
    if (added >= this.#options.size) {
      this.#results.fire(window, true);
      if (known !== undefined) store.delete(slot);
    } else if (known === undefined) store.set(slot, { added, content: window.content });
    else {
      known.added = added;
      known.content = window.content;
    }
  }

  // Records beyond the size are dropped as they come, which gives the same as at the next result.
  #slide(store: ValueStore<CountState>, record: unknown, slide: number): void {
    const { slot } = this.#results;
    const state = store.change(slot) ?? { added: 0, content: [] };
    const last = state.content as unknown[];
    const isNew = last.length === 0;
    last.push(this.#options.recordCodec!.own(record));
    if (last.length > this.#options.size) last.shift();
    state.added++;
    if (state.added >= slide) {
      state.added = 0;
      this.#fireLast(last);
    }
    if (isNew) store.set(slot, state);
  }

  #fireLast(last: readonly unknown[]): void {
    const window = this.#window;
    window.isEmpty = true;
    for (const record of last) this.#results.add(window, record);
    this.#results.fire(window, true);
  }
}

function countCodec(content: ValueCodec<unknown>): ValueCodec<CountState> {
  return {
    schemaVersion: content.schemaVersion * 16 + 1,
    write(state, out) {
      out.uvarint(state.added);
      content.write(state.content, out);
    },
    read: (input) => ({ added: input.uvarint(), content: content.read(input) }),
    readOlder(older) {
      if (older === content.schemaVersion * 16 + 1 || older % 16 !== 1) return null;
      const read = readerOf(content, (older - 1) / 16);
      return read === null ? null : (input) => ({ added: input.uvarint(), content: read(input) });
    },
  };
}
