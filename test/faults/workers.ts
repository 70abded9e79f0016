// Owns the processes of one installation under faults, by their place: starts and ends them, tells their threads what to
// do (thread-preload.ts), asks who runs which task, counts what they say. One that ends by itself is told, and the run
// fails.

import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '#test/integration/oracle/until.ts';
import { BEGAN_AGAIN, type Installation, type Product } from '#test/integration/process-harness.ts';

const PRELOAD = new URL('./thread-preload.ts', import.meta.url).href;
const START_MS = 120_000;
const ASK_MS = 2_000;
/** Its process may be stopped. */
const DIE_MS = 60_000;

export interface RunTask {
  readonly stage: string;
  readonly partition: number;
  readonly worker: number;
  readonly slot: number | null;
}

interface Place {
  readonly directory: string;
  product: Product | null;
  /** It is to be gone. */
  ending: boolean;
}

export class Workers {
  readonly #installation: Installation;
  readonly #places: Place[];
  /** So many tasks began from a checkpoint or from entry 0 so far, in all processes. */
  restores = 0;
  /** What processes said that nobody ended. */
  readonly endedByThemselves: string[] = [];

  constructor(installation: Installation, count: number) {
    this.#installation = installation;
    this.#places = Array.from({ length: count }, (_, index) => {
      return { directory: join(installation.directory, `worker-${index}`), product: null, ending: false };
    });
  }

  get count(): number {
    return this.#places.length;
  }

  /** Starts the process of a place with a clock that is right, unless it runs. */
  async start(index: number): Promise<void> {
    const place = this.#places[index];
    if (place.product?.running) return;
    await rm(place.directory, { recursive: true, force: true });
    await mkdir(place.directory, { recursive: true });
    const product = this.#installation.start({
      FAULTS_DIRECTORY: place.directory,
      NODE_OPTIONS: `--import ${PRELOAD}`,
    });
    product.onLine = (line) => {
      if (BEGAN_AGAIN.test(line)) this.restores++;
    };
    place.product = product;
    place.ending = false;
    product.exited.then((exit) => {
      if (place.ending || place.product !== product) return;
      this.endedByThemselves.push(`worker ${index} ended by itself: ${JSON.stringify(exit)}\n${product.tail()}`);
    });
  }

  /** Waits until it answers requests. */
  async ready(index: number): Promise<void> {
    await this.#places[index].product?.waitForLine(/the admin API answers at/, START_MS);
  }

  async kill(index: number): Promise<void> {
    const place = this.#places[index];
    place.ending = true;
    await place.product?.kill();
  }

  signal(index: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#places[index].product?.signal(signal);
  }

  /** Ends one slot's thread; returns when it is gone, with that moment. */
  async killSlot(index: number, slot: number): Promise<number> {
    const path = join(this.#places[index].directory, `slot-${slot}.die`);
    await writeFile(path, '');
    await until(() => !existsSync(path), `slot ${slot} of worker ${index} to die`, DIE_MS);
    return performance.now();
  }

  async shiftClock(index: number, shiftMs: number): Promise<void> {
    await writeFile(join(this.#places[index].directory, 'clock'), `${shiftMs}`);
  }

  /** Tasks of a job that run now, as every process that answers says of its own. */
  async tasks(job: string): Promise<readonly RunTask[]> {
    const answers = this.#places.map(async ({ product }, worker) =>
      product?.running ? ask(product, job, worker) : [],
    );
    return (await Promise.all(answers)).flat();
  }

  /** Clean stop of all; anything but code 0 is told. */
  async stop(): Promise<readonly string[]> {
    const running = this.#places.filter(({ product }) => product?.running);
    for (const place of running) place.ending = true;
    const exits = await Promise.all(running.map(({ product }) => product?.stop(60_000)));
    return exits.flatMap((exit) => (exit?.code === 0 ? [] : [`the clean stop ended with ${JSON.stringify(exit)}`]));
  }
}

async function ask(product: Product, job: string, worker: number): Promise<RunTask[]> {
  const line = product.lines.find((said) => said.includes('the admin API answers at'));
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line ?? '')?.[0];
  if (url === undefined) return [];
  const read = async (path: string) => (await fetch(`${url}${path}`, { signal: AbortSignal.timeout(ASK_MS) })).json();
  try {
    const { process } = (await read('/overview')) as { process: string };
    const { taskList } = (await read(`/jobs/${job}`)) as { taskList: readonly (RunTask & { process: string })[] };
    // A process may answer for others, too.
    const own = taskList.filter((task) => task.process === process && task.slot !== null);
    return own.map(({ partition, slot, stage }) => ({ stage, partition, slot, worker }));
  } catch {
    return [];
  }
}
