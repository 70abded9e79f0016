// Owns the check of a measured run: what its rows add up to against the manifest of the input, and that no row is there
// twice. A wrong result has no speed.

import { CommittedTail } from '../../integration/oracle/committed-tail.ts';
import type { OutputRecord } from '../../integration/oracle/comparison.ts';

interface RowFields {
  readonly metric_name: string;
  readonly window_start: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Reads the topic to its end; returns what is wrong with it, empty when nothing. */
export async function checkRows(
  brokers: readonly string[],
  topic: string,
  manifest: ReadonlyMap<string, number>,
): Promise<string> {
  const seen = new Set<string>();
  const total = { rows1m: 0, samples: 0, sum: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
  let duplicates = 0;
  let badQuantiles = 0;
  const take = ({ key, value }: OutputRecord) => {
    const row: RowFields = JSON.parse(value?.toString() ?? 'null');
    if (row.metric_name === 'closing') return;
    const id = `${row.window_start} ${key}`;
    if (seen.has(id)) duplicates++;
    seen.add(id);
    const { p50, p95, p99 } = row;
    if (!(p50 >= row.min && p50 <= p95 && p95 <= p99 && p99 <= row.max)) badQuantiles++;
    total.rows1m++;
    total.samples += row.count;
    total.sum += row.sum;
    total.min = Math.min(total.min, row.min);
    total.max = Math.max(total.max, row.max);
  };
  const tail = await CommittedTail.start(brokers, topic, take);
  await tail.finish(300_000);
  const faults: string[] = [];
  if (duplicates > 0) faults.push(`${duplicates} rows twice`);
  if (badQuantiles > 0) faults.push(`${badQuantiles} rows with impossible percentiles`);
  for (const [name, got] of Object.entries(total)) {
    const want = manifest.get(name) ?? Number.NaN;
    // The sum of sums depends on the order in which rows are read.
    const same = name === 'sum' ? Math.abs(got / want - 1) < 1e-9 : got === want;
    if (!same) faults.push(`${name} ${got}, expected ${want}`);
  }
  return faults.join(', ');
}
