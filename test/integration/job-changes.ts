// Owns asking the admin API of a real process for changes of a job, and waiting for them; knows HTTP and nothing of what
// stands behind it.

import { until } from './oracle/until.ts';
import type { Product } from './process-harness.ts';

const PATIENCE_MS = 120_000;

export interface ChangeRequest {
  readonly requestId: string;
  readonly state: string;
  readonly message: string | null;
  readonly failure: { readonly code: string; readonly message: string } | null;
  readonly pauses: readonly { readonly pauseMs: number | null }[];
}

export interface ShownJob {
  readonly state: string;
  readonly parallelism: number;
  readonly restarts: number;
  readonly tasks: { readonly total: number; readonly running: number };
  readonly taskList: readonly {
    readonly process: string;
    readonly phase: string;
    readonly slot: number | null;
    readonly inputs: readonly { readonly lagRecords: number | null }[];
  }[];
}

export class JobChanges {
  readonly url: string;
  readonly #product: Product;
  readonly #job: string;

  private constructor(product: Product, job: string, url: string) {
    this.#product = product;
    this.#job = job;
    this.url = url;
  }

  /** When it says where it answers, and has its jobs. */
  static async of(product: Product, job: string): Promise<JobChanges> {
    const changes = await JobChanges.through(product, job);
    await product.waitForLine(/installation claimed/, PATIENCE_MS);
    return changes;
  }

  /** The same of a process that may leave it to another one to change jobs. */
  static async through(product: Product, job: string): Promise<JobChanges> {
    const line = await product.waitForLine(/the admin API answers at/, PATIENCE_MS);
    return new JobChanges(product, job, /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? '');
  }

  async job(): Promise<ShownJob> {
    return (await this.#ask<ShownJob>(`/jobs/${this.#job}`)).body;
  }

  /** How many tasks run in each process, most first, when all of them run in so many processes. */
  async untilSharedBy(processes: number): Promise<readonly number[]> {
    let counts: readonly number[] = [];
    const shared = async () => {
      const { body, status } = await this.#ask<ShownJob>(`/jobs/${this.#job}`);
      if (status !== 200) return false;
      const running = body.taskList.filter(({ phase }) => phase === 'running');
      counts = [...Map.groupBy(running, ({ process }) => process).values()].map(({ length }) => length);
      return running.length === body.tasks.total && counts.length === processes;
    };
    await until(shared, `tasks in ${processes} processes`, PATIENCE_MS, () => `${counts}\n${this.#product.tail()}`);
    return counts.toSorted((a, b) => b - a);
  }

  /** Answered when it is written down. */
  async begin(patch: object, id: string): Promise<ChangeRequest> {
    const headers = { 'content-type': 'application/json', 'idempotency-key': id };
    const sent = { method: 'PATCH', headers, body: JSON.stringify(patch) };
    const { body, status } = await this.#ask<ChangeRequest>(`/jobs/${this.#job}`, sent);
    if (status !== 202) throw new Error(`${JSON.stringify(patch)} was answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  /** How it ended, asked for by its id. */
  async end(id: string): Promise<ChangeRequest> {
    let last: ChangeRequest | null = null;
    const over = async () => {
      const { body, status } = await this.#ask<ChangeRequest>(`/requests/${id}`);
      last = body;
      // While processes settle who answers for all of them, nobody does.
      return (status === 200 && body.state !== 'RUNNING') || !this.#product.running;
    };
    await until(
      over,
      `the end of request ${id}`,
      PATIENCE_MS,
      () => `${JSON.stringify(last)}\n${this.#product.tail()}`,
    );
    return last as unknown as ChangeRequest;
  }

  async change(patch: object, id: string): Promise<ChangeRequest> {
    await this.begin(patch, id);
    return this.end(id);
  }

  /** When no task has anything left to read. */
  async untilReadToEnd(): Promise<void> {
    const done = async () => {
      const { taskList } = await this.job();
      return taskList.every(({ inputs }) => inputs.length > 0 && inputs.every(({ lagRecords }) => lagRecords === 0));
    };
    // Twice: what was read makes records for the next stage.
    for (let looks = 0; looks < 2; looks++)
      await until(done, 'the end of the input', PATIENCE_MS, () => this.#product.tail());
  }

  async #ask<T>(path: string, sent: RequestInit = {}): Promise<{ readonly status: number; readonly body: T }> {
    const answer = await fetch(`${this.url}${path}`, sent);
    return { status: answer.status, body: (await answer.json()) as T };
  }
}
