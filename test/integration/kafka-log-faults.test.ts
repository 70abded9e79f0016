// Faults the contract suite does not reach over the shared Kafka: on AddPartitionsToTxn, and all of them on brokers below
// transaction.version 2, where an answer that is lost costs more.

import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { type KafkaHandle, startKafka } from '#test/harness/kafka.ts';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { ADD_PARTITIONS, faultsOn, openKafka } from '#test/integration/kafka-log-subject.ts';
import { LogBench } from '#test/suites/log/bench.ts';
import { faultTests } from '#test/suites/log/faults.ts';
import type { LogFault, OpenLog } from '#test/suites/log/subject.ts';

function faultsOver(name: string, faults: LogFault[], open: () => Promise<OpenLog>): void {
  describe(name, () => {
    const others = {
      codecs: [],
      transactionTimeoutMs: null,
      outage: false,
      gaps: false,
      reconnects: true,
      severalMembers: false,
    };
    const bench = new LogBench({ name, capabilities: { ...others, faults }, omitted: [], open });
    beforeAll(() => bench.open());
    afterEach(() => bench.closeClients());
    afterAll(() => bench.close());
    faultTests(bench);
  });
}

faultsOver('kafka writer, AddPartitionsToTxn', faultsOn('write'), async () =>
  openKafka((await sharedKafka()).brokers, ADD_PARTITIONS),
);

faultsOver('kafka writer below transaction.version 2', faultsOn('fence', 'write', 'commit'), async () => {
  const kafka: KafkaHandle = await startKafka({ own: true, features: ['transaction.version=1'] });
  const log = await openKafka(kafka.brokers);
  return {
    ...log,
    async close() {
      await log.close();
      await kafka.stop();
    },
  };
});
