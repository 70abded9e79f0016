// Owns running seeds over worker threads. A seed's outcome does not depend on which thread runs it or on what ran before;
// of several broken seeds the lowest is told, however they were spread.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Patch } from '#test/simulation/planting.ts';
import type { SeedBroken, SeedOrder, SeedOutcome } from '#test/simulation/seed-attempt.ts';

export interface SeedPoolOptions {
  /** @default one for each core */
  readonly workers?: number | undefined;
  /** Mistakes that every worker plants. */
  readonly patches?: readonly Patch[];
  /** How long a seed may take before it is broken, and its worker ended. @default 5 minutes */
  readonly seedMaxMs?: number;
}

const SEED_MAX_MS = 300_000;
/** Of a worker; a seed needs a twentieth of it. With half of it a seed takes a fifth longer: more is collected, sooner. */
const HEAP_MAX_MB = 2048;
const MAIN = new URL('seed-worker.ts', import.meta.url);

interface Job {
  readonly order: SeedOrder;
  readonly resolve: (outcome: SeedOutcome) => void;
}

export class SeedPool {
  readonly workers: number;
  readonly #patches: readonly Patch[];
  readonly #seedMaxMs: number;
  readonly #waiting: Job[] = [];
  readonly #busy = new Map<Worker, { readonly job: Job; readonly timer: NodeJS.Timeout }>();
  readonly #idle: Worker[] = [];
  #closed = false;

  constructor({ workers = availableParallelism(), patches = [], seedMaxMs = SEED_MAX_MS }: SeedPoolOptions = {}) {
    this.workers = workers;
    this.#patches = patches;
    this.#seedMaxMs = seedMaxMs;
  }

  run(order: SeedOrder): Promise<SeedOutcome> {
    return new Promise((resolve) => {
      this.#waiting.push({ order, resolve });
      this.#next();
    });
  }

  /** Runs seeds in their order until one is broken; gives the lowest that is, null when all are kept. */
  async runAll(seeds: Iterable<number>, told: (outcome: SeedOutcome) => void): Promise<SeedBroken | null> {
    const rest = seeds[Symbol.iterator]();
    const found: SeedBroken[] = [];
    const work = async () => {
      while (found.length === 0) {
        const { done, value: seed } = rest.next();
        if (done) return;
        const outcome = await this.run({ seed, only: null });
        told(outcome);
        if (outcome.broken) found.push(outcome);
      }
    };
    await Promise.all(Array.from({ length: this.workers }, work));
    return found.sort((left, right) => left.seed - right.seed)[0] ?? null;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#idle.splice(0), ...this.#busy.keys()];
    for (const { timer } of this.#busy.values()) clearTimeout(timer);
    this.#busy.clear();
    await Promise.all(all.map((worker) => worker.terminate()));
  }

  #next(): void {
    const job = this.#waiting[0];
    if (job === undefined || this.#closed) return;
    const worker = this.#idle.pop() ?? (this.#busy.size < this.workers ? this.#start() : null);
    if (worker === null) return;
    this.#waiting.shift();
    const seconds = this.#seedMaxMs / 1000;
    const timer = setTimeout(() => this.#lost(worker, new Error(`not done within ${seconds} s`)), this.#seedMaxMs);
    this.#busy.set(worker, { job, timer });
    worker.postMessage(job.order);
  }

  #start(): Worker {
    const worker = new Worker(MAIN, {
      workerData: { patches: this.#patches },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB },
      // Those of a test runner mean nothing here.
      execArgv: [],
    });
    worker.on('message', (outcome: SeedOutcome) => {
      this.#take(worker)?.resolve(outcome);
      if (!this.#closed) this.#idle.push(worker);
      this.#next();
    });
    worker.on('error', (error) => this.#lost(worker, error));
    return worker;
  }

  #take(worker: Worker): Job | null {
    const busy = this.#busy.get(worker);
    if (busy === undefined) return null;
    clearTimeout(busy.timer);
    this.#busy.delete(worker);
    return busy.job;
  }

  /** The seed that it ran is broken; another worker takes its place. */
  #lost(worker: Worker, error: unknown): void {
    const at = this.#idle.indexOf(worker);
    if (at >= 0) this.#idle.splice(at, 1);
    const job = this.#take(worker);
    void worker.terminate();
    const { message, stack } = error as Error;
    const fields = { oracle: null, message: `its thread: ${message}`, stack: String(stack), happened: [] };
    job?.resolve({ broken: true, seed: job.order.seed, ...fields });
    this.#next();
  }
}
