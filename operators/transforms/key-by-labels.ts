// Owns keyBy(by(labels)): gives each series the key made of its metric name and some of its labels, in a second table.
// The way from series to key is remembered per series slot and forgotten whenever slots are evicted.

import { canonicalText, sortedLabels } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { KeyExpiry } from '#operators/transforms/key-expiry.ts';
import { invariant } from '#runtime/std/errors.ts';
import { Batch, type BatchConsumer, type Operator, type OperatorContext } from '#runtime/task/contract.ts';

export interface KeyByLabelsOptions {
  readonly id: string;
  readonly series: SeriesTable;
  /** Keys of what goes on from here; used by nobody upstream. */
  readonly keys: SeriesTable;
  readonly labels: readonly string[];
  /** A key may be forgotten after it was not seen for two to three of these, in event time. */
  readonly keyTtlMs: number;
  /** Operators whose state and pending output may mention keys of `keys`. */
  readonly users: readonly Operator[];
  readonly next: readonly BatchConsumer[];
}

export class KeyByLabels implements Operator {
  readonly id: string;
  readonly #options: KeyByLabelsOptions;
  readonly #labels: ReadonlySet<string>;
  readonly #expiry: KeyExpiry;
  /** By series slot: key slot + 1, 0 where unknown. */
  #keyOf: Int32Array = new Int32Array(256);
  /** The batch that goes on: own keys, all other columns are those of the batch that came. */
  readonly #out = new Batch(1);
  #key: Int32Array = new Int32Array(1);
  #context: OperatorContext | null = null;

  constructor(options: KeyByLabelsOptions) {
    this.id = options.id;
    this.#options = options;
    this.#labels = new Set(options.labels);
    this.#expiry = new KeyExpiry(`${options.id}/expiry`, options.keyTtlMs);
    const forget = () => void this.#keyOf.fill(0);
    options.series.onEvict(forget);
    options.keys.onEvict(forget);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#options.series.open(context.state);
    this.#options.keys.open(context.state);
    this.#expiry.open(context.state);
  }

  process(batch: Batch): void {
    if (batch.count === 0) return;
    const { series, keys, next } = this.#options;
    this.#expiry.begin(batch.timestampMs[0], this.#context!.watermarkMs());
    series.markSeen(batch.key, batch.count);
    if (this.#key.length < batch.count) this.#key = new Int32Array(batch.capacity);
    if (this.#keyOf.length < series.slotCount) this.#widen(series.slotCount);
    const key = this.#key;
    for (let i = 0; i < batch.count; i++) {
      const known = this.#keyOf[batch.key[i]];
      key[i] = known > 0 ? known - 1 : this.#resolve(batch.key[i]);
    }
    keys.markSeen(key, batch.count);
    const out = this.#out;
    out.count = batch.count;
    out.capacity = batch.capacity;
    out.timestampMs = batch.timestampMs;
    out.key = key;
    out.value = batch.value;
    out.originPartition = batch.originPartition;
    out.originOffset = batch.originOffset;
    out.originTopic = batch.originTopic;
    out.maxTimestampMs = batch.maxTimestampMs;
    for (let i = 0; i < next.length; i++) next[i].process(out);
  }

  nextBoundaryMs(watermarkMs: number): number {
    return this.#expiry.nextBoundaryMs(watermarkMs);
  }

  nextTimerMs(): number {
    return this.#expiry.nextSweepMs;
  }

  /** Forgetting keys puts nothing out. */
  nextOutputMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fire(timeMs: number): boolean {
    invariant(this.#context !== null, `keyBy '${this.id}' fires before open`);
    const { series, keys, users } = this.#options;
    const evicted = keys.evict((slot) => users.some((user) => user.usesKey(slot))) + series.evict(() => false);
    if (evicted > 0) this.#context.count('keys-evicted', evicted);
    this.#expiry.swept(timeMs, this.#context.watermarkMs());
    return true;
  }

  usesKey(): boolean {
    return false;
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  #resolve(seriesSlot: number): number {
    const { series, keys } = this.#options;
    const kept = series.labels(seriesSlot).filter(([name]) => this.#labels.has(name));
    const slot = keys.slotOfText(canonicalText(series.metricName(seriesSlot), sortedLabels(kept)));
    this.#keyOf[seriesSlot] = slot + 1;
    return slot;
  }

  #widen(slotCount: number): void {
    const wider = new Int32Array(slotCount * 2);
    wider.set(this.#keyOf);
    this.#keyOf = wider;
  }
}
