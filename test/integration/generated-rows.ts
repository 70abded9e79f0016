// Owns judging the rollups of generated samples: every row counts the samples of its minute, none is there twice, and
// none is missing of a minute that is over.

import { expect } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { readTopic } from './oracle/log-port.ts';

const MINUTE_MS = 60_000;

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

/** How many rows there are; fails on the first that is wrong, double or missing. */
export async function judgeRows(client: LogClient): Promise<number> {
  const { samples, rows } = await counted(client);
  for (const [window, count] of rows) expect(`${window}: ${count}`).toBe(`${window}: ${samples.get(window)}`);
  const newest = new Map<string, number>();
  for (const { series, minuteMs } of [...rows.keys()].map(read))
    newest.set(series, Math.max(minuteMs, newest.get(series) ?? 0));
  const isOver = ({ series, minuteMs }: Window) => minuteMs < (newest.get(series) ?? 0);
  expect([...samples.keys()].filter((window) => !rows.has(window) && isOver(read(window)))).toEqual([]);
  return rows.size;
}

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
