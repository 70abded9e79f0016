// Owns following output topics and handing over their rows as they are committed. Begins at the end of the topics, so
// it shows what comes, not what was. Rows beyond `ROWS_MAX` at once are counted, not kept.

import { rowText, type ShownRow } from '#jobs/row-text.ts';
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

/** Prints until `signal` aborts. */
export async function printRows(options: RowPrinterOptions): Promise<void> {
  const { clock, log, signal, topics, write } = options;
  const reader = log.reader();
  try {
    const partitions = await openAtEnd(log, topics, (at) => reader.open(at));
    while (!signal.aborted) {
      const rows: ShownRow[] = [];
      for (const partition of partitions) takeRows(partition, rows);
      if (rows.length > 0) write(rowText(rows));
      else await clock.sleep(POLL_MS, signal);
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

function takeRows(reader: PartitionReader, rows: ShownRow[]): void {
  const walker = new RecordWalker();
  for (let batch = reader.poll(); batch !== null; batch = reader.poll()) {
    walker.reset(batch.bytes, batch.start, batch.end, batch.count);
    while (walker.next()) {
      if (walker.offsetDelta < batch.skipBelowDelta || walker.valueStart < 0 || rows.length >= ROWS_MAX) continue;
      rows.push(JSON.parse(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd)));
    }
    batch.release();
  }
}
