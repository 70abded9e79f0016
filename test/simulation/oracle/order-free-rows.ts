// Owns the verdict that needs no commit log at all: when every sample is within its bound and no source was ever idle
// before its end, no sample may be late, and the rows follow from the input alone.

import { RollupOracle, rowId } from '#test/integration/oracle/rollup-oracle.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { require, Violation } from '#test/simulation/oracle/violation.ts';

const COMPARED = ['count', 'sum', 'min', 'max'] as const;

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
  // Per partition, as far as any sample of it goes that counts.
  const largestMs = new Array<number>(input.partitionCount).fill(Number.NEGATIVE_INFINITY);
  for (const record of input.records) {
    for (const { timestampMs, value } of oracle.add(record).samples) {
      if (Number.isFinite(value) && timestampMs > largestMs[record.partition])
        largestMs[record.partition] = timestampMs;
    }
  }
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
    for (const name of COMPARED) {
      if (fields[name] === expected?.[name]) continue;
      throw new Violation('order-free-rows', `${id}: ${name} is ${fields[name]}, expected ${expected?.[name]}`);
    }
  }
  // Windows that end by then must have fired: every partition has passed them.
  const closedMs = Math.min(...largestMs) - input.outOfOrdernessMs;
  for (const [id, { windowEndMs }] of expectation.rows) {
    require(windowEndMs > closedMs || seen.has(id), 'order-free-rows', () => `${id} is missing`);
  }
}
