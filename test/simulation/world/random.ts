// Owns seeded randomness (sfc32): the only source of chance in the simulation and in property tests. The same seed
// gives the same numbers on every machine.

import { Occurrences } from '#test/simulation/world/occurrences.ts';

export class Random {
  /** Which faults happen of those that are drawn; shared with all forks. */
  readonly occurrences: Occurrences;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, occurrences = new Occurrences()) {
    this.occurrences = occurrences;
    this.#a = (seed ^ 0x9e3779b9) | 0;
    this.#b = Math.imul(seed, 0x85ebca6b) | 0;
    this.#c = (Math.floor(seed / 2 ** 32) ^ 0xc2b2ae35) | 0;
    for (let i = 0; i < 15; i++) this.bits();
  }

  /** 32 random bits as an unsigned integer. */
  bits(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** In [0, 1). */
  float(): number {
    return this.bits() / 2 ** 32;
  }

  /** An integer in [0, below). */
  int(below: number): number {
    return Math.floor(this.float() * below);
  }

  /** An integer in [low, high]. */
  range(low: number, high: number): number {
    return low + this.int(high - low + 1);
  }

  /** A number in [low, high). */
  between(low: number, high: number): number {
    return low + this.float() * (high - low);
  }

  /** True with this probability; draws nothing at 0, so that a fault that is off changes no other draw. */
  chance(probability: number): boolean {
    return probability > 0 && this.float() < probability;
  }

  /** Whether a fault of this kind happens now: drawn as by `chance`, and one that the run does not leave out. */
  happens(kind: string, probability: number): boolean {
    return this.chance(probability) && this.occurrences.happens(kind);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)];
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    return shuffled;
  }

  bytes(size: number): Buffer {
    const bytes = Buffer.allocUnsafe(size);
    for (let i = 0; i < size; i++) bytes[i] = this.bits();
    return bytes;
  }

  /** Another stream of numbers, made from this one. */
  fork(): Random {
    return new Random(this.bits() * 2 ** 20 + (this.bits() & 0xfffff), this.occurrences);
  }
}
