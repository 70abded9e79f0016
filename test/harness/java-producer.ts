// Owns Kafka's own console producer, which writes lines as records without keys. Needs the jars that startKafka fetches; a
// Kafka from elsewhere can be written to, too.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { kafkaJars } from '#test/harness/kafka-jars.ts';

/** Resolves when all are acknowledged. */
export async function javaProduce(brokers: readonly string[], topic: string, lines: readonly string[]): Promise<void> {
  const jars = await kafkaJars();
  const producer = [
    'org.apache.kafka.tools.ConsoleProducer',
    '--bootstrap-server',
    brokers.join(','),
    '--topic',
    topic,
  ];
  const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(jars, '*')];
  const child = spawn('java', [...jvm, ...producer, '--sync'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  const ended = new Promise<number | null>((done) => child.once('close', done));
  child.stdin.end(`${lines.join('\n')}\n`);
  const code = await ended;
  if (code !== 0 || /ERROR/.test(told)) throw new Error(`the console producer ended with ${code}: ${told}`);
}
