// Owns the simulated log's client of one process: the port's LogClient, with administration that is repeated a few
// times before it gives up.

import type { GroupSession, LogAdmin, LogClient, LogReader, LogWriter } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { RequestKind } from '#test/simulation/world/log-channel.ts';
import type { SimulatedCluster } from '#test/simulation/world/log-cluster.ts';
import { SimulatedGroupSession } from '#test/simulation/world/log-group-session.ts';
import { SimulatedLogReader } from '#test/simulation/world/log-reader.ts';
import { SimulatedLogWriter } from '#test/simulation/world/log-writer.ts';
import type { Process } from '#test/simulation/world/process.ts';

const TRIES = 4;
const PAUSE_MS = 100;

export function simulatedLogClient(cluster: SimulatedCluster, process: Process): LogClient {
  const readers: LogReader[] = [];
  const writers: LogWriter[] = [];
  const members: GroupSession[] = [];
  const admin = simulatedAdmin(cluster, process);
  return {
    kind: 'simulated',
    admin,
    reader() {
      const reader = new SimulatedLogReader(cluster, process);
      readers.push(reader);
      return reader;
    },
    writer(transactionalId, outputs) {
      const writer = new SimulatedLogWriter(cluster, process, transactionalId, outputs);
      writers.push(writer);
      return writer;
    },
    group(options) {
      const member = new SimulatedGroupSession(cluster, process, options);
      members.push(member);
      return member;
    },
    async close() {
      await Promise.all([...readers, ...writers, ...members].map((one) => one.close()));
    },
  };
}

function unknownTopic(topic: string): StreamError {
  return new StreamError('topic-unknown', `topic ${topic} does not exist`, 'create the topic');
}

function simulatedAdmin(cluster: SimulatedCluster, process: Process): LogAdmin {
  /** `serve` gives undefined when it should be asked again. */
  async function ask<T>(kind: RequestKind, serve: () => T | undefined): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        const value = await cluster.channel.request<T | undefined>(process, kind, (answer) => answer(serve()));
        if (value !== undefined) return value;
        if (tries === TRIES) throw new StreamError('log-unavailable', 'a partition has no leader', 'wait');
      } catch (error) {
        if (!(error instanceof StreamError && error.retryable) || tries === TRIES) throw error;
      }
      await process.after(PAUSE_MS * tries, 'pause', () => undefined);
    }
  }

  return {
    identity: () => ask('admin', () => cluster.identity),
    describeTopics: (topics) =>
      ask('metadata', () =>
        topics.map((topic) => {
          const found = cluster.describe(topic);
          return found && { topic, topicId: found.topicId, partitionCount: found.partitionCount };
        }),
      ),
    async describeConfig(topic) {
      const config = await ask('admin', () => cluster.topics.get(topic)?.config ?? null);
      if (config === null) throw unknownTopic(topic);
      return config;
    },
    async createTopics(specs) {
      await ask('admin', () => cluster.createTopics(specs) ?? null);
    },
    async createPartitions(topic, partitionCount) {
      if (!(await ask('admin', () => cluster.createPartitions(topic, partitionCount)))) throw unknownTopic(topic);
    },
    async deleteTopics(topics) {
      await ask('admin', () => cluster.deleteTopics(topics) ?? null);
    },
    listTopics: () => ask('admin', () => [...cluster.topics.keys()]),
    async listOffsets(queries) {
      const offsets = await ask('offsets', () => {
        const found = queries.map((query) => cluster.offset(query, query.at));
        return found.includes(-1) ? undefined : found;
      });
      return offsets.map((offset, i) => {
        if (offset === null) throw unknownTopic(queries[i].topic);
        return BigInt(offset);
      });
    },
    async deleteRecords(cuts) {
      for (const cut of cuts) {
        if (!(await ask('admin', () => cluster.deleteRecords(cut, Number(cut.before))))) throw unknownTopic(cut.topic);
      }
    },
    async publishOffsets(group, offsets) {
      await ask('admin', () => {
        for (const one of offsets) cluster.publishedOffsets.set(`${group} ${one.topic}/${one.partition}`, one.offset);
        return null;
      });
    },
    async close() {},
  };
}
