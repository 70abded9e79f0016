// Owns the LogClient of one thread on the embedded log: a port to the writer thread for everything that changes the
// log, and the log's directory to read the segments from.

import type { MessagePort } from 'node:worker_threads';
import type {
  GroupOptions,
  GroupSession,
  LogAdmin,
  LogClient,
  LogReader,
  LogWriter,
  OffsetQuery,
  TopicDescription,
  TopicPartition,
  TopicSpec,
} from '#runtime/log/contract.ts';
import { EmbeddedConnection } from '#runtime/log/embedded/embedded-connection.ts';
import { EmbeddedGroupSession } from '#runtime/log/embedded/embedded-group.ts';
import { EmbeddedLogReader } from '#runtime/log/embedded/embedded-reader.ts';
import { EmbeddedWriter } from '#runtime/log/embedded/embedded-writer.ts';
import { searchTimestamp } from '#runtime/log/embedded/timestamp-search.ts';

/** A port comes from `EmbeddedLog.port()`; it serves one client. `directory` is the log's. */
export function connectEmbedded(port: MessagePort, options: { readonly directory: string }): LogClient {
  return new EmbeddedClient(new EmbeddedConnection(port), options.directory);
}

class EmbeddedClient implements LogClient {
  readonly kind = 'embedded';
  readonly admin: LogAdmin;
  readonly #connection: EmbeddedConnection;
  readonly #directory: string;
  readonly #readers = new Set<LogReader>();

  constructor(connection: EmbeddedConnection, directory: string) {
    this.#connection = connection;
    this.#directory = directory;
    this.admin = new EmbeddedAdmin(connection, directory);
  }

  reader(): LogReader {
    const reader = new EmbeddedLogReader(this.#connection, this.#directory, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    return reader;
  }

  writer(transactionalId: string): LogWriter {
    return new EmbeddedWriter(this.#connection, transactionalId);
  }

  group(options: GroupOptions): GroupSession {
    return new EmbeddedGroupSession(this.#connection, options);
  }

  async close(): Promise<void> {
    for (const reader of [...this.#readers]) await reader.close();
    this.#connection.close();
  }
}

class EmbeddedAdmin implements LogAdmin {
  readonly #connection: EmbeddedConnection;
  readonly #directory: string;

  constructor(connection: EmbeddedConnection, directory: string) {
    this.#connection = connection;
    this.#directory = directory;
  }

  identity(): Promise<string> {
    return this.#connection.call('identity', null);
  }

  describeTopics(topics: readonly string[]): Promise<(TopicDescription | null)[]> {
    return this.#connection.call('describeTopics', topics);
  }

  describeConfig(topic: string): Promise<Readonly<Record<string, string>>> {
    return this.#connection.call('describeConfig', topic);
  }

  async createTopics(specs: readonly TopicSpec[]): Promise<void> {
    await this.#connection.call('createTopics', specs);
  }

  async createPartitions(topic: string, partitionCount: number): Promise<void> {
    await this.#connection.call('createPartitions', { topic, partitionCount });
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    await this.#connection.call('deleteTopics', topics);
  }

  listTopics(): Promise<string[]> {
    return this.#connection.call('listTopics', null);
  }

  listOffsets(queries: readonly OffsetQuery[]): Promise<bigint[]> {
    return Promise.all(queries.map((query) => this.#listOffset(query)));
  }

  async deleteRecords(cuts: readonly (TopicPartition & { readonly before: bigint })[]): Promise<void> {
    await this.#connection.call('deleteRecords', cuts);
  }

  async publishOffsets(
    group: string,
    offsets: readonly (TopicPartition & { readonly offset: bigint })[],
  ): Promise<void> {
    await this.#connection.call('publishOffsets', { group, offsets });
  }

  /** The connection belongs to the client. */
  async close(): Promise<void> {}

  async #listOffset({ topic, partition, at }: OffsetQuery): Promise<bigint> {
    for (;;) {
      const outline = await this.#connection.call('outline', { topic, partition });
      if (at === 'earliest') return outline.logStart;
      if (typeof at === 'string') return outline.end;
      const found = searchTimestamp(this.#directory, outline, at.timestampMs);
      if (found !== null) return found;
    }
  }
}
