// Owns seeing commits from outside: reads topics committed, with its own plain fetches, and notes when the commit marker
// of each transaction became visible in each partition. What was committed is not its business.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, body, int8, int32, int64, RawConnection, text } from '#test/harness/kafka-raw-wire.ts';
import type { ClusterView } from './cluster-view.ts';

const WAIT_MS = 20;
const ANSWER_MS = 5_000;
const PARTITION_BYTES = 1 << 18;
const OUT_OF_RANGE = 1;
const BATCH_HEAD_BYTES = 61;
const ATTRIBUTE_CONTROL = 0x20;

export interface WatchedPartition {
  readonly topic: string;
  readonly partition: number;
  /** By `performance.now()`, ascending. */
  readonly commits: number[];
}

interface Place extends WatchedPartition {
  offset: bigint;
}

export class CommitWatch {
  readonly #view: ClusterView;
  readonly #places: readonly Place[];
  readonly #running: Promise<unknown>;
  #stopped = false;

  constructor(view: ClusterView, partitions: readonly { readonly topic: string; readonly partition: number }[]) {
    this.#view = view;
    this.#places = partitions.map(({ partition, topic }) => ({ topic, partition, commits: [], offset: 0n }));
    this.#running = Promise.all(view.addresses.map((address) => this.#follow(address)));
  }

  get partitions(): readonly WatchedPartition[] {
    return this.#places;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Everything that one broker leads, again and again. */
  async #follow(address: string): Promise<void> {
    let connection: RawConnection | null = null;
    while (!this.#stopped) {
      const led = this.#places.filter(({ partition, topic }) => this.#view.leader(topic, partition) === address);
      try {
        connection ??= new RawConnection(address);
        if (led.length > 0 && !(await this.#fetch(connection, led))) await this.#view.refresh();
      } catch {
        connection?.close();
        connection = null;
        await this.#view.refresh();
      }
      await sleep(WAIT_MS);
    }
    connection?.close();
  }

  /** Fetch v4, read committed; false when somebody else leads one of them. */
  async #fetch(connection: RawConnection, places: readonly Place[]): Promise<boolean> {
    const asked = places.map(({ offset, partition, topic }) =>
      body(text(topic), int32(1), int32(partition), int64(offset), int32(PARTITION_BYTES)),
    );
    const limits = body(int32(-1), int32(WAIT_MS), int32(1), int32(1 << 24), int8(1), int32(places.length));
    const answer = await connection.request(1, 4, body(limits, ...asked), ANSWER_MS);
    const nowMs = performance.now();
    answer.int32();
    let led = true;
    for (let left = answer.int32(); left > 0; left--) {
      const topic = answer.text();
      for (let more = answer.int32(); more > 0; more--) {
        const partition = answer.int32();
        const place = places.find((candidate) => candidate.topic === topic && candidate.partition === partition);
        const error = takePartition(answer, nowMs, place ?? null);
        if (error === OUT_OF_RANGE && place) place.offset = await earliest(connection, place);
        else if (error !== 0) led = false;
      }
    }
    return led;
  }
}

/** Reads the answer for one partition; returns its error. */
function takePartition(answer: Answer, nowMs: number, place: Place | null): number {
  const error = answer.int16();
  answer.int64();
  answer.int64();
  for (let left = answer.int32(); left > 0; left--) answer.at += 16;
  const size = Math.max(0, answer.int32());
  const records = answer.bytes.subarray(answer.at, answer.at + size);
  answer.at += size;
  if (error === 0 && place !== null) takeBatches(records, nowMs, place);
  return error;
}

function takeBatches(records: Buffer, nowMs: number, place: Place): void {
  for (let at = 0; at + BATCH_HEAD_BYTES <= records.length; ) {
    const end = at + 12 + records.readInt32BE(at + 8);
    if (end > records.length) return;
    const next = records.readBigInt64BE(at) + BigInt(records.readInt32BE(at + 23)) + 1n;
    if (next > place.offset) {
      place.offset = next;
      if (isCommit(records.subarray(at, end))) place.commits.push(nowMs);
    }
    at = end;
  }
}

/** A control batch holds one record, whose key is a version and a kind: 1 is a commit. */
function isCommit(batch: Buffer): boolean {
  if ((batch.readInt16BE(21) & ATTRIBUTE_CONTROL) === 0) return false;
  let at = BATCH_HEAD_BYTES;
  const skipVarint = () => {
    while (batch[at++] > 127);
  };
  skipVarint();
  at++;
  // Time, offset and the length of the key.
  for (let fields = 0; fields < 3; fields++) skipVarint();
  return batch.readInt16BE(at + 2) === 1;
}

/** ListOffsets v1: what was trimmed is nobody's business any more. */
async function earliest(connection: RawConnection, { partition, topic }: Place): Promise<bigint> {
  const payload = body(int32(-1), int32(1), text(topic), int32(1), int32(partition), int64(-2n));
  const answer = await connection.request(2, 1, payload, ANSWER_MS);
  answer.int32();
  answer.text();
  answer.int32();
  answer.int32();
  answer.int16();
  answer.int64();
  return answer.int64();
}
