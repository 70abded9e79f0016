// Owns one run of a seed as those see it who run many: kept or broken, in values that can be sent between threads.

import { type GoldenName, goldenScenario } from '#test/simulation/golden.ts';
import type { Tell } from '#test/simulation/installation.ts';
import { crashAt, simulate } from '#test/simulation/simulation.ts';
import { Occurrences } from '#test/simulation/world/occurrences.ts';
import { type CrashPoint, Operations } from '#test/simulation/world/operations.ts';

export interface SeedOrder {
  readonly seed: number;
  /** Faults that may happen, by kind or one by one; null: all that the seed draws. */
  readonly only: readonly string[] | null;
  /** Not a seed but a golden run, crashed at these points. */
  readonly sweep?: { readonly golden: GoldenName; readonly points: readonly CrashPoint[] };
}

export interface SeedKept {
  readonly broken: false;
  readonly seed: number;
  readonly traceHash: string;
  readonly steps: number;
  readonly counts: ReadonlyMap<string, number>;
  /** Faults that happened. */
  readonly happened: readonly string[];
  /** Requests and disk operations that a golden run began, and its crashes; 0 in a seed. */
  readonly operations: number;
  readonly crashes: number;
}

export interface SeedBroken {
  readonly broken: true;
  readonly seed: number;
  /** Null when something else than an oracle failed. */
  readonly oracle: string | null;
  readonly message: string;
  readonly stack: string;
  /** Faults that happened until then. */
  readonly happened: readonly string[];
}

export type SeedOutcome = SeedKept | SeedBroken;

const MESSAGE_MAX = 4_000;

export async function attemptSeed(order: SeedOrder, tell: Tell | null = null): Promise<SeedOutcome> {
  const { only, seed, sweep } = order;
  const occurrences = new Occurrences(only);
  const operations = new Operations(sweep?.points ?? []);
  try {
    const { traceHash, steps, coverage } =
      sweep === undefined
        ? await simulate(seed, { occurrences, tell })
        : await crashAt(goldenScenario(sweep.golden), operations, tell);
    const { count, crashes } = operations;
    return {
      operations: count,
      crashes,
      broken: false,
      seed,
      traceHash,
      steps,
      counts: coverage.counts,
      happened: [...occurrences.happened],
    };
  } catch (error) {
    const { message, oracle, stack } = error as Error & { readonly oracle?: string };
    return {
      broken: true,
      seed,
      oracle: oracle ?? null,
      message: String(message).slice(0, MESSAGE_MAX),
      stack: String(stack).slice(0, MESSAGE_MAX),
      happened: [...occurrences.happened],
    };
  }
}
