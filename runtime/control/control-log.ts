// Owns the control log of an installation: one topic, one partition, one fenced writer. It says which installation the
// log belongs to, which process is the owner, which topics a job began with and publishes to, what jobs are told to be and
// which changes are under way (ARCHITECTURE §7). Records are JSON; unknown kinds are left for newer versions.

import type { WantedJob } from '#runtime/control/desired-state.ts';
import type { RunWord } from '#runtime/control/job-run.ts';
import type { Operation } from '#runtime/control/operations.ts';
import type {
  LogAdmin,
  LogClient,
  LogReader,
  LogWriter,
  PartitionReader,
  TopicDescription,
} from '#runtime/log/contract.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export type ControlRecord =
  | { readonly kind: 'installation'; readonly installationId: string; readonly atMs: number }
  | { readonly kind: 'owner'; readonly processId: string; readonly atMs: number }
  | {
      readonly kind: 'job-began';
      readonly job: string;
      readonly run: string;
      readonly generation: number;
      /** Ids of the internal topics as created for it. */
      readonly topicIds: Readonly<Record<string, string>>;
      /** The sources as they were then. */
      readonly sources?: readonly TopicDescription[];
      /** Of jobs that began when a job had one source. */
      readonly source?: TopicDescription;
      readonly atMs: number;
    }
  | {
      readonly kind: 'job-outputs';
      readonly job: string;
      readonly run: string;
      readonly generation: number;
      /** The topics it publishes to, as they were when it last started with others. */
      readonly topics: readonly TopicDescription[];
      readonly atMs: number;
    }
  /** Its internal topics and checkpoints were deleted on request: what it began with counts no more. */
  | { readonly kind: 'job-purged'; readonly job: string; readonly atMs: number }
  /** By which processes of the installation know each other. */
  | { readonly kind: 'peer-token'; readonly token: string; readonly atMs: number }
  | WantedJob
  | RunWord
  | Operation;

export function controlTopic(namespace: string): string {
  return `__${namespace}.control`;
}

/** What reading and writing the control log needs of the world. */
export interface ControlEdges {
  readonly log: LogClient;
  readonly reader: LogReader;
  readonly clock: Clock;
  readonly namespace: string;
}

/** How long a read goes on without a record: callers repeat it, and say what they wait for. */
const READ_TIMEOUT_MS = 10_000;

interface ControlContent {
  readonly records: readonly ControlRecord[];
  readonly end: bigint;
}

/** Reads the whole control log; null when its topic does not exist. */
export async function readControlLog(edges: ControlEdges): Promise<ControlContent | null> {
  const [description] = await edges.log.admin.describeTopics([controlTopic(edges.namespace)]);
  return description === null ? null : readRecords(edges, description);
}

async function readRecords(edges: ControlEdges, description: TopicDescription): Promise<ControlContent> {
  const { topic, topicId } = description;
  const [start, end] = await edges.log.admin.listOffsets([
    { topic, partition: 0, at: 'earliest' },
    { topic, partition: 0, at: 'last-stable' },
  ]);
  const records: ControlRecord[] = [];
  if (start >= end) return { records, end };
  const partition = edges.reader.open({ topic, partition: 0, topicId, offset: start });
  const walker = new RecordWalker();
  try {
    while (partition.position < end) {
      const batch = partition.poll();
      if (batch === null) {
        await somethingNew(edges.clock, partition);
        continue;
      }
      walker.reset(batch.bytes, batch.start, batch.end, batch.count);
      while (walker.next()) {
        if (walker.valueStart < 0) continue;
        records.push(JSON.parse(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd)));
      }
      batch.release();
    }
  } finally {
    partition.close();
  }
  return { records, end };
}

/** A reader waits for its log for ever; whoever reads the control log wants to say that it is away. */
async function somethingNew(clock: Clock, partition: PartitionReader): Promise<void> {
  const timer = new AbortController();
  const late = clock.sleep(READ_TIMEOUT_MS, timer.signal).then(() => 'late');
  const news = await Promise.race([partition.ready(), late]);
  timer.abort();
  if (news !== 'late') return;
  const { topic, partition: number } = partition;
  const why = partition.status().fault ?? 'no answer';
  throw new StreamError(
    'log-timeout',
    `${topic}/${number} cannot be read: ${why}`,
    'look at the log; it is tried again',
  );
}

/** Whether `processId` is the last owner that the control log names. Error: topic-unknown when there is none. */
export async function isOwner(edges: ControlEdges, processId: string): Promise<boolean> {
  const last = (await readControlLog(edges))?.records.findLast((record) => record.kind === 'owner');
  if (last?.kind === 'owner') return last.processId === processId;
  const topic = controlTopic(edges.namespace);
  throw new StreamError(
    'topic-unknown',
    `control topic '${topic}' is gone or empty: nothing says which process may run the jobs of this installation`,
    `restore topic '${topic}' from a backup and start again`,
  );
}

/** What is written to the control log, and what stands in it. */
export interface ControlAppender {
  readonly records: readonly ControlRecord[];
  /** All of them or none. */
  append(...records: readonly ControlRecord[]): Promise<void>;
}

/** The writing side, held by the owner process. */
export class ControlLog implements ControlAppender {
  readonly topic: string;
  readonly #writer: LogWriter;
  readonly #clock: Clock;
  #records: ControlRecord[];
  #expectedOffset: bigint;

  private constructor(topic: string, writer: LogWriter, clock: Clock, content: ControlContent) {
    this.topic = topic;
    this.#writer = writer;
    this.#clock = clock;
    this.#records = [...content.records];
    this.#expectedOffset = content.end;
  }

  /** Creates the topic when it is missing, shuts out older owners and reads what is there. */
  static async open(edges: ControlEdges): Promise<ControlLog> {
    const { log, clock, namespace } = edges;
    const topic = controlTopic(namespace);
    await log.admin.createTopics([
      {
        topic,
        partitionCount: 1,
        config: { 'retention.ms': '-1', 'retention.bytes': '-1', 'cleanup.policy': 'delete' },
      },
    ]);
    const [description] = await log.admin.describeTopics([topic]);
    if (description === null) {
      throw new StreamError(
        'topic-unknown',
        `control topic '${topic}' could not be created`,
        'allow this user to create topics',
      );
    }
    const writer = log.writer(`${namespace}.control.0`, [{ topic, partition: 0 }]);
    try {
      await writer.fence();
      return new ControlLog(topic, writer, clock, await readRecords(edges, description));
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  get records(): readonly ControlRecord[] {
    return this.#records;
  }

  /** All of them or none; whoever reads then finds them. */
  async append(...records: readonly ControlRecord[]): Promise<void> {
    const builder = new RecordBatchBuilder(this.topic, 0);
    for (const record of records) {
      const value = Buffer.from(JSON.stringify(record));
      builder.append(this.#clock.nowMs(), null, 0, 0, value, 0, value.length);
    }
    const result = await this.#writer.transact({
      batches: [],
      entry: builder.finish(),
      expectedEntryOffset: this.#expectedOffset,
    });
    this.#expectedOffset = result.nextEntryOffset;
    this.#records.push(...records);
  }

  /** Whether somebody else wrote since: most likely a newer owner. */
  async overtaken(admin: LogAdmin): Promise<boolean> {
    const [end] = await admin.listOffsets([{ topic: this.topic, partition: 0, at: 'last-stable' }]);
    return end > this.#expectedOffset;
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }
}
