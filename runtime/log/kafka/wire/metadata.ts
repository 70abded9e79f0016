// Owns Metadata v12: brokers, topics with their ids, and the leader of each partition.

import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

export interface TopicMetadata {
  readonly error: number;
  readonly topic: string;
  readonly topicId: string;
  readonly internal: boolean;
  /** By partition; -1 where there is none. */
  readonly leaders: readonly number[];
}

export interface MetadataAnswer {
  readonly brokers: readonly BrokerAddress[];
  readonly clusterId: string;
  readonly topics: readonly TopicMetadata[];
}

const NO_ID = Buffer.alloc(16);

/** `topics` null asks for all. Never creates a topic. */
export function metadataRequest(topics: readonly string[] | null): WireRequest<MetadataAnswer> {
  return {
    name: 'Metadata',
    apiKey: 3,
    version: 12,
    flexible: true,
    encode(out: WireWriter) {
      if (topics === null) out.uvarint(0);
      else {
        out.compactCount(topics.length);
        for (const topic of topics) {
          out.raw(NO_ID);
          out.compactText(topic);
          out.tags();
        }
      }
      out.i8(0);
      out.i8(0);
      out.tags();
    },
    decode,
  };
}

function decode(input: WireReader): MetadataAnswer {
  input.i32();
  const brokers: BrokerAddress[] = [];
  for (let left = input.compactCount(); left > 0; left--) {
    brokers.push({ nodeId: input.i32(), host: input.compactText() ?? '', port: input.i32() });
    input.compactText();
    input.tags();
  }
  const clusterId = input.compactText() ?? '';
  input.i32();
  const topics: TopicMetadata[] = [];
  for (let left = input.compactCount(); left > 0; left--) topics.push(decodeTopic(input));
  input.tags();
  return { brokers, clusterId, topics };
}

function decodeTopic(input: WireReader): TopicMetadata {
  const error = input.i16();
  const topic = input.compactText() ?? '';
  const topicId = input.uuid();
  const internal = input.i8() !== 0;
  const leaders: number[] = [];
  for (let left = input.compactCount(); left > 0; left--) {
    input.i16();
    const partition = input.i32();
    leaders[partition] = input.i32();
    input.i32();
    for (let lists = 0; lists < 3; lists++) input.skip(4 * input.compactCount());
    input.tags();
  }
  input.i32();
  input.tags();
  return { error, topic, topicId, internal, leaders };
}
