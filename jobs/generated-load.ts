// Owns writing the generated samples: one transaction per tick, with an own entry topic `__<namespace>.generator` as
// the log port wants it. A tick whose fate is unknown is not sent again: a gap in made-up load hurts nobody, a double
// would. Ends when told to.

import { type GeneratedSeries, generatedRecord, generatedSeries, TICK_MS } from '#jobs/generator.ts';
import type { LogClient, LogWriter, StagedBatch } from '#runtime/log/contract.ts';
import { RecordBatchBuilder } from '#runtime/log/record-batch.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { partitionOf } from '#runtime/std/murmur2.ts';

export interface GeneratedLoadOptions {
  readonly log: LogClient;
  readonly namespace: string;
  /** Where samples go; must exist. */
  readonly topic: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** @default 1 */
  readonly seed?: number;
  /** What the very first start makes up of the time before it, so that there is something to see. @default 300000 */
  readonly historyMs?: number;
}

const HISTORY_MS = 300_000;
const HISTORY_TICKS_PER_TRANSACTION = 30;
const RETRY_PAUSE_MS = 1_000;
const TELL_INTERVAL_MS = 10_000;
/** Transactions in a row that may fail. */
const FAILURES_MAX = 30;
/** After a pause of the machine the load goes on at the present. */
const CATCH_UP_MS = 10_000;

/** Writes until `signal` aborts. Throws what will not pass. */
export async function runGeneratedLoad(options: GeneratedLoadOptions): Promise<void> {
  const { clock, log, logger, namespace, signal, topic } = options;
  const entryTopic = `__${namespace}.generator`;
  const series = generatedSeries(options.seed ?? 1);
  await log.admin.createTopics([{ topic: entryTopic, partitionCount: 1, config: { 'retention.ms': '3600000' } }]);
  const partitionCount = await partitionCountOf(log, topic);
  const outputs = [{ topic: entryTopic, partition: 0 }];
  for (let partition = 0; partition < partitionCount; partition++) outputs.push({ topic, partition });
  const writer = log.writer(`${namespace}.generator`, outputs);
  try {
    let expected = await ready(writer, log, entryTopic);
    let nextMs = firstTick(clock.nowMs()) - (expected === 0n ? (options.historyMs ?? HISTORY_MS) : 0);
    let failures = 0;
    while (!signal.aborted) {
      const nowMs = clock.nowMs();
      if (nextMs > nowMs) {
        await clock.sleep(nextMs - nowMs, signal);
        continue;
      }
      const due = Math.floor((nowMs - nextMs) / TICK_MS) + 1;
      const ticks = Math.min(due, HISTORY_TICKS_PER_TRANSACTION);
      const batches = batchesOf(series, options.seed ?? 1, { topic, partitionCount, firstMs: nextMs, ticks });
      const entry = entryOf(entryTopic, nextMs, ticks);
      nextMs += ticks * TICK_MS;
      try {
        expected = (await writer.transact({ batches, entry, expectedEntryOffset: expected })).nextEntryOffset;
        failures = 0;
      } catch (error) {
        failures++;
        if (!(error instanceof StreamError) || failures > FAILURES_MAX) throw error;
        const { code, message } = error;
        const what = `generated samples of ${Math.round((ticks * TICK_MS) / 1_000)} s were perhaps not written, and are not made again: ${message}`;
        logger.warn({ code, remedy: `${error.remedy}; made-up load may have gaps, samples of your own do not` }, what);
        await clock.sleep(RETRY_PAUSE_MS, signal);
        expected = await readyAgain(writer, options, entryTopic);
        nextMs = Math.max(nextMs, firstTick(clock.nowMs()) - CATCH_UP_MS);
      }
    }
  } finally {
    await writer.close();
  }
}

async function partitionCountOf(log: LogClient, topic: string): Promise<number> {
  const [description] = await log.admin.describeTopics([topic]);
  if (description !== null) return description.partitionCount;
  throw new StreamError('topic-unknown', `topic '${topic}' does not exist`, 'create it, or start a job that reads it');
}

function firstTick(nowMs: number): number {
  return Math.ceil(nowMs / TICK_MS) * TICK_MS;
}

/** Offset that the next entry must get. */
async function ready(writer: LogWriter, log: LogClient, entryTopic: string): Promise<bigint> {
  await writer.fence();
  const [end] = await log.admin.listOffsets([{ topic: entryTopic, partition: 0, at: 'last-stable' }]);
  return end;
}

async function readyAgain(writer: LogWriter, options: GeneratedLoadOptions, entryTopic: string): Promise<bigint> {
  let toldMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return await ready(writer, options.log, entryTopic);
    } catch (error) {
      if (options.signal.aborted) return 0n;
      if (!(error instanceof StreamError) || !error.retryable) throw error;
      const { code, message, remedy } = error;
      if (options.clock.monotonicMs() - toldMs >= TELL_INTERVAL_MS) {
        toldMs = options.clock.monotonicMs();
        options.logger.warn({ code, remedy }, `generated load waits for the log: ${message}`);
      }
      await options.clock.sleep(RETRY_PAUSE_MS, options.signal);
    }
  }
}

interface TickRange {
  readonly topic: string;
  readonly partitionCount: number;
  readonly firstMs: number;
  readonly ticks: number;
}

function batchesOf(all: readonly GeneratedSeries[], seed: number, range: TickRange): StagedBatch[] {
  const { topic, partitionCount, firstMs, ticks } = range;
  const builders = Array.from({ length: partitionCount }, (_, partition) => new RecordBatchBuilder(topic, partition));
  for (let tick = 0; tick < ticks; tick++) {
    for (const series of all) {
      const { timestampMs, value } = generatedRecord(series, seed, firstMs + tick * TICK_MS);
      const bytes = Buffer.from(value);
      const builder = builders[partitionOf(series.hash, partitionCount)];
      builder.append(timestampMs, series.key, 0, series.key.length, bytes, 0, bytes.length);
    }
  }
  return builders.filter((builder) => builder.recordCount > 0).map((builder) => builder.finish());
}

function entryOf(topic: string, firstMs: number, ticks: number): StagedBatch {
  const builder = new RecordBatchBuilder(topic, 0, 256);
  const bytes = Buffer.from(JSON.stringify({ kind: 'generated', firstMs, ticks }));
  builder.append(firstMs, null, 0, 0, bytes, 0, bytes.length);
  return builder.finish();
}
