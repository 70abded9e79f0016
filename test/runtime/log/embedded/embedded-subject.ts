// Owns the embedded log as a subject of the log port's contract suite: the real log with its writer thread. Faults strike
// between a client and that thread, on the way of their messages; an outage is the death of the thread, by a bug, and its
// end the log opened again by the next process.

import { rmSync } from 'node:fs';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { LogClient, LogWriter, StagedBatch } from '#runtime/log/contract.ts';
import { connectEmbedded } from '#runtime/log/embedded/embedded-client.ts';
import { type EmbeddedLogOptions, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import type { Answer, Request } from '#runtime/log/embedded/messages.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { batchOf, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { storedBytes } from '#test/runtime/log/embedded/stored-bytes.ts';
import { CODECS, FAULT_KINDS, type LogFault, type LogSuiteSubject, type OpenLog } from '#test/suites/log/subject.ts';

const HOWS = ['request-late', 'closed-before', 'closed-after'] as const;
const NEVER_LOST = FAULT_KINDS.filter((how) => how === 'request-lost' || how === 'answer-lost');
/** Offsets that a batch can say it takes: compaction leaves such ones. */
const BATCH_OFFSETS_MAX = 2 ** 31 - 1;

export function embeddedSubject(
  name: string,
  limits: Pick<EmbeddedLogOptions, 'segmentBytesMax' | 'walBytesMax'>,
): LogSuiteSubject {
  return {
    name,
    capabilities: {
      codecs: CODECS,
      faults: (['fence', 'commit'] as const).flatMap((on) => HOWS.map((how) => ({ on, how }))),
      transactionTimeoutMs: null,
      outage: true,
      gaps: true,
      reconnects: false,
      severalMembers: false,
    },
    omitted: [
      {
        items: FAULT_KINDS.map((how) => `write ${how}` as const),
        why: 'the records of a transaction and its end are one message: its faults are those of the commit',
      },
      {
        items: (['fence', 'commit'] as const).flatMap((on) => NEVER_LOST.map((how) => `${on} ${how}` as const)),
        why: 'a message between threads arrives, or its port is closed: nobody waits for an answer that never comes',
      },
      { items: ['open transactions'], why: 'a transaction is one message: none can stay open' },
      {
        items: ['clients that come back'],
        why: 'the log goes away with its writer thread, and then the process ends: the next one has new clients',
      },
      { items: ['groups of several members'], why: 'one process holds the directory, by a lock' },
    ],
    open: () => open(limits),
  };
}

async function open(limits: Pick<EmbeddedLogOptions, 'segmentBytesMax' | 'walBytesMax'>): Promise<OpenLog> {
  const directory = temporaryDirectory();
  const start = () => openEmbeddedLog({ directory, clock: systemClock, ...limits });
  let log = await start();
  const faults = new Faults();
  const raw = new RawWriter(() => log.client());
  return {
    client: () => connectEmbedded(faults.between(log.port()), { directory }),
    async dump(at) {
      const client = log.client();
      const [from] = await client.admin.listOffsets([{ ...at, at: 'earliest' }]);
      await client.close();
      return storedBytes(directory, at, from);
    },
    appendRaw: (batch) => raw.append(batch),
    appendBeforeGap(batch) {
      const bytes = Buffer.from(batch.bytes);
      bytes.writeInt32BE(BATCH_OFFSETS_MAX - 1, 23);
      return raw.append({ ...batch, bytes });
    },
    inject: (fault) => ({ done: faults.arm(fault) }),
    outage: {
      async begin() {
        await raw.close();
        log.port().postMessage({ id: 1, call: 'no such call', argument: null });
        await log.failure;
        await log.close();
      },
      async end() {
        log = await start();
      },
    },
    async close() {
      await raw.close();
      await log.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Appends past the suite's writers, one transaction for each batch. */
class RawWriter {
  readonly #connect: () => LogClient;
  #open: { readonly client: LogClient; readonly writer: LogWriter } | null = null;

  constructor(connect: () => LogClient) {
    this.#connect = connect;
  }

  async append(batch: StagedBatch): Promise<void> {
    const { client, writer } = await this.#opened();
    const [end] = await client.admin.listOffsets([{ topic: 'raw-commits', partition: 0, at: 'last-stable' }]);
    await writer.transact({ batches: [batch], entry: batchOf('raw-commits', 0, 'raw'), expectedEntryOffset: end });
  }

  async close(): Promise<void> {
    await this.#open?.client.close();
    this.#open = null;
  }

  async #opened(): Promise<{ readonly client: LogClient; readonly writer: LogWriter }> {
    if (this.#open !== null) return this.#open;
    const client = this.#connect();
    await client.admin.createTopics([{ topic: 'raw-commits', partitionCount: 1 }]);
    const writer = client.writer('raw');
    await writer.fence();
    this.#open = { client, writer };
    return this.#open;
  }
}

interface Armed {
  readonly fault: LogFault;
  readonly happened: () => void;
}

/** Passes on what clients and the writer thread say to each other, and lets the armed fault happen to one request. */
class Faults {
  #armed: Armed | null = null;
  /** Called back with the next answer to a fence of any client. */
  #fenced: (() => void)[] = [];

  arm(fault: LogFault): Promise<void> {
    return new Promise((happened) => {
      this.#armed = { fault, happened };
    });
  }

  /** The port for a client. */
  between(log: MessagePort): MessagePort {
    const { port1: near, port2: far } = new MessageChannel();
    const hangUp = () => {
      near.close();
      log.close();
    };
    /** What to do with the answer to a request, instead of passing it on. */
    const answered = new Map<number, () => void>();
    const fences = new Set<number>();
    near.on('message', (request: Request) => {
      const armed = this.#hits(request);
      if (isFence(request)) fences.add(request.id);
      if (armed === null) return pass(log, request);
      const { happened, fault } = armed;
      if (fault.how === 'closed-before') {
        hangUp();
        happened();
      } else if (fault.how === 'closed-after') {
        answered.set(request.id, () => {
          hangUp();
          happened();
        });
        pass(log, request);
      } else {
        near.close();
        answered.set(request.id, () => {
          log.close();
          happened();
        });
        fences.delete(request.id);
        this.#fenced.push(() => pass(log, request));
      }
    });
    log.on('message', (answer: Answer) => {
      const instead = answer.kind === 'wake' ? undefined : answered.get(answer.id);
      if (instead !== undefined) return instead();
      answerTo(near, answer);
      if (answer.kind !== 'done' || !fences.has(answer.id)) return;
      for (const call of this.#fenced.splice(0)) call();
    });
    log.on('close', () => near.close());
    near.on('close', () => {
      if (answered.size === 0) log.close();
    });
    return far;
  }

  #hits(request: Request): Armed | null {
    const armed = this.#armed;
    if (armed === null) return null;
    const on = isFence(request) ? 'fence' : request.call === 'transact' ? 'commit' : null;
    if (on !== armed.fault.on) return null;
    this.#armed = null;
    return armed;
  }
}

function isFence({ call }: Request): boolean {
  return call === 'fence' || call === 'initialiseAgain';
}

function pass(log: MessagePort, request: Request): void {
  log.postMessage(request, request.call === 'transact' ? [request.argument.storage] : []);
}

function answerTo(client: MessagePort, answer: Answer): void {
  const storage = answer.kind === 'wake' ? null : answer.storage;
  client.postMessage(answer, storage === null ? [] : [storage]);
}
