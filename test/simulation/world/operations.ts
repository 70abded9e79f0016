// Owns the numbering of what processes do to the world, requests to the log and operations on the disk, in the order in
// which they begin; and at which of them a process dies: before it is done, or after it and before the answer.

import type { Process } from '#test/simulation/world/process.ts';

export type CrashSide = 'before' | 'after';

/** 17-before, 4-after. */
export interface CrashPoint {
  readonly operation: number;
  readonly side: CrashSide;
}

export class Operations {
  /** How many began. */
  count = 0;
  /** Crashes that came. */
  crashes = 0;
  /** What begins is not numbered, and nobody dies of it. */
  over = false;
  readonly #points: ReadonlyMap<number, CrashSide>;
  /** Kills what the process belongs to. */
  #kill: (process: Process) => void = (process) => process.kill();

  constructor(points: readonly CrashPoint[]) {
    this.#points = new Map(points.map(({ operation, side }) => [operation, side]));
  }

  onCrash(kill: (process: Process) => void): void {
    this.#kill = kill;
  }

  /** One begins; the side of it at which its process is to die. */
  begin(): CrashSide | null {
    return this.over ? null : (this.#points.get(++this.count) ?? null);
  }

  crash(process: Process): void {
    // A request may be answered when nobody waits for it any more.
    if (!process.alive) return;
    this.crashes++;
    this.#kill(process);
  }
}

export function pointText({ operation, side }: CrashPoint): string {
  return `${operation}-${side}`;
}

/** Throws an Error when it is none. */
export function readPoint(text: string): CrashPoint {
  const match = /^([1-9]\d*)-(before|after)$/.exec(text);
  if (match === null) throw new Error(`'${text}' is no point: say 17-before or 17-after`);
  return { operation: Number(match[1]), side: match[2] as CrashSide };
}
