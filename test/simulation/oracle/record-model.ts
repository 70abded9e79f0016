// Owns what models of stages over records have in common: rows in, rows out, time. A model is a plain fold over what one
// task took, in the order it took it; the slowest that can be read.

export interface TakenRow {
  /** Empty before keyBy. */
  readonly key: string;
  readonly timestampMs: number;
  readonly value: unknown;
  readonly originTopic: string;
  readonly originPartition: number;
  readonly originOffset: number;
}

/** A row that must have been put out. */
export interface ModelOutput {
  /** A topic, or the stage that an exchange leads to. */
  readonly to: string;
  readonly key: string;
  readonly timestampMs: number;
  readonly value: unknown;
  /** Number of the entry in which it became due. */
  readonly dueEntry: number;
  /** Of a record: then it was put out in that entry; a long firing of timers may end in a later one. */
  readonly byRecord: boolean;
  /** What several keys put out at this event time comes in an order that only the engine knows; null: of one key. */
  readonly tieMs: number | null;
}

export abstract class RecordModel {
  watermarkMs = Number.NEGATIVE_INFINITY;
  clockMs = 0;
  /** Of the entry being interpreted. */
  entry = 0;
  /** Which of the workload's versions made that entry. */
  code = 0;
  readonly outputs: ModelOutput[] = [];
  #byRecord = true;

  /** A record, under the watermark before it. */
  take(row: TakenRow): void {
    this.#byRecord = true;
    this.onRecord(row);
  }

  /** The watermark reached this, or was there already. */
  advance(watermarkMs: number): void {
    if (watermarkMs <= this.watermarkMs) return;
    this.watermarkMs = watermarkMs;
    this.#byRecord = false;
    this.onWatermark();
  }

  /** The clock of entries reached this. Returns how many timers fired. */
  tick(clockMs: number): number {
    this.clockMs = clockMs;
    this.#byRecord = false;
    return this.onClock();
  }

  /**
   * Begins with what models of an older generation knew: the keys of each that are its own now, and the largest of their
   * watermarks.
   */
  adopt(parts: readonly RecordModel[], owns: (key: string) => boolean): void {
    for (const part of parts) this.onAdopt(part, owns);
    for (const { watermarkMs } of parts) this.advance(watermarkMs);
  }

  /** An entry begins, made by the version that `code` names. */
  onEntry(): void {}

  abstract onRecord(row: TakenRow): void;

  /** Whatever a stage knows that may be of another generation. */
  onAdopt(_part: RecordModel, _owns: (key: string) => boolean): void {
    throw new Error('this model has only one generation');
  }

  onWatermark(): void {}

  onClock(): number {
    return 0;
  }

  put(to: string, key: string, timestampMs: number, value: unknown, tieMs: number | null = null): void {
    this.outputs.push({ to, key, timestampMs, value, dueEntry: this.entry, byRecord: this.#byRecord, tieMs });
  }
}

/** A stage that only gives each record its key and sends it on. */
export class ForwardModel extends RecordModel {
  readonly #to: string;
  readonly #keyOf: (value: unknown) => string;
  readonly #map: (value: unknown) => unknown;

  constructor(to: string, keyOf: (value: unknown) => string, map: (value: unknown) => unknown = (value) => value) {
    super();
    this.#to = to;
    this.#keyOf = keyOf;
    this.#map = map;
  }

  override onRecord({ timestampMs, value }: TakenRow): void {
    this.put(this.#to, this.#keyOf(value), timestampMs, this.#map(value));
  }

  override onAdopt(): void {}
}
