// Owns a Kafka for tests and development: the one of KAFKA_BROKERS, else containers, else brokers started from jars
// that Maven fetches. Loopback only. Brokers that we started end with this process.

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ContainerBroker, dockerAnswers, startContainers } from '#test/harness/kafka-docker.ts';
import { hasMavenAndJava, kafkaJars } from '#test/harness/kafka-jars.ts';
import { BrokerProcess } from '#test/harness/kafka-process.ts';

export interface KafkaOptions {
  /** @default 1 */
  readonly brokers?: 1 | 3;
  /** Broker settings over those fit for tests, for example `log.segment.bytes`. Not for a Kafka of KAFKA_BROKERS. */
  readonly config?: Readonly<Record<string, string>>;
  /** Feature levels to start with, `transaction.version=1` for example; only of brokers started from jars. */
  readonly features?: readonly string[];
  /** Heap of each broker. @default 512 */
  readonly heapMiB?: number;
  /** Never the Kafka of KAFKA_BROKERS: the test restarts or kills brokers. @default false */
  readonly own?: boolean;
}

export interface KafkaHandle {
  /** `host:port` of every broker, the same over restarts. */
  readonly brokers: string[];
  /** How it came about; brokers of `given` cannot be stopped or started. */
  readonly kind: 'given' | 'container' | 'process';
  /** Clean stop and start. */
  restartBroker(index: number): Promise<void>;
  stopBroker(index: number): Promise<void>;
  /** SIGKILL. */
  killBroker(index: number): Promise<void>;
  startBroker(index: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts (or names) a Kafka. Throws an error that names the three ways when there is none. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaHandle> {
  const given = process.env['KAFKA_BROKERS'];
  if (given !== undefined && given !== '' && options.own !== true) return givenKafka(given.split(','));
  const count = options.brokers ?? 1;
  if (options.features === undefined && (await dockerAnswers())) {
    const ports = await freePorts(count);
    return containerKafka(await startContainers(ports, newClusterId(), testConfig(count, options.config)));
  }
  if (await hasMavenAndJava()) return processKafka(count, options);
  throw new Error(
    'there is no Kafka for this test run; one of three ways is needed: KAFKA_BROKERS=host:port,… names a running one; ' +
      'a Docker engine runs it in a container; Maven and Java 17 or newer fetch and start Apache Kafka',
  );
}

/** Small, fast and strict: nothing is created by accident, nothing waits for members that never come. */
function testConfig(brokers: number, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const replication = String(brokers);
  const inSync = String(Math.min(2, brokers));
  return {
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replication,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replication,
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': replication,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': replication,
    'share.coordinator.state.topic.min.isr': inSync,
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'num.recovery.threads.per.data.dir': '1',
    // A file of this size per partition is mapped, and made when it is first written: 100 ms of CPU for the default of
    // 10 MiB on some file systems.
    'log.index.size.max.bytes': '262144',
    'log.cleaner.dedupe.buffer.size': '2097152',
    // Tests write event times long past; a test of retention sets retention.ms on its topic.
    'log.retention.ms': '-1',
    'log.retention.check.interval.ms': '500',
    'log.initial.task.delay.ms': '500',
    'file.delete.delay.ms': '1000',
    'broker.session.timeout.ms': '6000',
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
    'controlled.shutdown.enable': 'true',
    ...more,
  };
}

async function processKafka(count: number, options: KafkaOptions): Promise<KafkaHandle> {
  const jars = await kafkaJars();
  const directory = await mkdtemp(join(tmpdir(), 'millrace-kafka-'));
  const ports = await freePorts(count * 2);
  const clusterId = newClusterId();
  const indexes = [...Array(count).keys()];
  const voters = indexes.map((index) => `${index + 1}@127.0.0.1:${ports[count + index]}`).join(',');
  const brokers = indexes.map(
    (index) =>
      new BrokerProcess({
        index,
        port: ports[index],
        controllerPort: ports[count + index],
        directory: join(directory, `broker-${index}`),
        jars,
        voters,
        clusterId,
        heapMiB: options.heapMiB ?? 512,
        config: testConfig(count, options.config),
        features: options.features ?? [],
      }),
  );
  const removeDirectory = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', removeDirectory);
  const end = async () => {
    process.off('exit', removeDirectory);
    await Promise.all(brokers.map((broker) => broker.kill()));
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await Promise.all(brokers.map((broker) => broker.format()));
    await Promise.all(brokers.map((broker) => broker.start()));
  } catch (error) {
    await end();
    throw error;
  }
  return {
    brokers: brokers.map((broker) => broker.address),
    kind: 'process',
    async restartBroker(index) {
      await brokers[index].stop();
      await brokers[index].start();
    },
    stopBroker: (index) => brokers[index].stop(),
    killBroker: (index) => brokers[index].kill(),
    startBroker: (index) => brokers[index].start(),
    stop: end,
  };
}

function containerKafka(containers: readonly ContainerBroker[]): KafkaHandle {
  return {
    brokers: containers.map((container) => container.address),
    kind: 'container',
    async restartBroker(index) {
      await containers[index].stop();
      await containers[index].start();
    },
    stopBroker: (index) => containers[index].stop(),
    killBroker: (index) => containers[index].kill(),
    startBroker: (index) => containers[index].start(),
    async stop() {
      for (const container of containers) await container.remove();
    },
  };
}

function givenKafka(brokers: string[]): KafkaHandle {
  const refuse = async () => {
    throw new Error('a Kafka of KAFKA_BROKERS is not ours to stop or start');
  };
  return {
    brokers,
    kind: 'given',
    restartBroker: refuse,
    stopBroker: refuse,
    killBroker: refuse,
    startBroker: refuse,
    async stop() {},
  };
}

function newClusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A');
}

/** Ports that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    [...Array(count)].map(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a loopback server has no port');
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
