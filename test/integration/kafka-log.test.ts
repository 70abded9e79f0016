// Runs the contract suite of the log port over the Kafka adapter and a real Kafka, with a proxy between them that
// provokes the faults. Oracle and open transactions come from a client of their own.

import { crc32c } from '@node-rs/crc32';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { KafkaProxy } from '#test/harness/kafka-proxy.ts';
import { RawKafka } from '#test/harness/kafka-raw.ts';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import type { LogFault, OpenLog } from '#test/suites/log/subject.ts';
import { logSuite } from '#test/suites/log.suite.ts';

const PRODUCE = 0;
const INIT_PRODUCER_ID = 22;
const END_TXN = 26;
const API_KEY = { fence: INIT_PRODUCER_ID, write: PRODUCE, commit: END_TXN } as const;
const HOWS = ['request-lost', 'answer-lost', 'request-late', 'closed-before', 'closed-after'] as const;

const FAULTS: LogFault[] = (['fence', 'write', 'commit'] as const).flatMap((on) => HOWS.map((how) => ({ on, how })));

function stamp(bytes: Buffer, producerId: bigint, epoch: number, sequence: number): Buffer {
  bytes.writeInt16BE(bytes.readInt16BE(21) + 0x10, 21);
  bytes.writeBigInt64BE(producerId, 43);
  bytes.writeInt16BE(epoch, 51);
  bytes.writeInt32BE(sequence, 53);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

async function open(): Promise<OpenLog> {
  const { brokers } = await sharedKafka();
  const proxy = await KafkaProxy.start(brokers);
  const raw = new RawKafka(brokers);
  return {
    client: () =>
      connectKafka({ brokers: proxy.brokers, clientId: 'suite', clock: systemClock, requestTimeoutMs: 1500 }),
    dump: ({ topic, partition }) => raw.dump(topic, partition),
    appendRaw: async (batch) => void (await raw.produce(batch, null)),
    async beginRaw(transactionalId, timeoutMs) {
      const transaction = await raw.begin(transactionalId, timeoutMs);
      return {
        append: async (batch) => void (await transaction.append(batch, stamp)),
        commit: () => transaction.commit(),
        abort: () => transaction.abort(),
      };
    },
    // A late request of a transaction arrives while a newer one is half written, a late fence after the newer fence.
    inject: ({ on, how }) =>
      proxy.inject({ apiKey: API_KEY[on], how, lateUntil: on === 'fence' ? INIT_PRODUCER_ID : PRODUCE }),
    outage: {
      begin: async () => proxy.down(),
      end: async () => proxy.up(),
    },
    close: () => proxy.close(),
  };
}

logSuite({
  name: 'kafka',
  capabilities: {
    markers: true,
    codecs: ['gzip', 'snappy', 'lz4', 'zstd'],
    faults: FAULTS,
    transactionTimeoutMs: 12_000,
    outage: true,
  },
  open,
});
