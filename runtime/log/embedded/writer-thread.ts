// Owns the writer thread of the embedded log: started as a worker by embedded-log.ts, it opens the store, serves the
// ports it is given and ends when told to. An entry file, hence the only one here with an effect at import.

import { parentPort, workerData } from 'node:worker_threads';
import { LogServer } from '#runtime/log/embedded/log-server.ts';
import { LogStore } from '#runtime/log/embedded/log-store.ts';
import { type ControlAnswer, type ControlRequest, toFault } from '#runtime/log/embedded/messages.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export interface WriterThreadData {
  readonly directory: string;
  readonly segmentBytesMax: number | null;
  readonly walBytesMax: number | null;
}

function say(answer: ControlAnswer): void {
  parentPort?.postMessage(answer);
}

function bug(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

async function run(data: WriterThreadData): Promise<void> {
  invariant(parentPort !== null, 'the writer thread runs as a worker');
  const control = parentPort;
  let store: LogStore;
  try {
    store = await LogStore.open({
      directory: data.directory,
      ...(data.segmentBytesMax === null ? {} : { segmentBytesMax: data.segmentBytesMax }),
      ...(data.walBytesMax === null ? {} : { walBytesMax: data.walBytesMax }),
      note: (message) => say({ kind: 'note', message }),
      onRoom: (report) => say({ kind: 'room', report }),
      onBroken: (fault) => say({ kind: 'broken', fault: toFault(fault) }),
    });
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    say({ kind: 'refused', fault: toFault(error) });
    return;
  }
  const server = new LogServer(store, bug);
  control.on('message', (request: ControlRequest) => {
    if (request.kind === 'attach') server.attach(request.port);
    else if (request.kind === 'retain') retain(server, request);
    else void close(server, store).catch(bug);
  });
  say({ kind: 'opened' });
}

function retain(server: LogServer, { nowMs, policy }: ControlRequest & { readonly kind: 'retain' }): void {
  try {
    server.retain(nowMs, policy);
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    say({ kind: 'note', message: `retention was not enforced: ${error.message}` });
  }
}

async function close(server: LogServer, store: LogStore): Promise<void> {
  await server.close();
  let fault: StreamError | null = null;
  try {
    await store.close();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    fault = error;
  }
  say({ kind: 'closed', fault: fault === null ? null : toFault(fault) });
  parentPort?.close();
}

await run(workerData as WriterThreadData);
