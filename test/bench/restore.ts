// Owns the figures of state that comes back: a process with --keys keys is killed, and started again; then its tasks
// are moved between slots. On the embedded log, so that nothing but the process itself is measured.

import { readFileSync } from 'node:fs';
import { JobChanges } from '#test/integration/job-changes.ts';
import type { DataRecord } from '#test/integration/oracle/data-set.ts';
import { LogFeed } from '#test/integration/oracle/log-port.ts';
import { until } from '#test/integration/oracle/until.ts';
import { Installation, type Product } from '#test/integration/process-harness.ts';
import { withLog } from '#test/integration/rollups-embedded-log.ts';
import { ChildUsage } from './child-usage.ts';
import { type Bench, type Figure, median } from './figure.ts';

const SOURCE = 'restore.raw';
const OUTPUT = 'restore.rows';
const JOB = 'restored';
const CHUNK_RECORDS = 20_000;
const PATIENCE_MS = 600_000;
const MINUTE_MS = 60_000;

export interface RestoreCase {
  readonly kind: 'rollups' | 'keyed';
  readonly keys: number;
  readonly partitions: number;
  readonly progress: (message: string) => void;
}

export interface RestoreMeasure {
  readonly stateMib: number;
  readonly keysSeen: number;
  /** From the start of the process to every task taking input. */
  readonly runningSeconds: number;
  readonly firstRowSeconds: number;
  /** The longest of a task's own. */
  readonly restoreSeconds: number;
  readonly cpuSeconds: number;
  readonly readMib: number;
  readonly peakRssMib: number;
  /** Of the tasks that moved to other slots. */
  readonly pausesMs: readonly number[];
}

export const restoreBench: Bench = {
  name: 'restore',
  summary:
    'kill -9 and start again with --keys 1000000 keys of state, and moving its tasks: rollups, and keyed on LevelDB',
  always: false,
  async run({ keys, progress }) {
    const figures: Figure[] = [];
    for (const kind of ['rollups', 'keyed'] as const) {
      const measure = await measureRestore({ kind, keys, partitions: 8, progress });
      figures.push(...figuresOf(`restore.${kind}`, measure));
    }
    return figures;
  },
};

function figuresOf(name: string, measure: RestoreMeasure): Figure[] {
  const of = (field: string, value: number, unit: string) => ({ name: `${name}.${field}`, value, unit });
  const { pausesMs } = measure;
  return [
    of('state', measure.stateMib, 'MiB in checkpoints'),
    of('running', measure.runningSeconds, 's from the start of the process to every task running'),
    of('first_row', measure.firstRowSeconds, 's from the start of the process to the first new row'),
    of('task', measure.restoreSeconds, 's, the longest restore of a task'),
    of('cpu', measure.cpuSeconds, 'CPU-s until then'),
    of('read', measure.readMib, 'MiB read until then'),
    of('rss', measure.peakRssMib, 'MiB at most'),
    of('pause_median', median(pausesMs) / 1_000, `s, of ${pausesMs.length} tasks that moved`),
    of('pause_longest', Math.max(...pausesMs) / 1_000, 's'),
  ];
}

/** Throws when a key is missing afterwards. */
export async function measureRestore(options: RestoreCase): Promise<RestoreMeasure> {
  const { keys, kind, partitions, progress } = options;
  const job = {
    module: 'test/bench/restored.job.ts',
    parallelism: 2,
    checkpointInterval: '1h',
    state: kind === 'keyed' ? ('leveldb' as const) : ('memory' as const),
    options: { kind, source: SOURCE, output: OUTPUT },
  };
  const installation = await Installation.create({ env: { LOG_LEVEL: 'info' }, jobs: { [JOB]: job } });
  const startMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 10 * MINUTE_MS;
  try {
    progress(`restore: ${kind}, feeding ${keys} keys`);
    await withLog(installation, (client) =>
      write(client, partitions, keys, (at) => sample(at, at % partitions, startMs)),
    );
    const first = installation.start();
    const changes = await JobChanges.of(first, JOB);
    await changes.untilReadToEnd();
    progress('restore: read; taking a checkpoint');
    await checkpoint(changes.url);
    const stateMib = (await metric(changes.url, 'state_size_bytes')) / 2 ** 20;
    await first.kill();
    // Ends the minute of one partition, and is the second of its key.
    await withLog(installation, (client) => write(client, partitions, 1, () => sample(0, 0, startMs + MINUTE_MS)));
    progress(`restore: killed with ${stateMib.toFixed(0)} MiB, starting again`);
    const restarted = await restart(installation);
    const keysSeen = await metric(restarted.url, 'state_keys');
    if (keysSeen < keys) throw new Error(`${keysSeen} of ${keys} keys are there again\n${installation.report()}`);
    progress('restore: moving tasks');
    const again = await JobChanges.of(restarted.product, JOB);
    const { pauses, state } = await again.change({ parallelism: 4 }, 'wider');
    if (state !== 'DONE') throw new Error(`the rescale is ${state}\n${installation.report()}`);
    const pausesMs = pauses.map(({ pauseMs }) => pauseMs ?? Number.NaN);
    const exit = await restarted.product.stop(PATIENCE_MS);
    if (exit.code !== 0) throw new Error(`the stop ended with ${JSON.stringify(exit)}\n${installation.report()}`);
    return { stateMib, keysSeen, ...restarted.measure, pausesMs };
  } finally {
    await installation.remove();
  }
}

