// Owns the topics of an embedded log and how changes alter them; the same code for live changes and for recovery.
// Knows no write-ahead log: whoever calls `apply` has made the change durable.

import { join } from 'node:path';
import { type Change, withDefaults } from '#runtime/log/embedded/log-changes.ts';
import type { LogSnapshot, TopicState } from '#runtime/log/embedded/log-snapshot.ts';
import { PartitionLog, type PartitionOptions, type PartitionState } from '#runtime/log/embedded/partition-log.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export const TOPICS_DIRECTORY = 'topics';

export interface Topic {
  readonly number: number;
  readonly topic: string;
  readonly topicId: string;
  readonly config: Readonly<Record<string, string>>;
  readonly maxMessageBytes: number;
  readonly partitions: PartitionLog[];
}

const EMPTY: PartitionState = { logStart: 0n, end: 0n, segments: [] };

/** Directory of a topic, relative to the log's. */
export function topicPath(number: number, topic: string): string {
  return join(TOPICS_DIRECTORY, `${number}.${topic}`);
}

export class LogTopics {
  nextTopicNumber: number;
  readonly #directory: string;
  readonly #options: PartitionOptions;
  readonly #byName = new Map<string, Topic>();
  readonly #byNumber = new Map<number, Topic>();
  readonly #offsets = new Map<string, Record<string, string>>();

  constructor(directory: string, options: PartitionOptions, snapshot: LogSnapshot) {
    this.#directory = directory;
    this.#options = options;
    this.nextTopicNumber = snapshot.nextTopicNumber;
    for (const state of snapshot.topics) this.#add(state);
    for (const [group, offsets] of Object.entries(snapshot.offsets)) this.#offsets.set(group, { ...offsets });
  }

  all(): IterableIterator<Topic> {
    return this.#byNumber.values();
  }

  find(topic: string): Topic | undefined {
    return this.#byName.get(topic);
  }

  byNumber(number: number): Topic | undefined {
    return this.#byNumber.get(number);
  }

  /** Error: topic-unknown. */
  topic(topic: string): Topic {
    const found = this.#byName.get(topic);
    if (found === undefined) {
      throw new StreamError('topic-unknown', `topic ${topic} does not exist`, 'create the topic, or correct its name');
    }
    return found;
  }

  /** Error: topic-unknown. */
  partition(topic: string, partition: number): PartitionLog {
    const { partitions } = this.topic(topic);
    if (partition >= 0 && partition < partitions.length) return partitions[partition];
    throw new StreamError(
      'topic-unknown',
      `topic ${topic} has ${partitions.length} partitions, partition ${partition} does not exist`,
      'add partitions to the topic, or correct the partition',
    );
  }

  /** Null when the group published none for that partition. */
  publishedOffset(group: string, topic: string, partition: number): bigint | null {
    const offset = this.#offsets.get(group)?.[`${topic}/${partition}`];
    return offset === undefined ? null : BigInt(offset);
  }

  /** Alters the topics and returns the paths that nothing refers to any more. */
  apply(change: Change): string[] {
    if (change.change === 'topic-created') {
      const partitions = Array.from({ length: change.partitionCount }, () => EMPTY);
      this.#add({ ...change, partitions });
      this.nextTopicNumber = Math.max(this.nextTopicNumber, change.number + 1);
      return [];
    }
    if (change.change === 'offsets-published') {
      this.#offsets.set(change.group, { ...this.#offsets.get(change.group), ...change.offsets });
      return [];
    }
    const topic = this.#byNumber.get(change.number);
    invariant(topic !== undefined, `change ${change.change} of topic number ${change.number}, which is not there`);
    if (change.change === 'records-deleted') return topic.partitions[change.partition].cut(BigInt(change.before));
    if (change.change === 'partitions-created') {
      while (topic.partitions.length < change.partitionCount) topic.partitions.push(this.#partition(topic, EMPTY));
      return [];
    }
    this.#byNumber.delete(topic.number);
    this.#byName.delete(topic.topic);
    for (const partition of topic.partitions) {
      partition.shared.markDeleted();
      partition.close();
    }
    return [join(this.#directory, topicPath(topic.number, topic.topic))];
  }

  snapshot(): Pick<LogSnapshot, 'nextTopicNumber' | 'topics' | 'offsets'> {
    const topics = [...this.#byNumber.values()].map(({ number, topic, topicId, config, partitions }) => {
      return { number, topic, topicId, config, partitions: partitions.map((partition) => partition.state()) };
    });
    return { nextTopicNumber: this.nextTopicNumber, topics, offsets: Object.fromEntries(this.#offsets) };
  }

  close(): void {
    for (const topic of this.#byNumber.values()) for (const partition of topic.partitions) partition.close();
  }

  #add(state: TopicState): void {
    const { number, topic, topicId, config } = state;
    const maxMessageBytes = Number(withDefaults(config)['max.message.bytes']);
    const added: Topic = { number, topic, topicId, config, maxMessageBytes, partitions: [] };
    for (const partition of state.partitions) added.partitions.push(this.#partition(added, partition));
    this.#byName.set(topic, added);
    this.#byNumber.set(number, added);
  }

  #partition(topic: Topic, state: PartitionState): PartitionLog {
    const path = join(this.#directory, topicPath(topic.number, topic.topic), String(topic.partitions.length));
    return new PartitionLog(path, this.#options, state);
  }
}
