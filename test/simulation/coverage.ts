// Owns the counts of what really happened in simulated worlds, by name: a simulation that has become tame is noticed.

export class Coverage {
  readonly counts = new Map<string, number>();

  add(name: string, by = 1): void {
    if (by > 0) this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }

  addAll(counts: ReadonlyMap<string, number>): void {
    for (const [name, by] of counts) this.add(name, by);
  }

  get(name: string): number {
    return this.counts.get(name) ?? 0;
  }
}