async function restart(installation: Installation) {
  const beganMs = performance.now();
  const product = installation.start();
  const usage = new ChildUsage(product.pid);
  const changes = await JobChanges.of(product, JOB);
  const seconds = () => (performance.now() - beganMs) / 1_000;
  let runningSeconds = Number.NaN;
  let firstRowSeconds = Number.NaN;
  const over = async () => {
    if (!product.running) throw new Error(`the process ended\n${installation.report()}`);
    const { tasks } = await changes.job();
    if (Number.isNaN(runningSeconds) && tasks.running === tasks.total) runningSeconds = seconds();
    const rows = await metric(changes.url, 'records_out_total');
    if (Number.isNaN(firstRowSeconds) && rows > 0) firstRowSeconds = seconds();
    return !Number.isNaN(runningSeconds + firstRowSeconds);
  };
  await until(over, 'the first new row', PATIENCE_MS, () => product.tail());
  usage.stop();
  const restoreSeconds = await metric(changes.url, 'restore_duration_seconds', Math.max);
  const readMib = bytesRead(product) / 2 ** 20;
  const measure = { runningSeconds, firstRowSeconds, restoreSeconds, readMib };
  return {
    product,
    url: changes.url,
    measure: { ...measure, cpuSeconds: usage.cpuSeconds, peakRssMib: usage.peakRssMiB },
  };
}

async function write(
  client: Parameters<typeof LogFeed.open>[0],
  partitions: number,
  count: number,
  make: (at: number) => DataRecord,
): Promise<void> {
  const feed = await LogFeed.open(client, SOURCE, partitions);
  for (let at = 0; at < count; at += CHUNK_RECORDS) {
    const length = Math.min(CHUNK_RECORDS, count - at);
    await feed.write(Array.from({ length }, (_, i) => make(at + i)));
  }
  await feed.close();
}

function sample(key: number, partition: number, timestamp: number): DataRecord {
  const body = { metric_name: 'cpu', timestamp, value: key % 997, labels: { host: `host-${key}` } };
  const intent = { finite: 1, notFinite: 0, bad: 0 };
  return { partition, key: null, value: Buffer.from(JSON.stringify(body)), headers: [], timestampMs: 0, intent };
}

async function checkpoint(url: string): Promise<void> {
  const answer = await fetch(`${url}/jobs/${JOB}/checkpoints`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  const text = await answer.text();
  if (answer.status !== 202) throw new Error(`a checkpoint is refused: ${text}`);
  const { requestId } = JSON.parse(text) as { requestId: string };
  let state = '';
  const over = async () => {
    state = ((await (await fetch(`${url}/requests/${requestId}`)).json()) as { state: string }).state;
    return state !== 'RUNNING';
  };
  await until(over, 'a checkpoint', PATIENCE_MS);
  if (state !== 'DONE') throw new Error(`the checkpoint is ${state}`);
}

/** Of all tasks of the job together. */
async function metric(
  url: string,
  name: string,
  fold: (...values: number[]) => number = (...values) => values.reduce((sum, value) => sum + value, 0),
): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`millrace_${name}{`));
  return fold(...lines.map((line) => Number(line.slice(line.lastIndexOf(' ') + 1))));
}

/** By the process, from wherever; not a number where that cannot be seen. */
function bytesRead({ pid }: Product): number {
  try {
    return Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
  } catch {
    return Number.NaN;
  }
}
