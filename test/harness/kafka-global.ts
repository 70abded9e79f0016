// Owns the Kafka that all test files of one vitest run share. As vitest's globalSetup it only opens a small loopback
// server; the first test file that asks (shared-kafka.ts) has Kafka started, in vitest's own process, once.

import { createServer } from 'node:http';
import type { TestProject } from 'vitest/node';
import { type KafkaHandle, startKafka } from '#test/harness/kafka.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where shared-kafka.ts asks for brokers. */
    readonly kafkaDoor: string;
  }
}

/** vitest globalSetup; the function it returns is the teardown. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  let kafka: Promise<KafkaHandle> | null = null;
  const door = createServer((_request, response) => {
    kafka ??= startKafka();
    kafka.then(
      (handle) => response.end(JSON.stringify({ brokers: handle.brokers })),
      (error: Error) => response.end(JSON.stringify({ error: error.message })),
    );
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  door.unref();
  const address = door.address();
  if (address === null || typeof address === 'string') throw new Error('a loopback server has no port');
  project.provide('kafkaDoor', `http://127.0.0.1:${address.port}/`);
  return async () => {
    door.closeAllConnections();
    await new Promise((resolve) => door.close(resolve));
    await kafka?.then((handle) => handle.stop()).catch(() => {});
  };
}
