// Owns Kafka's own console consumer as an independent reader of one partition, read committed. Needs the jars that
// startKafka fetches; a Kafka from elsewhere can be read too.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { kafkaJars } from '#test/harness/kafka-jars.ts';

const run = promisify(execFile);

/** `offset` and value of every committed record from the partition's start, until nothing came for `idleMs`. */
export async function javaConsume(
  brokers: readonly string[],
  topic: string,
  partition: number,
  idleMs = 2500,
): Promise<{ readonly offset: bigint; readonly value: string }[]> {
  const jars = await kafkaJars();
  const consumer = ['org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', brokers.join(',')];
  const place = ['--topic', topic, '--partition', String(partition), '--offset', 'earliest'];
  const how = ['--isolation-level', 'read_committed', '--timeout-ms', String(idleMs)];
  const format = ['--formatter-property', 'print.offset=true'];
  const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(jars, '*')];
  const { stdout } = await run('java', [...jvm, ...consumer, ...place, ...how, ...format], { maxBuffer: 1 << 26 });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const match = /^Offset:(\d+)\t(.*)$/.exec(line);
      if (match === null) throw new Error(`the console consumer printed '${line}'`);
      return { offset: BigInt(match[1]), value: match[2] };
    });
}
