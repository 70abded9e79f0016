// Owns the figure of what reading keyed state costs those who work: a job with an exchange commits every 200 ms on one
// thread, first alone, then while somebody pages through all of its 100,000 keys without a pause, in turn.

import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adminPort } from '#jobs/admin-port.ts';
import { loadInstallation } from '#jobs/load-job.ts';
import { MillraceProcess } from '#jobs/run-process.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import type { Distribution } from '#runtime/std/histogram.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { LogFeed } from '#test/integration/oracle/log-port.ts';
import type { Bench, Figure } from './figure.ts';

/** A disk that others use, too, would be most of what is measured. */
const MEMORY = '/dev/shm';
const PARTITIONS = 4;
const KEYS = 100_000;
const FEED_EVERY_MS = 50;
const FEED_SAMPLES = 500;
const PHASE_MS = 10_000;

const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);

const JOB = `import { defineJob } from ${module('../../jobs/define-job.ts')};
import { samples, series, stats, topic, tumbling } from ${module('../../jobs/descriptions.ts')};
export default defineJob({
  name: 'scanned',
  source: samples({ topic: 'metrics.raw', outOfOrderness: '0s' }),
  build: (raw) => {
    raw.keyBy(series).window('minute', tumbling('1m')).aggregate(stats()).to(topic('rows'));
  },
});
`;
const CONFIG = `import { defineConfig, directory, embedded } from ${module('../../jobs/config.ts')};
export default defineConfig({
  log: embedded({ directory: 'log' }),
  checkpoints: directory('checkpoints'),
  slots: 1,
  jobs: { scanned: { module: './scanned.ts', checkpointInterval: '1h' } },
});
`;

export const stateScan: Bench = {
  name: 'state-scan',
  summary: 'what commits take while somebody pages through 100,000 keys of state, and without',
  always: false,
  async run({ repeat, progress }) {
    const directory = await mkdtemp(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'millrace-scan-'));
    await writeFile(join(directory, 'scanned.ts'), JOB);
    await writeFile(join(directory, 'config.ts'), CONFIG);
    const at = { configPath: 'config.ts', workingDirectory: directory, environment: {}, flags: {} };
    const running = await MillraceProcess.start({
      installation: await loadInstallation(at),
      logger: silentLogger,
      logLevel: 'silent',
      pretty: false,
      createSource: PARTITIONS,
      signal: new AbortController().signal,
    });
    try {
      return await measure(running, repeat, progress);
    } finally {
      await running.stop();
      await rm(directory, { recursive: true, force: true });
    }
  },
};

async function measure(
  running: MillraceProcess,
  repeat: number,
  progress: (message: string) => void,
): Promise<Figure[]> {
  const port = adminPort(running);
  const feed = await LogFeed.open(running.log, 'metrics.raw', PARTITIONS);
  const timestamp = Date.now() - 60_000;
  let key = 0;
  const write = (count: number) => {
    const records = Array.from({ length: count }, () => sample(key++ % KEYS, timestamp));
    return feed.write(records);
  };
  progress('state-scan: feeding 100,000 keys');
  while (key < KEYS) await write(10_000);
  const ended = new AbortController();
  const feeding = (async () => {
    while (!ended.signal.aborted) {
      await write(FEED_SAMPLES);
      await pause(FEED_EVERY_MS);
    }
  })();
  await pause(3_000);
  const phases: Phase[] = [];
  for (let turn = 0; turn < repeat * 2; turn++) {
    const scanning = turn % 2 === 1;
    progress(`state-scan: ${scanning ? 'scanned' : 'alone'}`);
    phases.push(await phase(running, port, scanning));
  }
  ended.abort();
  await feeding;
  await feed.close();
  return [
    ...figures(
      'alone',
      phases.filter(({ scans }) => scans === 0),
    ),
    ...figures(
      'scanned',
      phases.filter(({ scans }) => scans > 0),
    ),
  ];
}

interface Phase {
  readonly commits: Distribution;
  readonly scans: number;
  readonly keys: number;
  readonly pages: number;
  readonly longestPageMs: number;
  readonly waitMs: readonly number[];
}

