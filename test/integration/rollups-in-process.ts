// Owns the rollup job in a process that shares the test's main thread, on either log: it is fed through the log port
// while it runs, rescaled, and its topics are read again. What is expected of them is the test's business.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadInstallation } from '#jobs/load-job.ts';
import { MillraceProcess } from '#jobs/run-process.ts';
import type { Operation } from '#runtime/control/operations.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import type { OutputRecord } from './oracle/comparison.ts';
import type { DataRecord } from './oracle/data-set.ts';
import { KafkaFeed } from './oracle/kafka-feed.ts';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import type { InputRecord } from './oracle/rollup-oracle.ts';
import { until } from './oracle/until.ts';
import type { RunTopics } from './rollups-scenario.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PATIENCE_MS = 120_000;

export interface InProcessOptions {
  /** Kafka's addresses; null: the embedded log in a directory that goes away at the end. */
  readonly brokers: readonly string[] | null;
  readonly namespace: string;
  readonly partitionCount: number;
  readonly parallelism: number;
  readonly partitionedBy?: 'series' | 'producer';
}

export class RollupsInProcess {
  readonly topics: RunTopics;
  readonly #process: MillraceProcess;
  readonly #feed: LogFeed | KafkaFeed;
  readonly #directory: string;
  readonly #namespace: string;

  private constructor(
    options: InProcessOptions,
    running: MillraceProcess,
    feed: LogFeed | KafkaFeed,
    directory: string,
  ) {
    this.topics = topicsOf(options);
    this.#namespace = options.namespace;
    this.#process = running;
    this.#feed = feed;
    this.#directory = directory;
  }

