// Owns the slow meaning of joining two streams by an interval of event time: each pair within the bounds once, when the
// second of the two comes; alone what met nothing, where that is wanted; late what came too late.

import { RecordModel, type TakenRow } from '#test/simulation/oracle/record-model.ts';

export interface Joined {
  readonly order: string;
  readonly n: number;
}

export interface JoinRules {
  readonly lowerMs: number;
  readonly upperMs: number;
  readonly kind: 'inner' | 'left' | 'right' | 'full';
  readonly allowedLatenessMs: number;
  readonly to: string;
  readonly lateTo: readonly [left: string, right: string];
}

interface Seen {
  readonly side: 0 | 1;
  readonly atMs: number;
  readonly record: Joined;
  matched: boolean;
  over: boolean;
}

export class JoinModel extends RecordModel {
  late = 0;
  pairs = 0;
  alone = 0;
  readonly #rules: JoinRules;
  /** By key, in the order they came. */
  readonly #seen = new Map<string, Seen[]>();

  constructor(rules: JoinRules) {
    super();
    this.#rules = rules;
  }

  override onRecord({ key, timestampMs, value }: TakenRow): void {
    const { allowedLatenessMs, lateTo, lowerMs, upperMs } = this.#rules;
    const [side, record] = value as readonly [0 | 1, Joined];
    if (timestampMs + allowedLatenessMs < this.watermarkMs) {
      this.late++;
      this.put(lateTo[side], key, timestampMs, record);
      return;
    }
    const all = this.#seen.get(key) ?? [];
    const mine: Seen = { side, atMs: timestampMs, record, matched: false, over: false };
    const others = all.filter((one) => {
      const [left, right] = side === 0 ? [mine, one] : [one, mine];
      return one.side !== side && right.atMs >= left.atMs + lowerMs && right.atMs <= left.atMs + upperMs;
    });
    for (const other of others.sort((a, b) => a.atMs - b.atMs)) {
      other.matched = true;
      mine.matched = true;
      this.pairs++;
      if (side === 0) this.#put(key, mine, other);
      else this.#put(key, other, mine);
    }
    this.#seen.set(key, [...all, mine]);
    // Nothing may be left that it could meet.
    if (this.#overMs(mine) <= this.watermarkMs) this.#end(key, mine);
  }

  override onWatermark(): void {
    for (const [key, all] of this.#seen) {
      const over = all.filter((one) => !one.over && this.#overMs(one) <= this.watermarkMs);
      over.sort((a, b) => this.#overMs(a) - this.#overMs(b) || a.side - b.side);
      for (const one of over) this.#end(key, one);
    }
  }

  #overMs({ atMs, side }: Seen): number {
    const { allowedLatenessMs, lowerMs, upperMs } = this.#rules;
    return atMs + (side === 0 ? upperMs : -lowerMs) + allowedLatenessMs + 1;
  }

  #end(key: string, one: Seen): void {
    const { kind } = this.#rules;
    one.over = true;
    const goes = kind === 'full' || kind === (one.side === 0 ? 'left' : 'right');
    if (one.matched || !goes) return;
    this.alone++;
    this.#put(key, one.side === 0 ? one : null, one.side === 0 ? null : one);
  }

  #put(key: string, left: Seen | null, right: Seen | null): void {
    const timestampMs = Math.max(left?.atMs ?? Number.NEGATIVE_INFINITY, right?.atMs ?? Number.NEGATIVE_INFINITY);
    const value = { left: left?.record.n ?? null, right: right?.record.n ?? null };
    const times = { leftMs: left?.atMs ?? null, rightMs: right?.atMs ?? null };
    this.put(this.#rules.to, key, timestampMs, { ...value, ...times });
  }
}
