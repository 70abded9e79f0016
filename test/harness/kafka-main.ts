// Owns `npm run kafka`: a Kafka for development that runs until Ctrl-C. `--brokers 3` starts three.

import { parseArgs } from 'node:util';
import { startKafka } from '#test/harness/kafka.ts';

const { values } = parseArgs({ options: { brokers: { type: 'string', default: '1' } } });
const kafka = await startKafka({ brokers: values.brokers === '3' ? 3 : 1 });
process.stdout.write(`KAFKA_BROKERS=${kafka.brokers.join(',')}\n`);
const keepAlive = setInterval(() => {}, 1 << 30);
let ending = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (ending) process.exit(1);
    ending = true;
    clearInterval(keepAlive);
    void kafka.stop().then(() => process.exit(0));
  });
}
