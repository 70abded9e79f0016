// Owns what joins must put out, by keeping every record for ever and looking at all of them. Slow on purpose; shares
// nothing with the operators it judges.

import type { Row } from '../windows/operator-rig.ts';

interface Seen {
  readonly slot: number;
  readonly side: number;
  readonly timeMs: number;
  readonly record: unknown;
  met: boolean;
  alone: boolean;
}

export class IntervalJoinModel {
  readonly sent: unknown[][] = [];
  watermarkMs = Number.NEGATIVE_INFINITY;
  readonly #options: { lowerMs: number; upperMs: number; latenessMs: number; outer: readonly [boolean, boolean] };
  readonly #seen: Seen[] = [];

  constructor(options: { lowerMs: number; upperMs: number; latenessMs: number; outer: readonly [boolean, boolean] }) {
    this.#options = options;
  }

  clock(): void {}

  row({ slot, timeMs, record: tagged }: Row): void {
    const { lowerMs, upperMs, latenessMs } = this.#options;
    const [side, record] = tagged as [number, unknown];
    if (timeMs + latenessMs < this.watermarkMs) {
      this.sent.push([side === 0 ? 'late-left' : 'late-right', slot, timeMs, record]);
      return;
    }
    const own: Seen = { slot, side, timeMs, record, met: false, alone: false };
    const others = this.#seen
      .filter((seen) => seen.slot === slot && seen.side !== side)
      .filter((seen) => {
        const apartMs = side === 0 ? seen.timeMs - timeMs : timeMs - seen.timeMs;
        return apartMs >= lowerMs && apartMs <= upperMs;
      })
      .sort((a, b) => a.timeMs - b.timeMs);
    for (const other of others) {
      const pair = side === 0 ? [record, other.record] : [other.record, record];
      this.sent.push(['out', slot, Math.max(timeMs, other.timeMs), pair]);
      other.met = true;
      own.met = true;
    }
    this.#seen.push(own);
    if (this.#forgottenMs(own) <= this.watermarkMs) this.#leave(own);
  }

  watermark(timeMs: number): void {
    this.watermarkMs = timeMs;
    const over = this.#seen.filter((seen) => !seen.alone && this.#forgottenMs(seen) <= timeMs);
    over.sort((a, b) => this.#forgottenMs(a) - this.#forgottenMs(b) || a.slot - b.slot || a.side - b.side);
    for (const seen of over) this.#leave(seen);
  }

  #forgottenMs({ side, timeMs }: Seen): number {
    const { lowerMs, upperMs, latenessMs } = this.#options;
    return timeMs + (side === 0 ? upperMs : -lowerMs) + latenessMs + 1;
  }

  #leave(seen: Seen): void {
    seen.alone = true;
    if (seen.met || !this.#options.outer[seen.side]) return;
    const pair = seen.side === 0 ? [seen.record, null] : [null, seen.record];
    this.sent.push(['out', seen.slot, seen.timeMs, pair]);
  }
}

export class LookupModel {
  readonly sent: unknown[][] = [];
  watermarkMs = Number.NEGATIVE_INFINITY;
  readonly #options: { versioned: boolean; left: boolean; latenessMs: number };
  readonly #changes: Row[] = [];
  #asked: Row[] = [];

  constructor(options: { versioned: boolean; left: boolean; latenessMs: number }) {
    this.#options = options;
  }

  clock(): void {}

  row(row: Row): void {
    const { versioned, latenessMs } = this.#options;
    const [side, record] = row.record as [number, unknown];
    if (side === 1) this.#changes.push(row);
    else if (versioned && row.timeMs + latenessMs < this.watermarkMs) {
      this.sent.push(['late', row.slot, row.timeMs, record]);
    } else if (!versioned || row.timeMs < this.watermarkMs) this.#answer(row);
    else this.#asked.push(row);
  }

  watermark(timeMs: number): void {
    this.watermarkMs = timeMs;
    const ready = this.#asked
      .filter((row) => row.timeMs < timeMs)
      .sort((a, b) => a.timeMs - b.timeMs || a.slot - b.slot);
    this.#asked = this.#asked.filter((row) => row.timeMs >= timeMs);
    for (const row of ready) this.#answer(row);
  }

  #answer({ slot, timeMs, record }: Row): void {
    const changes = this.#changes.filter((change) => change.slot === slot);
    const known = this.#options.versioned
      ? changes.filter((change) => change.timeMs <= timeMs).sort((a, b) => a.timeMs - b.timeMs)
      : changes;
    const last = known.at(-1);
    const row = last === undefined ? null : (last.record as [number, unknown])[1];
    if (row === null && !this.#options.left) return;
    this.sent.push(['out', slot, timeMs, [(record as [number, unknown])[1], row, row === null ? null : last!.timeMs]]);
  }
}
