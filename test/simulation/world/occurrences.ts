// Owns which of the faults that a seed draws really happen: all of them, or only those of a list, so that a failing run
// can be had again with less. A fault is named by its kind and by how often that kind was drawn, `crash@3`; whether it
// happens changes nothing about what was drawn before it.

/** A run has some hundred; a list beyond this is of no use to anybody. */
const NOTED_MAX = 20_000;

export class Occurrences {
  /** How often each kind was drawn, happened or not. */
  readonly drawn = new Map<string, number>();
  /** How often each kind happened. */
  readonly counts = new Map<string, number>();
  /** What happened, in order: `kind@n`. */
  readonly happened: string[] = [];
  /** Kinds and single faults that may happen; null: all. */
  readonly only: ReadonlySet<string> | null;

  constructor(only: readonly string[] | null = null) {
    this.only = only === null ? null : new Set(only);
  }

  /** Whether the fault that was drawn now happens. */
  happens(kind: string): boolean {
    const count = (this.drawn.get(kind) ?? 0) + 1;
    this.drawn.set(kind, count);
    const name = `${kind}@${count}`;
    if (this.only !== null && !this.only.has(kind) && !this.only.has(name)) return false;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    if (this.happened.length < NOTED_MAX) this.happened.push(name);
    return true;
  }
}
