// Owns a slot for threads.test.ts: it connects through the port it is given and answers what it reads and writes.

import { parentPort, workerData } from 'node:worker_threads';
import { connectEmbedded } from '#runtime/log/embedded/embedded-client.ts';
import { batchOf } from '#test/runtime/log/embedded/served-log.ts';
import { readTo, texts } from '#test/suites/log/bench.ts';

const client = connectEmbedded(workerData.port, { directory: workerData.directory });
const writer = client.writer('slot');
await writer.fence();
parentPort?.on('message', async (request: { readonly write: string } | { readonly readTo: bigint }) => {
  try {
    if ('readTo' in request) {
      const [description] = await client.admin.describeTopics(['data']);
      const topicId = description?.topicId ?? '';
      const reader = client.reader().open({ topic: 'data', partition: 0, topicId, offset: 0n });
      parentPort?.postMessage(texts(await readTo(reader, request.readTo)));
    } else {
      const [end] = await client.admin.listOffsets([{ topic: 'commits', partition: 0, at: 'last-stable' }]);
      const entry = batchOf('commits', 0, request.write);
      await writer.transact({ batches: [batchOf('data', 0, request.write)], entry, expectedEntryOffset: end });
      parentPort?.postMessage('written');
    }
  } catch (error) {
    parentPort?.postMessage((error as { code?: string }).code ?? String(error));
  }
});
parentPort?.postMessage('ready');
