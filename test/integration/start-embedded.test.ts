// `npm start` as a newcomer runs it: rows appear, Ctrl-C ends it with a checkpoint of every task, and the next start goes
// on where it stopped, with every generated sample in one row.

import { expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { readTopic } from './oracle/log-port.ts';
import { Installation, Product } from './process-harness.ts';
import { withLog } from './rollups-embedded-log.ts';

const MINUTE_MS = 60_000;
/** The source gets four partitions, and the exchange as many. */
const TASKS = ['samples', '1m'].flatMap((stage) => [0, 1, 2, 3].map((partition) => `${stage}/${partition}`));

interface Sample {
  readonly metric_name: string;
  readonly labels: object;
  readonly timestamp: number;
}

interface Row {
  readonly metric_name: string;
  readonly labels: object;
  readonly window_start: number;
  readonly count: number;
}

/** Of one series. */
interface Window {
  readonly minuteMs: number;
  readonly series: string;
}

test('rows appear, Ctrl-C ends with checkpoints, and the next start goes on where it stopped', async () => {
  const installation = await Installation.create({ jobs: { rollups: { module: 'jobs/rollups.ts' } } });
  const config = `${installation.directory}/jobs.config.ts`;
  const start = () => new Product(['jobs/main.ts', 'start', '--config', config], { LOG_LEVEL: 'debug' });
  const first = start();
  let second: Product | null = null;
  try {
    await first.waitForLine(/^1m {2}\d{4}-\d\d-\d\d \d\d:\d\d:00 {2}\d+ rows$/, 120_000);
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    const before = await withLog(installation, counted);
    expect(before.rows.size, 'of five minutes made up').toBeGreaterThan(100);
    second = start();
    for (const task of TASKS) {
      const line = await second.waitForLine(new RegExp(`"task":"rollups/${task}".*restored`), 120_000);
      const { entry, last } = JSON.parse(line);
      expect(`${task} at ${entry}`, 'nothing is left to replay').toBe(`${task} at ${last}`);
    }
    expect(await second.stop()).toEqual({ code: 0, signal: null });
    const { samples, rows } = await withLog(installation, counted);
    for (const [window, count] of rows) expect(`${window}: ${count}`).toBe(`${window}: ${samples.get(window)}`);
    const newest = new Map<string, number>();
    for (const { series, minuteMs } of [...rows.keys()].map(read))
      newest.set(series, Math.max(minuteMs, newest.get(series) ?? 0));
    const isOver = ({ series, minuteMs }: Window) => minuteMs < (newest.get(series) ?? 0);
    expect([...samples.keys()].filter((window) => !rows.has(window) && isOver(read(window)))).toEqual([]);
  } finally {
    await first.kill();
    await second?.kill();
    await installation.remove();
  }
}, 120_000);

/** Samples and rows by series and minute; a row that is there twice fails. */
async function counted(client: LogClient): Promise<{ samples: Map<string, number>; rows: Map<string, number> }> {
  const samples = new Map<string, number>();
  for (const { value } of await readTopic(client, 'metrics.raw')) {
    const { metric_name, labels, timestamp }: Sample = JSON.parse(`${value}`);
    const window = nameOf(metric_name, labels, timestamp - (timestamp % MINUTE_MS));
    samples.set(window, (samples.get(window) ?? 0) + 1);
  }
  const rows = new Map<string, number>();
  for (const { value } of await readTopic(client, 'metrics.rollup.1m')) {
    const row: Row = JSON.parse(`${value}`);
    const window = nameOf(row.metric_name, row.labels, row.window_start);
    expect(rows.has(window), `${window} twice`).toBe(false);
    rows.set(window, row.count);
  }
  return { samples, rows };
}

function nameOf(metric: string, labels: object, minuteMs: number): string {
  return `${minuteMs} ${metric} ${JSON.stringify(labels)}`;
}

function read(window: string): Window {
  const space = window.indexOf(' ');
  return { minuteMs: Number(window.slice(0, space)), series: window.slice(space) };
}
