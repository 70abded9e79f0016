// Owns everything a run under faults consists of: three brokers, the topics, one installation with its processes, its
// checkpoints on a small disk, the load, the watch on commits, the independent readers, and the verdict. Does nothing to
// any of them by itself.

import { mkdirSync } from 'node:fs';
import { type KafkaHandle, startKafka } from '#test/harness/kafka.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { mountSmallDisk, unmountSmallDisk } from '#test/harness/small-disk.ts';
import { CommittedTail } from '#test/integration/oracle/committed-tail.ts';
import type { OutputRecord } from '#test/integration/oracle/comparison.ts';
import { FULL_DATA_SET, midnightBefore } from '#test/integration/oracle/data-set.ts';
import { createTopic } from '#test/integration/oracle/kafka-feed.ts';
import { until } from '#test/integration/oracle/until.ts';
import { Installation } from '#test/integration/process-harness.ts';
import {
  deadLetterTopic,
  judged,
  lateTopic,
  outputTopics,
  type RunTopics,
  requiredRows,
  Script,
} from '#test/integration/rollups-scenario.ts';
import { ClusterView } from './cluster-view.ts';
import { CommitWatch, type WatchedPartition } from './commit-watch.ts';
import { SteadyFeed } from './steady-feed.ts';
import { Workers } from './workers.ts';

export const BROKERS = 3;
export const JOB = 'rollups';
const NAMESPACE = 'faults';
const TOPICS: RunTopics = { source: 'faults.raw', outputPrefix: 'faults.rollup' };
const COMMIT_TOPIC = new RegExp(`^__${NAMESPACE}\\.${JOB}\\..*\\.commits\\.(.+)$`);
const PARTITIONS = 6;
const DISK_MIB = 64;
const PATIENCE_MS = 120_000;
const DAY_MS = 86_400_000;
/** Event time of a whole run, which it never reaches the end of; samples of a series are so far apart. */
const DAYS = 40;
const INTERVAL_MS = 20_000;

export interface WorldOptions {
  readonly seed: number;
  readonly workers: number;
  readonly slots: number;
  readonly recordsPerSecond: number;
  readonly seriesCount: number;
}

export interface Judgement {
  readonly samples: number;
  readonly rows: number;
  readonly lost: number;
  readonly doubled: number;
  /** Everything else that is not as it should be, by kind. */
  readonly other: Readonly<Record<string, number>>;
  /** In words, with examples; empty when all is right. */
  readonly differences: string;
}

/** A partition of a commit log: one task. */
export interface WatchedTask extends WatchedPartition {
  readonly stage: string;
}

export class FaultWorld {
  readonly kafka: KafkaHandle;
  readonly view: ClusterView;
  readonly workers: Workers;
  readonly checkpointsDirectory: string;
  readonly #installation: Installation;
  readonly #script: Script;
  readonly #mounted: boolean;
  #feed: SteadyFeed | null = null;
  #watch: CommitWatch | null = null;
  #tails: readonly CommittedTail[] = [];

  private constructor(kafka: KafkaHandle, installation: Installation, script: Script, workers: number) {
    this.kafka = kafka;
    this.view = new ClusterView(kafka.brokers);
    this.#installation = installation;
    this.#script = script;
    this.workers = new Workers(installation, workers);
    this.checkpointsDirectory = installation.checkpointsDirectory;
    mkdirSync(this.checkpointsDirectory, { recursive: true });
    this.#mounted = mountSmallDisk(this.checkpointsDirectory, DISK_MIB);
  }

  /** Starts everything and waits until every task has committed under load. */
  static async start(options: WorldOptions): Promise<FaultWorld> {
    const kafka = await startKafka({ own: true, brokers: BROKERS, heapMiB: 384 });
    const { seed, seriesCount, slots, workers } = options;
    const nowMs = Date.now();
    const data = { ...FULL_DATA_SET, seed, seriesCount, partitionCount: PARTITIONS, placement: 'spread' } as const;
    const rounds = (DAYS * DAY_MS) / INTERVAL_MS;
    const midnightMs = midnightBefore(nowMs) - DAYS * DAY_MS;
    const script = new Script({ ...data, rounds, intervalMs: INTERVAL_MS, midnightMs }, nowMs);
    const installation = await Installation.create({
      brokers: kafka.brokers,
      namespace: NAMESPACE,
      slots,
      jobs: {
        [JOB]: {
          module: 'jobs/rollups.ts',
          parallelism: workers * slots,
          checkpointInterval: '1s',
          // A load that a fault holds back is no source without samples.
          options: { topic: TOPICS.source, outputPrefix: TOPICS.outputPrefix, idleness: '12h' },
        },
      },
    });
    const world = new FaultWorld(kafka, installation, script, workers);
    try {
      await world.#begin(options.recordsPerSecond);
      return world;
    } catch (error) {
      const report = world.report();
      await world.end();
      throw new Error(`the run could not begin: ${error}\n${report}`, { cause: error });
    }
  }

