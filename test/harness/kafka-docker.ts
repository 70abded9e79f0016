// Owns Apache Kafka in containers, for machines with a Docker engine. The containers advertise ports of this machine
// that were free a moment ago, so addresses stay the same over restarts.

import { connect } from 'node:net';
import { KAFKA_VERSION } from '#test/harness/kafka-jars.ts';

export interface ContainerBroker {
  readonly address: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(): Promise<void>;
  remove(): Promise<void>;
}

/** Whether a Docker engine answers at DOCKER_HOST or its usual socket. */
export function dockerAnswers(): Promise<boolean> {
  const host = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  const url = new URL(host);
  const target = url.protocol === 'unix:' ? { path: url.pathname } : { host: url.hostname, port: Number(url.port) };
  return new Promise((resolve) => {
    const socket = connect(target);
    const end = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('connect', () => socket.write('GET /_ping HTTP/1.0\r\n\r\n'));
    socket.once('data', (answer) => end(answer.toString('latin1').includes(' 200 ')));
  });
}

/** Starts one container per port; broker i is reachable at 127.0.0.1:ports[i]. */
export async function startContainers(
  ports: readonly number[],
  clusterId: string,
  config: Readonly<Record<string, string>>,
): Promise<ContainerBroker[]> {
  const { GenericContainer, Network, Wait, getContainerRuntimeClient } = await import('testcontainers');
  const network = await new Network().start();
  const voters = ports.map((_, index) => `${index + 1}@kafka-${index + 1}:9093`).join(',');
  const started = await Promise.all(
    ports.map((port, index) =>
      new GenericContainer(`apache/kafka:${KAFKA_VERSION}`)
        .withNetwork(network)
        .withNetworkAliases(`kafka-${index + 1}`)
        .withExposedPorts({ container: 9092, host: port })
        .withEnvironment(environment(index, port, voters, clusterId, config))
        .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
        .start(),
    ),
  );
  const client = await getContainerRuntimeClient();
  let left = started.length;
  return started.map((container, index) => {
    const raw = client.container.getById(container.getId());
    return {
      address: `127.0.0.1:${ports[index]}`,
      start: async () => void (await raw.start()),
      stop: async () => void (await raw.stop()),
      kill: async () => void (await raw.kill()),
      remove: async () => {
        await container.stop();
        left--;
        if (left === 0) await network.stop();
      },
    };
  });
}

function environment(
  index: number,
  port: number,
  voters: string,
  clusterId: string,
  config: Readonly<Record<string, string>>,
): Record<string, string> {
  const settings: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(index + 1),
    'controller.quorum.voters': voters,
    listeners: 'PLAINTEXT://:9092,INTERNAL://:9094,CONTROLLER://:9093',
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port},INTERNAL://kafka-${index + 1}:9094`,
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT',
    ...config,
  };
  const result: Record<string, string> = { CLUSTER_ID: clusterId };
  for (const [key, value] of Object.entries(settings)) {
    result[`KAFKA_${key.toUpperCase().replaceAll('.', '_')}`] = value;
  }
  return result;
}
