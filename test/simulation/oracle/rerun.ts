// Owns running a task's entries again from the first, one record per batch, on a fresh state: the same output hashes,
// and the same state digest wherever one was taken while the task ran, restored or was checkpointed.

import type { FetchedBatch, PartitionReader, ReaderStatus } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { readEntry } from '#runtime/task/entry.ts';
import { replay } from '#runtime/task/replay.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';
import type { TaskEnvironment, TaskPlan } from '#runtime/task/task-environment.ts';
import { Waiting } from '#runtime/task/waiting.ts';
import { committedBatches } from '#test/simulation/oracle/archive.ts';
import { PageImage } from '#test/simulation/oracle/page-image.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import type { StoredBatch } from '#test/simulation/world/log-partition.ts';
import type { World } from '#test/simulation/world/world.ts';
import { bodyOf } from '#test/suites/log/bytes.ts';

/** A state as it was at an entry, by whoever saw it. */
export interface StateSeen {
  readonly digest: string;
  readonly watermarkMs: number;
  readonly clockMs: number;
  readonly by: string;
}

/** Runs all entries of one task before `until`; `seen` by entry number. Returns how many states were compared. */
export async function rerun(
  world: World,
  plan: TaskPlan,
  counts: Readonly<Record<string, number>>,
  seen: ReadonlyMap<number, readonly StateSeen[]>,
  until = Number.POSITIVE_INFINITY,
): Promise<number> {
  const { commitTopic, identity, input } = plan;
  const task = `${identity.stage}/${identity.partition}`;
  const state = new PageImage();
  const runner = new StageRunner({
    program: plan.program(counts),
    partition: identity.partition,
    partitionCounts: counts,
    writers: plan.writers,
    state,
    commitBytesMax: Number.POSITIVE_INFINITY,
    count: () => {},
  });
  const reader = new SingleRecords(world, input.topic, input.partition);
  const clock = { nowMs: () => WORLD_EPOCH_MS + Math.floor(world.scheduler.nowMs) } as Clock;
  const environment = { clock, breathe: async () => {} } as TaskEnvironment;
  const step = {
    runner,
    reader,
    input,
    compare: true,
    name: task,
    environment,
    waiting: new Waiting(environment.clock, reader),
    signal: new AbortController().signal,
  };
  let compared = 0;
  for (const entry of entries(world, commitTopic, identity.partition)) {
    if (entry.entry.number >= until) break;
    if (entry.entry.number === 0) {
      runner.clockMs = entry.entry.clockMs;
      runner.inputOffset = BigInt(entry.entry.inputs[0].endOffset);
      reader.skipBelow(Number(runner.inputOffset));
    }
    try {
      await replay({ ...step, entry });
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      throw new Violation('replay', `record by record: ${error.message}`);
    }
    const states = seen.get(entry.entry.number) ?? [];
    if (states.length === 0) continue;
    const digest = state.digest();
    for (const one of states) {
      compared++;
      const same = one.digest === digest && one.watermarkMs === runner.watermark.valueMs;
      if (same && one.clockMs === runner.clockMs) continue;
      const now = `${digest} at watermark ${runner.watermark.valueMs}, clock ${runner.clockMs}`;
      const then = `${one.digest} at watermark ${one.watermarkMs}, clock ${one.clockMs}`;
      throw new Violation(
        'digest',
        `${task} entry ${entry.entry.number}: ${then} for ${one.by}, ${now} when run again`,
      );
    }
  }
  return compared;
}

function* entries(world: World, topic: string, partition: number) {
  const walker = new RecordWalker();
  for (const batch of committedBatches(world, topic, partition)) {
    const { bytes, start } = bodyOf(batch.bytes);
    walker.reset(bytes, start, bytes.length, batch.bytes.readInt32BE(57));
    while (walker.next()) yield { ...readEntry(walker, topic), offset: BigInt(batch.baseOffset) };
  }
}

/** Hands out everything a partition ever held, record by record, whatever was trimmed. */
class SingleRecords implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #end: number;
  readonly #batches: StoredBatch[];
  #at = 0;
  #recordStart = -1;
  #recordsLeft = 0;
  #body: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor(world: World, topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
    this.#batches = committedBatches(world, topic, partition);
    this.#end = world.cluster.originals.get(topic)?.partitions[partition]?.end ?? 0;
  }

  skipBelow(offset: number): void {
    while (this.#at < this.#batches.length && this.#batches[this.#at].nextOffset <= offset) this.#at++;
    this.#position = offset;
  }

  get position(): bigint {
    return BigInt(this.#at >= this.#batches.length ? this.#end : this.#position);
  }

  poll(): FetchedBatch | null {
    const batch = this.#batches[this.#at];
    if (batch === undefined) return null;
    if (this.#recordStart < 0) {
      const { bytes, start } = bodyOf(batch.bytes);
      this.#body = bytes;
      this.#recordStart = start;
      this.#recordsLeft = batch.bytes.readInt32BE(57);
    }
    const { end, offsetDelta } = recordAt(this.#body, this.#recordStart);
    const bytes = Buffer.from(this.#body.subarray(this.#recordStart, end));
    this.#recordStart = end;
    this.#position = batch.baseOffset + offsetDelta + 1;
    if (--this.#recordsLeft === 0) {
      this.#at++;
      this.#recordStart = -1;
      this.#position = batch.nextOffset;
    }
    return {
      bytes,
      start: 0,
      end: bytes.length,
      count: 1,
      baseOffset: BigInt(batch.baseOffset),
      baseTimestampMs: Number(batch.bytes.readBigInt64BE(27)),
      skipBelowDelta: 0,
      nextOffset: BigInt(this.#position),
      release: () => void bytes.fill(0xdb),
    };
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  status(): ReaderStatus {
    const position = this.position;
    return { position, logStart: 0n, lastStable: position, highWatermark: position, fetches: 1, fault: null };
  }

  close(): void {}
}

/** Where the record that begins at `start` ends, and its offset delta: size, attributes, time delta, offset delta. */
function recordAt(bytes: Buffer, start: number): { readonly end: number; readonly offsetDelta: number } {
  let at = start;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
  };
  const size = varint();
  const end = at + size;
  at++;
  varint();
  return { end, offsetDelta: varint() };
}
