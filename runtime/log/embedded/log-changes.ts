// Owns what changes a log besides records: topics, partitions, log starts, published offsets, as they stand in the
// write-ahead log (JSON, so that people can read them), and the defaults of a topic's configuration.

import { OPERATION_CHANGE } from '#runtime/log/embedded/transaction-frame.ts';
import { StreamError } from '#runtime/std/errors.ts';

export type Change =
  | {
      readonly change: 'topic-created';
      readonly number: number;
      readonly topic: string;
      readonly topicId: string;
      readonly partitionCount: number;
      readonly config: Readonly<Record<string, string>>;
    }
  | { readonly change: 'partitions-created'; readonly number: number; readonly partitionCount: number }
  | { readonly change: 'topic-deleted'; readonly number: number }
  | { readonly change: 'records-deleted'; readonly number: number; readonly partition: number; readonly before: string }
  | {
      readonly change: 'offsets-published';
      readonly group: string;
      readonly offsets: Readonly<Record<string, string>>;
    };

const CONFIG_DEFAULTS: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'max.message.bytes': '1048588',
  'retention.bytes': '-1',
  // By record timestamps, which are event times: what is kept is the installation's affair (retention.ts).
  'retention.ms': '-1',
};

/** Stored configuration with defaults filled in: Kafka's, but for retention. */
export function withDefaults(config: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { ...CONFIG_DEFAULTS, ...config };
}

export function encodeChanges(changes: readonly Change[]): Buffer {
  const text = Buffer.from(JSON.stringify(changes));
  const bytes = Buffer.allocUnsafe(4 + text.length);
  bytes.writeUInt32BE(OPERATION_CHANGE << 24, 0);
  text.copy(bytes, 4);
  return bytes;
}

export function decodeChanges(operation: Buffer): Change[] {
  return JSON.parse(operation.toString('utf8', 4)) as Change[];
}

/** Kafka's rule: the name is a file name on every broker, and here too. */
export function checkTopicName(topic: string): void {
  if (/^[a-zA-Z0-9._-]{1,230}$/.test(topic) && topic !== '.' && topic !== '..') return;
  throw new StreamError(
    'config-invalid',
    `topic name ${JSON.stringify(topic.slice(0, 300))} is not allowed`,
    'use 1 to 230 letters, digits, dots, underscores and hyphens',
  );
}
