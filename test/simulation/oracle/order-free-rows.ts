// Owns the verdict that needs no commit log at all: when every sample is within its bound and no source was ever idle
// before its end, no sample may be late, and the rows follow from the input alone.

import { RollupOracle, rowId } from '#test/integration/oracle/rollup-oracle.ts';
import { judge } from '#test/integration/oracle/sample-judge.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { require } from '#test/simulation/oracle/violation.ts';

export interface OrderFreeInput {
  readonly records: readonly ArchivedRecord[];
  readonly partitionCount: number;
  readonly outOfOrdernessMs: number;
  /** Event times beyond this are bad input. */
  readonly latestMs: number;
}

export function judgeOrderFree(
  input: OrderFreeInput,
  rows: readonly ArchivedRecord[],
  late: readonly ArchivedRecord[],
): void {
  const oracle = new RollupOracle(input);
  for (const record of input.records) oracle.add(record);
  const expectation = oracle.expectation();
  require(late.length === 0, 'order-free-rows', () => `no sample is late, and one was sent: ${late[0].value}`);
  const seen = new Set<string>();
  for (const record of rows) {
    const fields = JSON.parse(String(record.value)) as Record<string, unknown>;
    const id = rowId(String(record.key), String(fields['resolution']), Number(fields['window_start']));
    require(!seen.has(id), 'order-free-rows', () => `${id} is there twice`);
    seen.add(id);
    const expected = expectation.rows.get(id);
    require(expected !== undefined, 'order-free-rows', () => `${id} has no sample`);
    for (const name of ['count', 'sum', 'min', 'max'] as const) {
      const text = () => `${id}: ${name} is ${fields[name]}, expected ${expected?.[name]}`;
      require(fields[name] === expected?.[name], 'order-free-rows', text);
    }
  }
  const closedMs = closedUntil(input);
  for (const [id, { windowEndMs }] of expectation.rows) {
    require(windowEndMs > closedMs || seen.has(id), 'order-free-rows', () => `${id} is missing`);
  }
}

/** Windows that end by then must have fired: every partition has passed them. */
function closedUntil({ latestMs, outOfOrdernessMs, partitionCount, records }: OrderFreeInput): number {
  const largestMs = new Array<number>(partitionCount).fill(Number.NEGATIVE_INFINITY);
  for (const { partition, value } of records) {
    for (const sample of judge(value, latestMs).samples) {
      if (!Number.isFinite(sample.value)) continue;
      largestMs[partition] = Math.max(largestMs[partition], sample.timestampMs);
    }
  }
  return Math.min(...largestMs) - outOfOrdernessMs;
}