  static async start(options: InProcessOptions): Promise<RollupsInProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-rollups-'));
    await writeFile(join(directory, 'jobs.config.ts'), configText(options));
    const read = { configPath: 'jobs.config.ts', workingDirectory: directory, environment: {}, flags: {} };
    const running = await MillraceProcess.start({
      installation: await loadInstallation(read),
      logger: silentLogger,
      logLevel: 'silent',
      pretty: false,
      createSource: options.partitionCount,
      signal: new AbortController().signal,
    });
    const { brokers, partitionCount } = options;
    const { source } = topicsOf(options);
    const feed =
      brokers === null
        ? await LogFeed.open(running.log, source, partitionCount)
        : await KafkaFeed.open(brokers, source, partitionCount);
    const run = new RollupsInProcess(options, running, feed, directory);
    await run.#untilLive();
    return run;
  }

  /** Before, there is nothing to rescale. */
  async #untilLive(): Promise<void> {
    const live = async () => {
      this.#checkAlive();
      const [{ tasks }] = await this.#process.status();
      const all = this.#process.jobs[0].prepared?.tasks.length;
      return tasks.filter(({ figures }) => figures?.wasLive).length === all;
    };
    await until(live, 'every task that runs', PATIENCE_MS);
  }

  feed(records: readonly DataRecord[]): Promise<InputRecord[]> {
    return this.#feed.write(records);
  }

  /** Spreads the running job over so many slots; how many tasks moved. */
  async rescale(parallelism: number): Promise<number> {
    const { changes, jobs } = this.#process;
    if (changes === null) throw new Error('nothing can be changed here');
    const parameters = { parallelism };
    const begun = await changes.change(jobs[0], {
      operation: 'rescale',
      parameters,
      requestId: null,
      revisions: null,
    });
    const now = (): Operation | null => changes.operation(begun.requestId);
    await until(() => now()?.phase !== 'running', `the end of a rescale to ${parallelism}`, PATIENCE_MS);
    const { phase, outcome } = now() as Operation;
    if (phase !== 'done') throw new Error(`the rescale to ${parallelism} is ${phase}: ${JSON.stringify(outcome)}`);
    return outcome?.pauses?.length ?? 0;
  }

  /** In how many slots tasks run. */
  async slotsUsed(): Promise<number> {
    return (await this.places()).size;
  }

  /** Partitions of the tasks of all stages, by slot. */
  async places(): Promise<ReadonlyMap<number | null, readonly number[]>> {
    const [{ tasks }] = await this.#process.status();
    const places = Map.groupBy(tasks, ({ slot }) => slot);
    return new Map(
      [...places].map(([slot, own]) => [slot, own.map(({ assignment }) => assignment.partition).sort((a, b) => a - b)]),
    );
  }

  /** Waits until so many records were read and committed, by tasks that did not move since. */
  async untilRead(records: number): Promise<void> {
    const read = async () => {
      this.#checkAlive();
      const [{ tasks }] = await this.#process.status();
      return tasks.reduce((sum, { figures }) => sum + (figures?.totals['records-in'] ?? 0), 0) >= records;
    };
    await until(read, `${records} records read`, PATIENCE_MS);
  }

  /** Everything committed in a topic that is still there. */
  read(topic: string): Promise<OutputRecord[]> {
    return readTopic(this.#process.log, topic);
  }

  /** Waits until as many records were committed there. */
  async untilRecords(topic: string, count: number): Promise<void> {
    let last = 0;
    const done = async () => {
      this.#checkAlive();
      // Offsets are cheap, and more than the records by the ends of transactions.
      if ((await this.#endOf(topic)) < count) return false;
      last = (await this.read(topic)).length;
      return last >= count;
    };
    await until(done, `${count} records in ${topic}`, PATIENCE_MS, () => `there are ${last}`);
  }

  async #endOf(topic: string): Promise<number> {
    const { admin } = this.#process.log;
    const [description] = await admin.describeTopics([topic]);
    const partitions = Array.from({ length: description?.partitionCount ?? 0 }, (_, partition) => partition);
    const queries = partitions.map((partition) => ({ topic, partition, at: 'last-stable' as const }));
    return (await admin.listOffsets(queries)).reduce((sum, offset) => sum + Number(offset), 0);
  }

  /** What was exchanged between its stages, as far as it was not removed behind a checkpoint. */
  async exchanged(): Promise<OutputRecord[]> {
    const names = await this.#process.log.admin.listTopics();
    const exchanges = names.filter((name) => name.startsWith(`__${this.#namespace}.`) && name.includes('.exchange.'));
    return (await Promise.all(exchanges.map((topic) => this.read(topic)))).flat();
  }

  #checkAlive(): void {
    const { failures } = this.#process;
    if (failures.length > 0) throw new Error(`the process cannot go on: ${JSON.stringify(failures)}`);
  }

  async end(): Promise<void> {
    await this.#feed.close();
    await this.#process.stop();
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function topicsOf({ namespace }: InProcessOptions): RunTopics {
  return { source: `${namespace}.raw`, outputPrefix: `${namespace}.rollup` };
}

function configText(options: InProcessOptions): string {
  const { brokers, namespace, parallelism, partitionedBy } = options;
  const { source, outputPrefix } = topicsOf(options);
  const job = {
    module: join(ROOT, 'jobs/rollups.ts'),
    parallelism,
    // Only when tasks move: what is exchanged stays as long as it can.
    checkpointInterval: '1h',
    options: { topic: source, outputPrefix, ...(partitionedBy && { partitionedBy }) },
  };
  const log =
    brokers === null
      ? "embedded({ directory: 'log' })"
      : `kafka({ brokers: ${JSON.stringify(brokers)}, replication: 1 })`;
  return `import { defineConfig, directory, embedded, kafka } from ${JSON.stringify(join(ROOT, 'jobs/config.ts'))};
void [embedded, kafka];
export default defineConfig({
  namespace: ${JSON.stringify(namespace)},
  log: ${log},
  checkpoints: directory('checkpoints'),
  slots: 1,
  jobs: { rollups: ${JSON.stringify(job)} },
});
`;
}