async function phase(running: MillraceProcess, port: AdminPort, scanning: boolean): Promise<Phase> {
  const before = await commits(running);
  const endMs = performance.now() + PHASE_MS;
  const waitMs: number[] = [];
  const probing = (async () => {
    while (performance.now() < endMs) {
      const askedMs = performance.now();
      await running.reports();
      waitMs.push(performance.now() - askedMs);
      await pause(7);
    }
  })();
  let [scans, keys, pages, longestPageMs] = [0, 0, 0, 0];
  while (scanning && performance.now() < endMs) {
    scans++;
    let after: string | undefined;
    do {
      const askedMs = performance.now();
      const page = await port.state('scanned', 'minute', { limit: 1_000, after });
      longestPageMs = Math.max(longestPageMs, performance.now() - askedMs);
      keys += page?.keys.length ?? 0;
      pages++;
      after = page?.next ?? undefined;
    } while (after !== undefined && performance.now() < endMs);
  }
  await probing;
  const now = await commits(running);
  const counts = now.counts.map((count, i) => count - before.counts[i]);
  return {
    commits: { bounds: now.bounds, counts, sum: now.sum - before.sum },
    scans,
    keys,
    pages,
    longestPageMs,
    waitMs,
  };
}

async function commits(running: MillraceProcess): Promise<Distribution> {
  const all = (await running.reports()).flatMap(({ figures }) => figures?.commitSeconds ?? []);
  return all.reduce((sum, one) => ({
    bounds: one.bounds,
    counts: one.counts.map((count, i) => count + sum.counts[i]),
    sum: one.sum + sum.sum,
  }));
}

function figures(name: string, phases: readonly Phase[]): Figure[] {
  const all = phases.map(({ commits }) => commits);
  const counts = all[0].counts.map((_, i) => all.reduce((sum, one) => sum + one.counts[i], 0));
  const total = counts.reduce((a, b) => a + b, 0);
  const seconds = (phases.length * PHASE_MS) / 1_000;
  const waits = phases.flatMap(({ waitMs }) => waitMs).toSorted((a, b) => a - b);
  const of = (what: (phase: Phase) => number) => phases.reduce((sum, one) => sum + what(one), 0);
  const list: Figure[] = [
    { name: `state-scan.${name}.commit.p50`, value: quantile(0.5, all[0].bounds, counts) * 1_000, unit: 'ms' },
    { name: `state-scan.${name}.commit.p99`, value: quantile(0.99, all[0].bounds, counts) * 1_000, unit: 'ms' },
    {
      name: `state-scan.${name}.commit.mean`,
      value: (1_000 * all.reduce((sum, one) => sum + one.sum, 0)) / total,
      unit: 'ms',
    },
    { name: `state-scan.${name}.commits`, value: total / seconds, unit: '/s' },
    { name: `state-scan.${name}.thread-wait.p99`, value: waits[Math.floor(waits.length * 0.99)] ?? 0, unit: 'ms' },
    { name: `state-scan.${name}.thread-wait.max`, value: waits.at(-1) ?? 0, unit: 'ms' },
  ];
  if (of(({ pages }) => pages) === 0) return list;
  return [
    ...list,
    { name: `state-scan.${name}.keys`, value: of(({ keys }) => keys) / seconds, unit: '/s' },
    { name: `state-scan.${name}.pages`, value: of(({ pages }) => pages) / seconds, unit: '/s' },
    {
      name: `state-scan.${name}.page.max`,
      value: Math.max(...phases.map(({ longestPageMs }) => longestPageMs)),
      unit: 'ms',
    },
  ];
}

/** Between the bounds of its bucket, as Prometheus does it. */
function quantile(q: number, bounds: readonly number[], counts: readonly number[]): number {
  const rank = q * counts.reduce((a, b) => a + b, 0);
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    if (below + counts[i] >= rank) {
      const from = i === 0 ? 0 : bounds[i - 1];
      return from + ((bounds[i] - from) * (rank - below)) / counts[i];
    }
    below += counts[i];
  }
  return bounds.at(-1) ?? 0;
}

function sample(index: number, timestamp: number) {
  const body = {
    metric_name: 'cpu',
    timestamp,
    value: index,
    labels: { host: `h-${index}`, region: `r-${index % 7}` },
  };
  const intent = { finite: 1, notFinite: 0, bad: 0 };
  const value = Buffer.from(JSON.stringify(body));
  return { partition: index % PARTITIONS, key: null, value, headers: [], timestampMs: timestamp, intent };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