  async #begin(recordsPerSecond: number): Promise<void> {
    const { brokers } = this.kafka;
    await createTopic(kafkaJs(brokers), TOPICS.source, PARTITIONS);
    for (let index = 0; index < this.workers.count; index++) await this.workers.start(index);
    for (let index = 0; index < this.workers.count; index++) await this.workers.ready(index);
    this.#feed = await SteadyFeed.start({
      view: this.view,
      topic: TOPICS.source,
      script: this.#script,
      recordsPerSecond,
    });
    const wanted = [...outputTopics(TOPICS), deadLetterTopic(TOPICS), lateTopic(TOPICS)];
    const made = async () => {
      const { topics } = await this.view.describe();
      const commits = [...topics.keys()].filter((topic) => COMMIT_TOPIC.test(topic));
      return commits.length === 2 && wanted.every((topic) => topics.has(topic));
    };
    await until(made, 'the topics of the job', PATIENCE_MS, () => this.report());
    await this.view.refresh();
    this.#watch = new CommitWatch(this.view, await this.#watched());
    this.#tails = await Promise.all(wanted.map((topic) => CommittedTail.start(brokers, topic)));
    const began = () => this.tasks.every(({ commits }) => commits.length > 1);
    await until(began, 'a commit of every task', PATIENCE_MS, () => this.report());
    const reading = () => this.#tails[0].records.length > 0;
    await until(reading, 'the first rows at the reader', PATIENCE_MS, () => this.report());
  }

  async #watched(): Promise<{ readonly topic: string; readonly partition: number }[]> {
    const { topics } = await this.view.describe();
    const rows = `${TOPICS.outputPrefix}.1m`;
    return [...topics]
      .filter(([topic]) => topic === rows || COMMIT_TOPIC.test(topic))
      .flatMap(([topic, partitions]) => partitions.map(({ index }) => ({ topic, partition: index })));
  }

  get #partitions(): readonly WatchedPartition[] {
    return this.#watch?.partitions ?? [];
  }

  get tasks(): readonly WatchedTask[] {
    return this.#partitions.flatMap((watched) => {
      const stage = COMMIT_TOPIC.exec(watched.topic)?.[1];
      return stage === undefined ? [] : [{ ...watched, stage }];
    });
  }

  /** Partitions of the rows of minutes. */
  get outputs(): readonly WatchedPartition[] {
    return this.#partitions.filter(({ topic }) => topic === `${TOPICS.outputPrefix}.1m`);
  }

  /** Where the disk can be filled; false on machines where nobody may mount one. */
  get hasSmallDisk(): boolean {
    return this.#mounted;
  }

  /** Throws what must not have happened, whatever the fault. */
  check(): void {
    this.#feed?.check();
    const { endedByThemselves } = this.workers;
    if (endedByThemselves.length > 0) throw new Error(endedByThemselves.join('\n'));
  }

  /** Ends the load, waits for the last rows, stops the processes cleanly, reads to the end and compares. */
  async judge(): Promise<Judgement> {
    await this.#feed?.finish();
    const expectation = this.#script.expectation();
    const problems: string[] = [];
    const note = (error: unknown) => void problems.push(String(error));
    const arrivals = this.#tails.map(async (tail) => {
      const letters = tail.topic === deadLetterTopic(TOPICS);
      const count = letters ? expectation.deadLetters.size : requiredRows(expectation, tail.topic);
      await tail.waitFor((records) => records.length >= count, `${count} records`, PATIENCE_MS).catch(note);
    });
    await Promise.all(arrivals);
    problems.push(...(await this.workers.stop()));
    await Promise.all(this.#tails.map((tail) => tail.finish().catch(note)));
    const published = new Map<string, readonly OutputRecord[]>(
      this.#tails.map(({ records, topic }) => [topic, records]),
    );
    const compared = judged(expectation, TOPICS, published, { rowPartitionCount: PARTITIONS });
    const counts = new Map(compared.flatMap(([, differences]) => [...differences.counts]));
    const taken = (...kinds: string[]) =>
      kinds.reduce((sum, kind) => {
        const count = counts.get(kind) ?? 0;
        counts.delete(kind);
        return sum + count;
      }, 0);
    const lost = taken('missing rows', 'missing dead letters');
    const doubled = taken('duplicate rows', 'dead letters too many');
    if (problems.length > 0) counts.set('problems at the end', problems.length);
    const differences = compared.filter(([, found]) => found.total > 0).map(([what, found]) => `${what}:\n${found}`);
    return {
      samples: expectation.counts.folded,
      rows: outputTopics(TOPICS).reduce((sum, topic) => sum + (published.get(topic)?.length ?? 0), 0),
      lost,
      doubled,
      other: Object.fromEntries(counts),
      differences: [...problems, ...differences].join('\n'),
    };
  }

  report(): string {
    return this.#installation.report();
  }

  async end(): Promise<void> {
    await this.#feed?.stop();
    await this.#watch?.stop();
    await Promise.all(this.#tails.map((tail) => tail.stop()));
    for (let index = 0; index < this.workers.count; index++) await this.workers.kill(index);
    if (this.#mounted) unmountSmallDisk(this.checkpointsDirectory);
    await this.#installation.remove();
    await this.kafka.stop();
  }
}
