// Owns running the contract suite of the log port over the embedded log, with segments and a write-ahead log so small
// that rolling and checkpoints happen all the time.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { storedBytes } from '#test/runtime/log/embedded/stored-bytes.ts';
import { logSuite } from '#test/suites/log.suite.ts';

function embedded(name: string, limits: { readonly segmentBytesMax?: number; readonly walBytesMax?: number }): void {
  logSuite({
    name,
    capabilities: { markers: false, codecs: [], faults: [], transactionTimeoutMs: null, outage: false },
    async open() {
      const directory = mkdtempSync(join(tmpdir(), 'millrace-log-'));
      const log = await openEmbeddedLog({ directory, clock: systemClock, ...limits });
      return {
        client: () => log.client(),
        async dump(at) {
          const client = log.client();
          const [start] = await client.admin.listOffsets([{ ...at, at: 'earliest' }]);
          await client.close();
          return storedBytes(directory, at, start);
        },
        async close() {
          await log.close();
          rmSync(directory, { recursive: true });
        },
      };
    },
  });
}

embedded('embedded', {});
embedded('embedded with tiny files', { segmentBytesMax: 300, walBytesMax: 2000 });
