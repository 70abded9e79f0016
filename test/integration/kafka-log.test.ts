// Runs the contract suite of the log port over the Kafka adapter and a real Kafka.

import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { faultsOn, openKafka } from '#test/integration/kafka-log-subject.ts';
import { CODECS } from '#test/suites/log/subject.ts';
import { logSuite } from '#test/suites/log.suite.ts';

logSuite({
  name: 'kafka',
  capabilities: {
    codecs: CODECS,
    faults: faultsOn('fence', 'write', 'commit'),
    transactionTimeoutMs: 12_000,
    outage: true,
    gaps: true,
    reconnects: true,
    severalMembers: true,
  },
  omitted: [],
  open: async () => openKafka((await sharedKafka()).brokers),
});
