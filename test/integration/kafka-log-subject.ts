// Owns how the contract suite of the log port reaches a real Kafka: clients through a proxy that provokes faults, oracle
// and open transactions through a client of the tests' own.

import { crc32c } from '@node-rs/crc32';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { KafkaProxy } from '#test/harness/kafka-proxy.ts';
import { RawKafka } from '#test/harness/kafka-raw.ts';
import { encodeBatch, record } from '#test/suites/log/bytes.ts';
import { FAULT_KINDS, type LogFault, type OpenLog } from '#test/suites/log/subject.ts';

export const PRODUCE = 0;
export const INIT_PRODUCER_ID = 22;
export const ADD_PARTITIONS = 24;
export const END_TXN = 26;

export function faultsOn(...ons: LogFault['on'][]): LogFault[] {
  return ons.flatMap((on) => FAULT_KINDS.map((how) => ({ on, how })));
}

export function stamp(bytes: Buffer, producerId: bigint, epoch: number, sequence: number): Buffer {
  bytes.writeInt16BE(bytes.readInt16BE(21) | 0x10, 21);
  bytes.writeBigInt64BE(producerId, 43);
  bytes.writeInt16BE(epoch, 51);
  bytes.writeInt32BE(sequence, 53);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

/** `writeKey` is the API key that a fault on `write` hits. */
export async function openKafka(brokers: readonly string[], writeKey = PRODUCE): Promise<OpenLog> {
  const proxy = await KafkaProxy.start(brokers);
  const raw = new RawKafka(brokers);
  const apiKey = { fence: INIT_PRODUCER_ID, write: writeKey, commit: END_TXN } as const;
  return {
    client: () =>
      connectKafka({ brokers: proxy.brokers, clientId: 'suite', clock: systemClock, requestTimeoutMs: 1500 }),
    dump: ({ topic, partition }) => raw.dump(topic, partition),
    appendRaw: async (batch) => void (await raw.produce(batch, null)),
    // Aborted records take offsets, and so do the markers behind them.
    async appendBeforeGap(batch) {
      await raw.produce(batch, null);
      const transaction = await raw.begin(`gap-${batch.topic}`, 60_000);
      await transaction.append(encodeBatch(batch.topic, batch.partition, [record('aborted')]), stamp);
      await transaction.abort();
    },
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
      proxy.inject({ apiKey: apiKey[on], how, lateUntil: on === 'fence' ? INIT_PRODUCER_ID : PRODUCE }),
    outage: {
      begin: async () => proxy.down(),
      end: async () => proxy.up(),
    },
    close: () => proxy.close(),
  };
}
