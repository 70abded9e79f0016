// Owns the process that kill-9.test.ts kills: it opens the log named on the command line and lets a few writers commit
// until it dies, saying each acknowledgement at once on standard output as `<writer> <number>`.

import { writeSync } from 'node:fs';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { WRITERS, writtenValues } from '#test/runtime/log/embedded/killed-writes.ts';
import { batchOf } from '#test/runtime/log/embedded/served-log.ts';

const directory = process.argv[2];
const log = await openEmbeddedLog({ directory, clock: systemClock, segmentBytesMax: 20_000, walBytesMax: 50_000 });
const client = log.client();
await client.admin.createTopics([
  { topic: 'data', partitionCount: 2 },
  { topic: 'commits', partitionCount: WRITERS },
]);

async function write(partition: number): Promise<void> {
  const writer = client.writer(`writer-${partition}`);
  await writer.fence();
  let [next] = await client.admin.listOffsets([{ topic: 'commits', partition, at: 'last-stable' }]);
  for (;;) {
    const values = writtenValues(partition, Number(next));
    const batches = [batchOf('data', 0, ...values), batchOf('data', 1, ...values)];
    const entry = batchOf('commits', partition, `${next}`);
    const result = await writer.transact({ batches, entry, expectedEntryOffset: next });
    writeSync(1, `${partition} ${next}\n`);
    next = result.nextEntryOffset;
  }
}

await Promise.all(Array.from({ length: WRITERS }, (_, partition) => write(partition)));
