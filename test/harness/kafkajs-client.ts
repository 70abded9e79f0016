// Owns the kafkajs client of the tests: silent, patient, and without the timer by which kafkajs 2.2.4 looks at its empty
// queues every millisecond, with a negative time of which Node warns. Shares nothing with the product's own door.

import { createRequire } from 'node:module';
import { Kafka, logLevel } from 'kafkajs';

interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

let mended = false;

export function kafkaJs(brokers: readonly string[], clientId = 'test'): Kafka {
  if (!mended) {
    mended = true;
    const queue: RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue').prototype;
    const schedule = queue.scheduleCheckPendingRequests;
    queue.scheduleCheckPendingRequests = function () {
      if (this.pending.length > 0) schedule.call(this);
    };
  }
  return new Kafka({ brokers: [...brokers], clientId, logLevel: logLevel.NOTHING, retry: { retries: 10 } });
}
