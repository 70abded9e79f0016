// Owns an embedded log served in the test's own thread: the production store and server over a disk of the test's
// choice, the production client over a real port.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import type { LogClient, StagedBatch } from '#runtime/log/contract.ts';
import { connectEmbedded } from '#runtime/log/embedded/embedded-client.ts';
import { LogServer } from '#runtime/log/embedded/log-server.ts';
import { LogStore, type LogStoreOptions } from '#runtime/log/embedded/log-store.ts';
import { encodeBatch, record } from '#test/suites/log/bytes.ts';

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'millrace-log-'));
}

export interface ServedLog {
  readonly store: LogStore;
  readonly server: LogServer;
  client(): LogClient;
  close(): Promise<void>;
}

export async function serveLog(options: LogStoreOptions, groupBytesMax?: number): Promise<ServedLog> {
  const store = await LogStore.open(options);
  const bug = (error: unknown) => {
    throw error;
  };
  const server = groupBytesMax === undefined ? new LogServer(store, bug) : new LogServer(store, bug, groupBytesMax);
  const clients: LogClient[] = [];
  return {
    store,
    server,
    client() {
      const { port1, port2 } = new MessageChannel();
      server.attach(port1);
      const client = connectEmbedded(port2, { directory: options.directory });
      clients.push(client);
      return client;
    },
    async close() {
      await server.close();
      for (const client of clients) await client.close();
      await store.close();
    },
  };
}

export function batchOf(topic: string, partition: number, ...values: (string | Buffer)[]): StagedBatch {
  return encodeBatch(
    topic,
    partition,
    values.map((value) => record(value)),
  );
}
