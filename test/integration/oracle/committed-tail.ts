// Owns the independent reader of output topics: Kafka's own console consumer, read committed, one process per topic.
// kafkajs leaks records of aborted transactions and our own reader is what is being judged. An end-mark written to every
// partition says when everything before it was read; an open transaction keeps the mark from being seen.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { Admin, Producer } from 'kafkajs';
import { hasMavenAndJava, KAFKA_VERSION, kafkaJars } from '#test/harness/kafka-jars.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import type { OutputRecord } from './comparison.ts';
import { until } from './until.ts';

const CONSUMER = 'org.apache.kafka.tools.consumer.ConsoleConsumer';
const BYTES = 'org.apache.kafka.common.serialization.BytesDeserializer';
const END_MARK = 'millrace-test-end-mark';

export type TakeRecord = (record: OutputRecord) => void;

export class CommittedTail {
  readonly topic: string;
  /** Everything read so far, in the order of each partition, without end-marks. */
  readonly records: OutputRecord[] = [];
  readonly #brokers: readonly string[];
  readonly #nullText: string;
  readonly #child: ChildProcess;
  readonly #take: TakeRecord;
  readonly #noise: string[] = [];
  /** The offset after the last one read, by partition: a reader whose group rejoins begins again. */
  readonly #next = new Map<number, number>();
  readonly #marks = new Map<string, Set<number>>();
  #exited = false;

  private constructor(
    brokers: readonly string[],
    topic: string,
    child: ChildProcess,
    nullText: string,
    take?: TakeRecord,
  ) {
    this.#brokers = brokers;
    this.topic = topic;
    this.#nullText = nullText;
    this.#child = child;
    this.#take = take ?? ((record) => void this.records.push(record));
    const endWithUs = () => child.kill('SIGKILL');
    process.once('exit', endWithUs);
    child.once('exit', () => {
      this.#exited = true;
      process.off('exit', endWithUs);
    });
    createInterface({ input: child.stdout! }).on('line', (line) => this.#read(line));
    createInterface({ input: child.stderr! }).on('line', (line) => this.#complain(line));
  }

  /** Starts reading a topic from its beginning; `take` gets the records instead of `records`. The topic must exist. */
  static async start(brokers: readonly string[], topic: string, take?: TakeRecord): Promise<CommittedTail> {
    const nullText = `null-${randomUUID()}`;
    const [command, ...args] = await consumerCommand();
    const formatter = {
      'print.timestamp': 'true',
      'print.partition': 'true',
      'print.offset': 'true',
      'print.headers': 'true',
      'print.key': 'true',
      'print.value': 'true',
      'key.deserializer': BYTES,
      'value.deserializer': BYTES,
      'headers.deserializer': BYTES,
      'key.separator': '\t',
      'headers.separator': '\u0001',
      'null.literal': nullText,
    };
    const consumer = [
      '--bootstrap-server',
      brokers.join(),
      '--topic',
      topic,
      '--group',
      `millrace-test-${randomUUID()}`,
    ];
    const reading = ['--from-beginning', '--isolation-level', 'read_committed'];
    const format = Object.entries(formatter).flatMap(([name, value]) => ['--formatter-property', `${name}=${value}`]);
    const child = spawn(command, [...args, ...consumer, ...reading, ...format], { stdio: ['ignore', 'pipe', 'pipe'] });
    return new CommittedTail(brokers, topic, child, nullText, take);
  }

  /** Resolves when `done` of the records read so far is true; fails after `timeoutMs`, saying how far it got. */
  async waitFor(done: (records: readonly OutputRecord[]) => boolean, what: string, timeoutMs: number): Promise<void> {
    const state = () =>
      `${this.topic}: ${this.records.length} records read ${this.#exited ? 'and the reader ended: ' : ''}${this.#noise.join(' | ')}`;
    await until(() => this.#exited || done(this.records), `${what} in ${this.topic}`, timeoutMs, state);
    if (!done(this.records)) throw new Error(state());
  }

  /** Marks the end of every partition, reads up to the marks and ends the reader. */
  async finish(timeoutMs = 60_000): Promise<readonly OutputRecord[]> {
    const mark = randomUUID();
    const seen = new Set<number>();
    this.#marks.set(mark, seen);
    try {
      const partitionCount = await writeEndMarks(this.#brokers, this.topic, mark);
      await this.waitFor(() => seen.size === partitionCount, `end-marks (or is a transaction open?)`, timeoutMs);
    } finally {
      await this.stop();
    }
    return this.records;
  }

  async stop(): Promise<void> {
    if (this.#exited) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  #read(line: string): void {
    const fields = line.split('\t');
    const time = /^(?:Create|LogAppend)Time:(-?\d+)$/.exec(fields[0]);
    if (time === null || fields.length !== 6) {
      this.#complain(line);
      return;
    }
    const key = this.#bytes(fields[4]);
    const value = this.#bytes(fields[5]);
    const partition = Number(fields[1].slice('Partition:'.length));
    const offset = Number(fields[2].slice('Offset:'.length));
    if (offset < (this.#next.get(partition) ?? 0)) return;
    this.#next.set(partition, offset + 1);
    if (key?.toString() === END_MARK) {
      this.#marks.get(value?.toString() ?? '')?.add(partition);
      return;
    }
    const headers = this.#headers(fields[3]);
    this.#take({ topic: this.topic, partition, offset, timestampMs: Number(time[1]), key, value, headers });
  }

  #complain(line: string): void {
    if (line.startsWith('SLF4J') || line.includes('KIP-848')) return;
    if (this.#noise.length < 20) this.#noise.push(line.slice(0, 500));
  }

  #headers(text: string): Map<string, Buffer> {
    const headers = new Map<string, Buffer>();
    if (text === 'NO_HEADERS') return headers;
    for (const header of text.split('\u0001')) {
      const colon = header.indexOf(':');
      headers.set(header.slice(0, colon), this.#bytes(header.slice(colon + 1)) ?? Buffer.alloc(0));
    }
    return headers;
  }

  /** Undoes Bytes.toString() of Kafka's clients: all but printable ASCII, and the backslash, as \xHH. */
  #bytes(text: string): Buffer | null {
    if (text === this.#nullText) return null;
    const plain = text.replace(/\\x([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
    return Buffer.from(plain, 'latin1');
  }
}

async function consumerCommand(): Promise<string[]> {
  if (await hasMavenAndJava()) {
    const jvm = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData'];
    return ['java', ...jvm, '-cp', `${await kafkaJars()}/*`, CONSUMER];
  }
  const image = `apache/kafka:${KAFKA_VERSION}`;
  return ['docker', 'run', '--rm', '--network', 'host', image, '/opt/kafka/bin/kafka-run-class.sh', CONSUMER];
}

async function writeEndMarks(brokers: readonly string[], topic: string, mark: string): Promise<number> {
  const kafka = kafkaJs(brokers, 'end-marks');
  const admin: Admin = kafka.admin();
  const producer: Producer = kafka.producer({ allowAutoTopicCreation: false });
  await admin.connect();
  await producer.connect();
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const partitionCount = topics[0].partitions.length;
    for (let partition = 0; partition < partitionCount; partition++) {
      await producer.send({ topic, messages: [{ partition, key: END_MARK, value: mark }] });
    }
    return partitionCount;
  } finally {
    await producer.disconnect();
    await admin.disconnect();
  }
}
