// Owns following the control log in a process that does not write it: every record as it comes, from the first one on.
// Waits for a log that is away, and for a topic that is not there yet. Invariant: records are told in order, each once.

import { type ControlEdges, type ControlRecord, controlTopic } from '#runtime/control/control-log.ts';
import type { PartitionReader, TopicDescription } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface ControlFollowerParts extends ControlEdges {
  readonly logger: Logger;
  /** Told after every batch of records, with the records that are new. */
  readonly heard: (records: readonly ControlRecord[]) => void;
  /** The control log is gone, another one, or cannot be read: nothing follows. */
  readonly failed: (fault: StreamError) => void;
}

const LOOK_MS = 500;

export class ControlFollower {
  readonly #parts: ControlFollowerParts;
  readonly #records: ControlRecord[] = [];
  readonly #closed = new AbortController();
  readonly #walker = new RecordWalker();
  #partition: PartitionReader | null = null;
  #waiting: { readonly end: bigint; readonly reached: () => void }[] = [];
  #ended: Promise<void> = Promise.resolve();

  constructor(parts: ControlFollowerParts) {
    this.#parts = parts;
  }

  /** All that were heard so far. */
  get records(): readonly ControlRecord[] {
    return this.#records;
  }

  /** Begins to follow. */
  start(): void {
    this.#ended = this.#follow();
  }

  /**
   * Resolves when everything was heard that was committed when this was called. Errors: topic-unknown when there is no
   * control log; log-unavailable, log-timeout.
   */
  async caughtUp(): Promise<void> {
    const topic = controlTopic(this.#parts.namespace);
    const [end] = await this.#parts.log.admin.listOffsets([{ topic, partition: 0, at: 'last-stable' }]);
    if (this.#closed.signal.aborted || (this.#partition !== null && this.#partition.position >= end)) return;
    await new Promise<void>((reached) => this.#waiting.push({ end, reached }));
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#partition?.close();
    this.#tellWaiting(true);
    await this.#ended;
  }

  async #follow(): Promise<void> {
    try {
      const description = await this.#find();
      if (description === null) return;
      const { topic, topicId } = description;
      const [offset] = await this.#patiently(() =>
        this.#parts.log.admin.listOffsets([{ topic, partition: 0, at: 'earliest' }]),
      );
      if (this.#closed.signal.aborted) return;
      const partition = this.#parts.reader.open({ topic, partition: 0, topicId, offset });
      this.#partition = partition;
      while (!this.#closed.signal.aborted) {
        this.#hear(partition);
        await partition.ready();
      }
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      this.#parts.failed(error instanceof StreamError ? error : unreadable(this.#parts.namespace, error));
    } finally {
      this.#partition?.close();
    }
  }

  // Who starts first creates it.
  async #find(): Promise<TopicDescription | null> {
    const { clock, log, namespace } = this.#parts;
    const { signal } = this.#closed;
    while (!signal.aborted) {
      const [description] = await this.#patiently(() => log.admin.describeTopics([controlTopic(namespace)]));
      if (description !== null) return description;
      await clock.sleep(LOOK_MS, signal);
    }
    return null;
  }

  #hear(partition: PartitionReader): void {
    const fresh: ControlRecord[] = [];
    for (let batch = partition.poll(); batch !== null; batch = partition.poll()) {
      const walker = this.#walker;
      walker.reset(batch.bytes, batch.start, batch.end, batch.count);
      while (walker.next()) {
        if (walker.valueStart < 0) continue;
        fresh.push(JSON.parse(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd)));
      }
      batch.release();
    }
    for (const record of fresh) this.#records.push(record);
    if (fresh.length > 0) this.#parts.heard(fresh);
    this.#tellWaiting(false);
  }

  #tellWaiting(all: boolean): void {
    const position = this.#partition?.position ?? -1n;
    const reached = this.#waiting.filter(({ end }) => all || position >= end);
    this.#waiting = this.#waiting.filter(({ end }) => !all && position < end);
    for (const waiting of reached) waiting.reached();
  }

  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof StreamError && error.retryable) || this.#closed.signal.aborted) throw error;
        this.#parts.logger.debug({ code: error.code }, `the control log is asked again: ${error.message}`);
        await this.#parts.clock.sleep(LOOK_MS, this.#closed.signal);
      }
    }
  }
}

function unreadable(namespace: string, cause: unknown): StreamError {
  return new StreamError(
    'commit-log-corrupt',
    `control log '${controlTopic(namespace)}' cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    'something else wrote to it, or it is damaged: restore it from a backup',
    { cause },
  );
}
