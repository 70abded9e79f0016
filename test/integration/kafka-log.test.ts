// Runs the contract suite of the log port over the Kafka adapter and a real Kafka.

import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { faultsOn, openKafka } from '#test/integration/kafka-log-subject.ts';
import { logSuite } from '#test/suites/log.suite.ts';

logSuite({
  name: 'kafka',
  capabilities: {
    markers: true,
    codecs: ['gzip', 'snappy', 'lz4', 'zstd'],
    faults: faultsOn('fence', 'write', 'commit'),
    transactionTimeoutMs: 12_000,
    outage: true,
  },
  open: async () => openKafka((await sharedKafka()).brokers),
});
