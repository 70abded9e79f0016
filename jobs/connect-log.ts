// Owns choosing the log adapter from settings. Kafka is connected by every thread; the embedded log is opened by the
// main thread alone and reached by slots through a port.

import type { MessagePort } from 'node:worker_threads';
import type { LogConfiguration } from '#jobs/configuration.ts';
import type { LogClient } from '#runtime/log/contract.ts';
import { connectEmbedded } from '#runtime/log/embedded/embedded-client.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { invariant } from '#runtime/std/errors.ts';

export function connectLog(settings: LogConfiguration, port: MessagePort | null, clientId: string): LogClient {
  if (settings.kind === 'kafka') {
    const { brokers, replication } = settings;
    return connectKafka({ brokers, replication, clientId, clock: systemClock });
  }
  invariant(port !== null, 'a slot on the embedded log needs a port to its writer');
  return connectEmbedded(port, { directory: settings.directory });
}
