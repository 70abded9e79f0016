// Owns which stored checkpoints are kept and which files are dead. Pure bookkeeping, no I/O. Invariant: a file that a
// kept or an unconfirmed published checkpoint needs is never dead.

import type { CheckpointManifest, CheckpointReference } from '#checkpoint/contract.ts';
import { isSegmentName } from '#checkpoint/manifest.ts';
import { invariant } from '#runtime/std/errors.ts';

export interface StoredCheckpoint {
  readonly manifest: CheckpointManifest;
  readonly reference: CheckpointReference;
}

export class Retention {
  readonly #keep: number;
  /** Their chain is in the commit log; oldest first, at most `keep`. */
  #kept: StoredCheckpoint[] = [];
  /** Durable, but no committed entry names them yet; oldest first. */
  #unconfirmed: StoredCheckpoint[] = [];
  /** Files of checkpoints that were kept once and still exist as far as we know. */
  readonly #retired = new Set<string>();

  constructor(keep: number) {
    invariant(Number.isSafeInteger(keep) && keep >= 1, `keep must be at least 1, not ${keep}`);
    this.#keep = keep;
  }

  get kept(): readonly StoredCheckpoint[] {
    return this.#kept;
  }

  /** A stored checkpoint whose chain is committed; called from the newest to the oldest. */
  accept(checkpoint: StoredCheckpoint): void {
    this.#kept.unshift(checkpoint);
    this.#retire();
  }

  /** Renamed into place by this attempt; protected until a committed entry names it or a younger one. */
  publish(checkpoint: StoredCheckpoint): void {
    this.#unconfirmed.push(checkpoint);
  }

  /** A committed entry names it. False when nothing here is called so. */
  confirm(name: string): boolean {
    const index = this.#unconfirmed.findIndex((checkpoint) => checkpoint.reference.name === name);
    if (index < 0) return this.#kept.some((checkpoint) => checkpoint.reference.name === name);
    // Those published before it stand on the same chain.
    const confirmed = this.#unconfirmed.slice(0, index + 1);
    this.#unconfirmed = this.#unconfirmed.slice(index + 1);
    this.#kept.push(...confirmed);
    this.#retire();
    return true;
  }

  /** A kept or unconfirmed checkpoint; null when there is none of the name. */
  find(name: string): StoredCheckpoint | null {
    return [...this.#kept, ...this.#unconfirmed].find(({ reference }) => reference.name === name) ?? null;
  }

  /** Files of retired checkpoints that nothing needs; manifests first, so that no manifest outlives its segments. */
  dead(): string[] {
    const needed = this.needed();
    const dead = [...this.#retired].filter((name) => !needed.has(name));
    return dead.sort((a, b) => Number(isSegmentName(a)) - Number(isSegmentName(b)) || (a < b ? -1 : 1));
  }

  /** Files of kept and of unconfirmed checkpoints. */
  needed(): Set<string> {
    const names = new Set<string>();
    for (const checkpoint of this.#kept) for (const name of filesOf(checkpoint)) names.add(name);
    for (const checkpoint of this.#unconfirmed) for (const name of filesOf(checkpoint)) names.add(name);
    return names;
  }

  isRetired(name: string): boolean {
    return this.#retired.has(name);
  }

  deleted(names: readonly string[]): void {
    for (const name of names) this.#retired.delete(name);
  }

  #retire(): void {
    const retired = this.#kept.splice(0, Math.max(0, this.#kept.length - this.#keep));
    for (const checkpoint of retired) for (const name of filesOf(checkpoint)) this.#retired.add(name);
  }
}

function filesOf(checkpoint: StoredCheckpoint): string[] {
  return [checkpoint.reference.name, ...checkpoint.manifest.segments.map((segment) => segment.name)];
}
