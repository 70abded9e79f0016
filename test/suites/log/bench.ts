// Owns the moves the contract tests are made of: naming topics, writing transactions, reading to an offset, waiting for
// a condition. Waits end by condition; the deadline only turns a hang into a message.

import type { LogClient, PartitionReader, StagedBatch, TopicPartition } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import { encodeBatch, type PlainRecord, record, type StoredRecord } from '#test/suites/log/bytes.ts';
import type { LogFault, LogSuiteSubject, OpenLog } from '#test/suites/log/subject.ts';

export const DEADLINE_MS = 25_000;

export class LogBench {
  readonly subject: LogSuiteSubject;
  #log: OpenLog | null = null;
  #clients: LogClient[] = [];
  #names = 0;
  readonly #prefix = `suite-${process.pid}-${Date.now().toString(36)}`;

  constructor(subject: LogSuiteSubject) {
    this.subject = subject;
  }

  get log(): OpenLog {
    if (this.#log === null) throw new Error('the log is not open');
    return this.#log;
  }

  async open(): Promise<void> {
    this.#log = await this.subject.open();
  }

  async close(): Promise<void> {
    await this.closeClients();
    await this.#log?.close();
  }

  async closeClients(): Promise<void> {
    const clients = this.#clients;
    this.#clients = [];
    for (const client of clients) await client.close();
  }

  client(): LogClient {
    const client = this.log.client();
    this.#clients.push(client);
    return client;
  }

  name(what: string): string {
    return `${this.#prefix}-${what}-${++this.#names}`;
  }

  async topic(client: LogClient, what: string, partitionCount = 1, config?: Record<string, string>): Promise<string> {
    const topic = this.name(what);
    await client.admin.createTopics([
      config === undefined ? { topic, partitionCount } : { topic, partitionCount, config },
    ]);
    return topic;
  }

  async topicId(client: LogClient, topic: string): Promise<string> {
    const [description] = await client.admin.describeTopics([topic]);
    if (description === null) throw new Error(`topic ${topic} is not there`);
    return description.topicId;
  }

  async reader(client: LogClient, topic: string, partition = 0, offset = 0n): Promise<PartitionReader> {
    return client.reader().open({ topic, partition, topicId: await this.topicId(client, topic), offset });
  }

  async sleep(ms: number): Promise<void> {
    if (this.log.sleep !== undefined) return this.log.sleep(ms);
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  /** Looks again and again until `look` gives something other than false or undefined. */
  async eventually<T>(what: string, look: () => Promise<T | false | undefined> | T | false | undefined): Promise<T> {
    const givenUp = Date.now() + DEADLINE_MS;
    for (;;) {
      const seen = await look();
      if (seen !== false && seen !== undefined) return seen;
      if (Date.now() > givenUp) throw new Error(`waited ${DEADLINE_MS} ms in vain until ${what}`);
      await this.sleep(5);
    }
  }

  async offsetOf(
    client: LogClient,
    at: 'earliest' | 'last-stable' | 'high-watermark' | { timestampMs: number },
    topic: string,
    partition = 0,
  ): Promise<bigint> {
    return (await client.admin.listOffsets([{ topic, partition, at }]))[0];
  }

  /** The end of the partition once nothing is open in it and nothing more is on its way to be visible. */
  async settledEnd(client: LogClient, topic: string, partition = 0): Promise<bigint> {
    return this.eventually(`${topic}/${partition} is settled`, async () => {
      const asked = client.admin.listOffsets([
        { topic, partition, at: 'last-stable' },
        { topic, partition, at: 'high-watermark' },
      ]);
      // A busy broker may be slower than the short patience of these clients.
      const [stable, high] = await asked.catch((error: StreamError) => {
        if (error.code === 'log-timeout') return [];
        throw error;
      });
      return stable === high ? high : undefined;
    });
  }

  async injected(fault: LogFault, during: () => Promise<unknown>): Promise<void> {
    if (this.log.inject === undefined) throw new Error('the subject lists faults but injects none');
    const { done } = this.log.inject(fault);
    await during();
    await inTime(done, `fault ${fault.on}/${fault.how} has happened`);
  }
}

export async function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${DEADLINE_MS} ms in vain until ${what}`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function staged(topic: string, partition: number, values: readonly (string | Buffer | null)[]): StagedBatch {
  return encodeBatch(
    topic,
    partition,
    values.map((value) => record(value)),
  );
}

/** The visible records the reader has at hand now, released; checks what holds for every batch. */
export function take(reader: PartitionReader, into: StoredRecord[]): boolean {
  const before = reader.position;
  const batch = reader.poll();
  if (batch === null) return false;
  const walker = new RecordWalker();
  walker.reset(batch.bytes, batch.start, batch.end, batch.count);
  while (walker.next()) {
    if (walker.offsetDelta < batch.skipBelowDelta) continue;
    const headers = walker.headers().map((header) => [header.key, Buffer.from(header.value)] as const);
    into.push({
      offset: batch.baseOffset + BigInt(walker.offsetDelta),
      timestampMs: batch.baseTimestampMs + walker.timestampDelta,
      key: walker.keyStart < 0 ? null : Buffer.from(batch.bytes.subarray(walker.keyStart, walker.keyEnd)),
      value: walker.valueStart < 0 ? null : Buffer.from(batch.bytes.subarray(walker.valueStart, walker.valueEnd)),
      headers,
    });
  }
  const { nextOffset, baseOffset } = batch;
  batch.release();
  if (nextOffset <= baseOffset) throw new Error(`a batch at ${baseOffset} goes on at ${nextOffset}`);
  if (reader.position < nextOffset) throw new Error(`position ${reader.position} is below what was handed out`);
  if (reader.position < before) throw new Error(`position went back from ${before} to ${reader.position}`);
  return true;
}

/** Everything visible until the reader's position reaches `end`, appended to `records`. */
export async function readTo(
  reader: PartitionReader,
  end: bigint,
  records: StoredRecord[] = [],
): Promise<StoredRecord[]> {
  for (let fruitless = 0; ; fruitless++) {
    const { position } = reader;
    while (take(reader, records));
    if (reader.position >= end) return records;
    if (reader.position > position) fruitless = 0;
    if (fruitless > 1000) throw new Error(`${reader.topic}/${reader.partition} is always ready and gives nothing`);
    const { fault } = reader.status();
    await inTime(
      reader.ready(),
      `${reader.topic}/${reader.partition} at ${reader.position} of ${end} is ready (fault ${fault}, ${records.length} read)`,
    );
  }
}

/** What the reader throws in the end; the records before that go to `into`. */
export async function readToError(reader: PartitionReader, into: StoredRecord[]): Promise<unknown> {
  for (let fruitless = 0; ; fruitless++) {
    if (fruitless > 1000) throw new Error(`${reader.topic}/${reader.partition} never has an error`);
    try {
      while (take(reader, into));
    } catch (error) {
      return error;
    }
    try {
      await inTime(reader.ready(), `${reader.topic}/${reader.partition} at ${reader.position} has an error`);
    } catch (error) {
      return error;
    }
  }
}

export function texts(records: readonly StoredRecord[]): (string | null)[] {
  return records.map((one) => one.value?.toString() ?? null);
}

/** All fields as text: comparing buffers element by element, and printing how they differ, takes very long. */
export function shown(records: readonly PlainRecord[]): string[] {
  return records.map(({ timestampMs, key, value, headers }) => {
    const fields = headers.map(([name, bytes]) => `${name}=${bytes?.toString('latin1')}`);
    return `${timestampMs} ${key?.toString('latin1')} ${value?.toString('latin1')} ${fields.join()}`;
  });
}

/** The same with offsets. */
export function placed(records: readonly StoredRecord[]): string[] {
  return shown(records).map((text, i) => `${records[i].offset} ${text}`);
}

/** Writes everything through one transactional id into its own commit log, keeping the expected entry offset. */
export class SuiteWriter {
  readonly bench: LogBench;
  client: LogClient;
  writer: ReturnType<LogClient['writer']>;
  readonly commits: TopicPartition;
  expected = 0n;

  constructor(bench: LogBench, client: LogClient, transactionalId: string, commits: TopicPartition) {
    this.bench = bench;
    this.client = client;
    this.writer = client.writer(transactionalId);
    this.commits = commits;
  }

  /** Fences and finds the end of the commit log. */
  async fence(): Promise<void> {
    await inTime(this.writer.fence(), `${this.writer.transactionalId} is fenced`);
    this.expected = await this.bench.settledEnd(this.client, this.commits.topic, this.commits.partition);
  }

  async again(): Promise<void> {
    await inTime(this.writer.initialiseAgain(), `${this.writer.transactionalId} is initialised again`);
    this.expected = await this.bench.settledEnd(this.client, this.commits.topic, this.commits.partition);
  }

  /**
   * Whether the id has another writer now, not ready yet, because the client of the one before will not come back. So a
   * process that is started again goes on with the work.
   */
  renewed(error: StreamError): boolean {
    if (this.bench.subject.capabilities.reconnects || error.code !== 'log-unavailable') return false;
    this.client = this.bench.client();
    this.writer = this.client.writer(this.writer.transactionalId);
    return true;
  }

  async transact(entry: string, batches: readonly StagedBatch[], expected = this.expected): Promise<bigint> {
    const work = this.writer.transact({
      batches,
      entry: staged(this.commits.topic, this.commits.partition, [entry]),
      expectedEntryOffset: expected,
    });
    const result = await inTime(work, `transaction ${entry} ends`);
    this.expected = result.nextEntryOffset;
    return result.entryOffset;
  }
}

/** A client, a commit log topic of its own and a fenced writer. */
export async function suiteWriter(bench: LogBench, client: LogClient, what: string): Promise<SuiteWriter> {
  const topic = await bench.topic(client, `${what}-commits`);
  const writer = new SuiteWriter(bench, client, bench.name(`${what}-id`), { topic, partition: 0 });
  await writer.fence();
  return writer;
}
