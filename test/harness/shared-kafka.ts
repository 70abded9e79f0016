// Owns a test file's way to the Kafka shared by the whole run (kafka-global.ts). Its brokers are never stopped or
// restarted; a test that needs that starts its own with startKafka({ own: true }).

import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';

/** Brokers of the shared Kafka, which the first caller has started (about six seconds). */
export async function sharedKafka(): Promise<{ readonly brokers: string[] }> {
  const answer = await fetch(inject('kafkaDoor'));
  const { brokers, error } = (await answer.json()) as { brokers?: string[]; error?: string };
  if (brokers === undefined) throw new Error(error);
  return { brokers };
}

/** A name no other test or run uses: the shared Kafka may be somebody's own (KAFKA_BROKERS). */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(6).toString('hex')}`;
}
