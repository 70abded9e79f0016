// Owns the figures of many tasks in one process: how long until all of them run, what they hold (memory, sockets), what
// they cost while nothing comes in, and how many transactions they make when each wants more than the process may.

import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogConfiguration } from '#jobs/configuration.ts';
import { connectLog } from '#jobs/connect-log.ts';
import { loadInstallation } from '#jobs/load-job.ts';
import { MillraceProcess } from '#jobs/run-process.ts';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { Distribution } from '#runtime/std/histogram.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { startKafka } from '#test/harness/kafka.ts';
import { KafkaFeed } from '#test/integration/oracle/kafka-feed.ts';
import { LogFeed } from '#test/integration/oracle/log-port.ts';
import { until } from '#test/integration/oracle/until.ts';
import type { Bench, Figure } from './figure.ts';

const SIDE_PARTITIONS = 4;
const FEED_EVERY_MS = 250;
const WINDOW_MS = 1_000;
const HOUR_MS = 3_600_000;
const PATIENCE_MS = 300_000;
const JOB = 'many';

export interface ManyTasks {
  readonly tasks: number;
  /** Null: the embedded log. */
  readonly brokers: readonly string[] | null;
  readonly namespace: string;
  readonly slots: number;
  readonly idleSeconds: number;
  readonly loadSeconds: number;
  readonly progress: (message: string) => void;
}

export interface ManyTasksMeasure {
  readonly firstStartSeconds: number;
  readonly startCpuSeconds: number;
  readonly rssKibPerTask: number;
  readonly sockets: number;
  readonly idleCpuPerSecond: number;
  readonly commitsPerSecond: number;
  readonly loadCpuPerSecond: number;
  /** From asking for an entry's transaction to its end. */
  readonly commitMedianMs: number;
  readonly fedRecords: number;
  readonly readRecords: number;
  readonly stopSeconds: number;
  readonly restartSeconds: number;
}

const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);

function jobText(namespace: string): string {
  const topics = { topic: `${namespace}.raw`, lateTopic: `${namespace}.late`, deadLetterTopic: `${namespace}.dead` };
  return `import { defineJob } from ${module('../../jobs/define-job.ts')};
import { samples, series, stats, topic, tumbling } from ${module('../../jobs/descriptions.ts')};
export default defineJob({
  name: '${JOB}',
  source: samples({ ...${JSON.stringify(topics)}, partitionedBy: 'producer', outOfOrderness: '0s' }),
  build: (raw) => {
    raw.keyBy(series).window('second', tumbling('1s')).aggregate(stats()).to(topic('${namespace}.rows'));
  },
});
`;
}

function configText({ brokers, namespace, slots }: ManyTasks): string {
  const log =
    brokers === null
      ? "embedded({ directory: 'log' })"
      : `kafka({ brokers: ${JSON.stringify(brokers)}, replication: 1 })`;
  return `import { defineConfig, directory, embedded, kafka } from ${module('../../jobs/config.ts')};
void [embedded, kafka];
export default defineConfig({
  namespace: '${namespace}',
  log: ${log},
  checkpoints: directory('checkpoints'),
  slots: ${slots},
  jobs: { ${JOB}: { module: './${JOB}.ts', parallelism: ${slots} } },
});
`;
}

export const tasksBench: Bench = {
  name: 'tasks',
  summary: 'a job of --tasks 1000 partitions in one process: start, memory, sockets, transactions, stop',
  always: false,
  async run({ tasks, progress }) {
    const common = { tasks, slots: 2, idleSeconds: 10, loadSeconds: 20, progress };
    progress(`tasks: ${tasks} on the embedded log`);
    const embedded = await measureManyTasks({ ...common, namespace: 'many-embedded', brokers: null });
    const kafka = await startKafka({ own: true, heapMiB: 1024 });
    try {
      progress(`tasks: ${tasks} on Kafka, one broker`);
      const own = { ...common, namespace: 'many-kafka', brokers: kafka.brokers };
      return [...figures('embedded', embedded), ...figures('kafka', await measureManyTasks(own))];
    } finally {
      await kafka.stop();
    }
  },
};

