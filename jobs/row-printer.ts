// Owns following output topics and handing over their rows and other records as they are committed. Begins at the end
// of the topics, so it shows what comes, not what was. Rows of one window come from several tasks within a second or so,
// and are shown together; what comes beyond `ROWS_MAX` in that time is left out.

import { isRow, recordText, rowText, type ShownRow } from '#jobs/row-text.ts';
import type { LogClient, PartitionReader } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import type { Clock } from '#runtime/std/clock.ts';

export interface RowPrinterOptions {
  readonly log: LogClient;
  readonly topics: readonly string[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly write: (text: string) => void;
}

const POLL_MS = 250;
const ROWS_MAX = 10_000;
/** Tasks behind an exchange hear of the watermark every second, and commit every 200 ms. */
const GATHER_MS = 1_500;

/** Rows and other records since the first that was not shown yet. */
export class RowGather {
  readonly rows: ShownRow[] = [];
  readonly records: string[] = [];
  #sinceMs: number | null = null;

  get size(): number {
    return this.rows.length + this.records.length;
  }

  /** Their text, once it is time; '' before, and without any. */
  take(nowMs: number, atOnce: boolean): string {
    if (this.size === 0) return '';
    this.#sinceMs ??= nowMs;
    if (!atOnce && nowMs - this.#sinceMs < GATHER_MS) return '';
    const text = this.records.join('') + rowText(this.rows);
    this.rows.length = 0;
    this.records.length = 0;
    this.#sinceMs = null;
    return text;
  }
}

/** Prints until `signal` aborts. */
export async function printRows(options: RowPrinterOptions): Promise<void> {
  const { clock, log, signal, topics, write } = options;
  const reader = log.reader();
  try {
    const partitions = await openAtEnd(log, topics, (at) => reader.open(at));
    const gathered = new RowGather();
    for (;;) {
      const { aborted } = signal;
      const before = gathered.size;
      for (const partition of partitions) take(partition, gathered);
      const came = gathered.size > before;
      const text = gathered.take(clock.monotonicMs(), aborted);
      if (text !== '') write(text);
      if (aborted) break;
      if (!came) await clock.sleep(POLL_MS, signal);
    }
    for (const partition of partitions) partition.close();
  } finally {
    await reader.close();
  }
}

type Open = (at: { topic: string; partition: number; topicId: string; offset: bigint }) => PartitionReader;

async function openAtEnd(log: LogClient, topics: readonly string[], open: Open): Promise<PartitionReader[]> {
  const readers: PartitionReader[] = [];
  for (const description of await log.admin.describeTopics(topics)) {
    if (description === null) continue;
    const { topic, topicId, partitionCount } = description;
    const places = Array.from({ length: partitionCount }, (_, partition) => ({ topic, partition }));
    const ends = await log.admin.listOffsets(places.map((place) => ({ ...place, at: 'last-stable' })));
    for (const [at, place] of places.entries()) readers.push(open({ ...place, topicId, offset: ends[at] }));
  }
  return readers;
}

function take(reader: PartitionReader, gathered: RowGather): void {
  const walker = new RecordWalker();
  for (let batch = reader.poll(); batch !== null; batch = reader.poll()) {
    walker.reset(batch.bytes, batch.start, batch.end, batch.count);
    while (walker.next()) {
      if (walker.offsetDelta < batch.skipBelowDelta || walker.valueStart < 0) continue;
      if (gathered.size >= ROWS_MAX) break;
      const value = walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd);
      const row = rowOf(value);
      if (row !== null) gathered.rows.push(row);
      else {
        const key = walker.keyStart < 0 ? '' : walker.bytes.toString('utf8', walker.keyStart, walker.keyEnd);
        gathered.records.push(recordText(reader.topic, key, value));
      }
    }
    batch.release();
  }
}

function rowOf(value: string): ShownRow | null {
  try {
    const parsed: unknown = JSON.parse(value);
    return isRow(parsed) ? parsed : null;
  } catch {
    return null;
  }
}
