// Owns the Kafka adapter's front: options with their defaults, and one client for one slot. Everything opened through a
// client ends with it.

import type {
  GroupOptions,
  GroupSession,
  LogAdmin,
  LogClient,
  LogReader,
  LogWriter,
  TopicPartition,
} from '#runtime/log/contract.ts';
import { KafkaAdmin } from '#runtime/log/kafka/admin.ts';
import { Cluster } from '#runtime/log/kafka/cluster.ts';
import { KafkaGroupSession } from '#runtime/log/kafka/group-session.ts';
import { KafkaReader, type ReaderOptions } from '#runtime/log/kafka/reader.ts';
import { KafkaWriter, type WriterOptions } from '#runtime/log/kafka/writer.ts';
import type { Clock } from '#runtime/std/clock.ts';

export interface KafkaLogOptions {
  /** `host:port` of some brokers; the others are learnt from them. */
  readonly brokers: readonly string[];
  /** Named in the brokers' logs and quotas. */
  readonly clientId: string;
  readonly clock: Clock;
  /** Deadline of a request; a missed one ends the connection. @default 30000 */
  readonly requestTimeoutMs?: number;
  /** After this the brokers abort a transaction that nobody ends. At most 900000. @default 15000 */
  readonly transactionTimeoutMs?: number;
  /** How long a transactional request is sent again that the coordinator puts off. @default 20000 */
  readonly retryMs?: number;
  /** Bytes of one fetch answer over all partitions of a broker. @default 8 MiB */
  readonly fetchBytesMax?: number;
  /** Bytes of one partition in a fetch answer. @default 1 MiB */
  readonly partitionBytesMax?: number;
  /** How long a broker waits for data before it answers without. @default 200 */
  readonly fetchWaitMs?: number;
  /** Bytes per partition that wait to be polled before fetching it stops. @default 2 MiB */
  readonly readAheadBytesMax?: number;
  /** Bytes of answers kept whole per reader; what slow partitions hold beyond is copied out. @default 64 MiB */
  readonly heldBytesMax?: number;
  /** Largest record batch after decompression. @default 128 MiB */
  readonly batchBytesMax?: number;
  /** Largest answer of a broker; no record beyond can be read. @default 256 MiB */
  readonly frameBytesMax?: number;
  /** Replication of topics that are created; -1 leaves it to the brokers. @default -1 */
  readonly replication?: number;
}

const MIB = 1024 * 1024;

/** Connects lazily: no broker need be there yet. */
export function connectKafka(options: KafkaLogOptions): LogClient {
  const { brokers, clientId, clock } = options;
  const requestTimeoutMs = options.requestTimeoutMs ?? 30_000;
  const frameBytesMax = options.frameBytesMax ?? 256 * MIB;
  const cluster = new Cluster({ brokers, clientId, clock, requestTimeoutMs, frameBytesMax });
  const reading: ReaderOptions = {
    fetchBytesMax: options.fetchBytesMax ?? 8 * MIB,
    partitionBytesMax: options.partitionBytesMax ?? MIB,
    fetchWaitMs: options.fetchWaitMs ?? 200,
    readAheadBytesMax: options.readAheadBytesMax ?? 2 * MIB,
    heldBytesMax: options.heldBytesMax ?? 64 * MIB,
    batchBytesMax: options.batchBytesMax ?? 128 * MIB,
  };
  const writing: WriterOptions = {
    transactionTimeoutMs: options.transactionTimeoutMs ?? 15_000,
    retryMs: options.retryMs ?? 20_000,
  };
  return new KafkaClient(cluster, reading, writing, options.replication ?? -1);
}

class KafkaClient implements LogClient {
  readonly kind = 'kafka';
  readonly admin: LogAdmin;
  readonly #cluster: Cluster;
  readonly #reading: ReaderOptions;
  readonly #writing: WriterOptions;
  readonly #opened = new Set<LogReader | LogWriter | GroupSession>();

  constructor(cluster: Cluster, reading: ReaderOptions, writing: WriterOptions, replication: number) {
    this.#cluster = cluster;
    this.#reading = reading;
    this.#writing = writing;
    this.admin = new KafkaAdmin(cluster, { replication, reading });
  }

  reader(): LogReader {
    const reader: KafkaReader = new KafkaReader(this.#cluster, this.#reading, () => this.#opened.delete(reader));
    this.#opened.add(reader);
    return reader;
  }

  writer(transactionalId: string, outputs: readonly TopicPartition[] = []): LogWriter {
    const closed = () => this.#opened.delete(writer);
    const writer: KafkaWriter = new KafkaWriter(this.#cluster, { transactionalId, outputs }, this.#writing, closed);
    this.#opened.add(writer);
    return writer;
  }

  group(options: GroupOptions): GroupSession {
    const closed = () => this.#opened.delete(session);
    const session: KafkaGroupSession = new KafkaGroupSession(this.#cluster, options, closed);
    this.#opened.add(session);
    return session;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#opened].map((one) => one.close()));
    await this.admin.close();
    await this.#cluster.close();
  }
}