function figures(log: string, measure: ManyTasksMeasure): Figure[] {
  const of = (name: string, value: number, unit: string) => ({ name: `tasks.${log}.${name}`, value, unit });
  return [
    of('first_start', measure.firstStartSeconds, 's until every task runs, its topics new'),
    of('restart', measure.restartSeconds, 's until every task runs, from its checkpoint'),
    of('stop', measure.stopSeconds, 's, a checkpoint of each'),
    of('start_cpu', measure.startCpuSeconds, 'CPU-s'),
    of('memory', measure.rssKibPerTask, 'KiB per task'),
    of('sockets', measure.sockets, 'sockets'),
    of('idle_cpu', measure.idleCpuPerSecond, 'CPU-s per s, nothing coming in'),
    of('commits', measure.commitsPerSecond, 'transactions per s, each task wanting four'),
    of('load_cpu', measure.loadCpuPerSecond, 'CPU-s per s meanwhile'),
    of('commit_median', measure.commitMedianMs, 'ms per transaction, not more'),
  ];
}

/** Throws when a record is not read, or a task fails. */
export async function measureManyTasks(options: ManyTasks): Promise<ManyTasksMeasure> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-tasks-'));
  await writeFile(join(directory, `${JOB}.ts`), jobText(options.namespace));
  await writeFile(join(directory, 'config.ts'), configText(options));
  let running: MillraceProcess | null = null;
  try {
    const rssBefore = process.memoryUsage.rss();
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    running = await start(directory, options);
    await untilLive(running, options.tasks);
    const firstStartSeconds = (performance.now() - startedMs) / 1_000;
    const startCpuSeconds = cpuSeconds(cpu);
    options.progress(`tasks: all run after ${firstStartSeconds.toFixed(1)} s`);
    const idle = process.cpuUsage();
    await sleep(options.idleSeconds * 1_000);
    const idleCpuPerSecond = cpuSeconds(idle) / options.idleSeconds;
    const load = await underLoad(running, options);
    const rssKibPerTask = (process.memoryUsage.rss() - rssBefore) / 1_024 / options.tasks;
    const sockets = openSockets();
    const stoppingMs = performance.now();
    await running.stop();
    checkFailures(running);
    const stopSeconds = (performance.now() - stoppingMs) / 1_000;
    const againMs = performance.now();
    running = await start(directory, options);
    await untilLive(running, options.tasks);
    const restartSeconds = (performance.now() - againMs) / 1_000;
    const started = { firstStartSeconds, startCpuSeconds, restartSeconds, stopSeconds };
    return { ...started, rssKibPerTask, sockets, idleCpuPerSecond, ...load };
  } finally {
    await running?.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function start(directory: string, options: ManyTasks): Promise<MillraceProcess> {
  const at = { configPath: 'config.ts', workingDirectory: directory, environment: {}, flags: {} };
  const installation = await loadInstallation(at);
  await createSideTopics(installation.configuration.log, options.namespace);
  return MillraceProcess.start({
    installation,
    logger: silentLogger,
    logLevel: 'silent',
    pretty: false,
    createSource: options.tasks,
    signal: new AbortController().signal,
  });
}

/** With few partitions: what is measured is tasks. */
async function createSideTopics(log: LogConfiguration, namespace: string): Promise<void> {
  const { directory } = log.kind === 'embedded' ? log : { directory: null };
  const embedded = directory === null ? null : await openEmbeddedLog({ directory, clock: systemClock });
  const client = embedded?.client() ?? connectLog(log, null, 'bench');
  const side = (name: string) => ({ topic: `${namespace}.${name}`, partitionCount: SIDE_PARTITIONS });
  await client.admin.createTopics(['rows', 'late', 'dead'].map(side));
  await client.close();
  await embedded?.close();
}

function checkFailures({ failures }: MillraceProcess): void {
  if (failures.length > 0) throw new Error(`the process cannot go on: ${JSON.stringify(failures)}`);
}

async function untilLive(running: MillraceProcess, count: number): Promise<void> {
  let live = 0;
  const done = async () => {
    checkFailures(running);
    const [{ tasks }] = await running.status();
    live = tasks.filter(({ figures: own }) => own?.wasLive).length;
    return live === count;
  };
  await until(done, `${count} tasks that run`, PATIENCE_MS, () => `there are ${live}`);
}

async function underLoad(running: MillraceProcess, { brokers, loadSeconds, namespace, tasks, progress }: ManyTasks) {
  const source = `${namespace}.raw`;
  const feed =
    brokers === null ? await LogFeed.open(running.log, source, tasks) : await KafkaFeed.open(brokers, source, tasks);
  const before = await totals(running);
  const cpu = process.cpuUsage();
  const beganMs = performance.now();
  const beganAtMs = Date.now() - HOUR_MS;
  let fedRecords = 0;
  for (let round = 0; performance.now() - beganMs < loadSeconds * 1_000; round++) {
    await feed.write(Array.from({ length: tasks }, (_, partition) => sample(partition, beganAtMs + round * WINDOW_MS)));
    fedRecords += tasks;
    const nextMs = beganMs + (round + 1) * FEED_EVERY_MS - performance.now();
    if (nextMs > 0) await sleep(nextMs);
  }
  const seconds = (performance.now() - beganMs) / 1_000;
  const after = await totals(running);
  const loadCpuPerSecond = cpuSeconds(cpu) / seconds;
  const commitsPerSecond = (after.commits - before.commits) / seconds;
  let readRecords = 0;
  const read = async () => {
    checkFailures(running);
    readRecords = (await totals(running)).read;
    return readRecords >= fedRecords;
  };
  await until(read, `${fedRecords} records read`, PATIENCE_MS, () => `there are ${readRecords}`);
  await feed.close();
  progress(`tasks: ${Math.round(commitsPerSecond)} transactions per second`);
  return {
    fedRecords,
    readRecords,
    commitsPerSecond,
    loadCpuPerSecond,
    commitMedianMs: medianMs(after.commitSeconds, before.commitSeconds),
  };
}

/** Each ends the window of the one before, and so asks for a row. */
function sample(partition: number, timestamp: number) {
  const body = { metric_name: 'many', timestamp, value: 1, labels: { host: `h-${partition}` } };
  const intent = { finite: 1, notFinite: 0, bad: 0 };
  return { partition, key: null, value: Buffer.from(JSON.stringify(body)), headers: [], timestampMs: 0, intent };
}

interface Totals {
  readonly read: number;
  readonly commits: number;
  readonly commitSeconds: Distribution;
}

async function totals(running: MillraceProcess): Promise<Totals> {
  const [{ tasks }] = await running.status();
  const all = tasks.flatMap(({ figures: own }) => own ?? []);
  const counts = all[0].commitSeconds.counts.map((_, at) =>
    all.reduce((sum, { commitSeconds }) => sum + commitSeconds.counts[at], 0),
  );
  return {
    read: all.reduce((sum, own) => sum + (own.totals['records-in'] ?? 0), 0),
    commits: all.reduce((sum, own) => sum + own.commits, 0),
    commitSeconds: { ...all[0].commitSeconds, counts },
  };
}

/** The bound that half of them stayed under. */
function medianMs(after: Distribution, before: Distribution): number {
  const counts = after.counts.map((count, at) => count - before.counts[at]);
  let left = counts.reduce((sum, count) => sum + count, 0) / 2;
  const at = counts.findIndex((count) => {
    left -= count;
    return left <= 0;
  });
  return 1_000 * (after.bounds[at] ?? Number.POSITIVE_INFINITY);
}

function cpuSeconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

/** Of this process; 0 where that cannot be seen. */
function openSockets(): number {
  try {
    return readdirSync('/proc/self/fd').filter((name) => isSocket(name)).length;
  } catch {
    return 0;
  }
}

function isSocket(name: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:');
  } catch {
    return false;
  }
}
