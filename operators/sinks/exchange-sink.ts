// Owns the writing end of an exchange: gathers rows per target partition into blocks, and tells every partition the
// watermark. How blocks are cut follows from the rows of the entry alone. Invariant: between entries no row is held
// back; what was last said to each partition is state.

import type { PagedState, PageTracker, ValueCodec } from '#checkpoint/contract.ts';
import { BLOCK_ROWS_MAX, ExchangeBlock, encodeControl, encodeMarker } from '#operators/formats/exchange-block.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { functionFailed } from '#operators/records/user-function.ts';
import { type ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';
import { partitionOf } from '#runtime/std/murmur2.ts';
import type { Batch, EntryEnd, KeyTable, Operator, OperatorContext } from '#runtime/task/contract.ts';

export const BLOCK_BYTES_MAX = 256 * 1024;
const PAGE_PARTITIONS = 64;

export interface ExchangeSinkOptions {
  readonly id: string;
  readonly sinkIndex: number;
  readonly topic: string;
  readonly keys: KeyTable;
  /** How records become bytes; null: rows are samples. */
  readonly codec?: ValueCodec<unknown> | null;
  /** Input topics of other stages whose tasks write the exchange too and have the first numbers. */
  readonly writersBefore?: readonly string[];
  /** How often a partition without data is told the watermark, in the clock of entries. */
  readonly watermarkIntervalMs: number;
}

export class ExchangeSink extends Untimed implements Operator, PagedState {
  readonly id: string;
  readonly stateId: string;
  readonly schemaVersion = 1;
  /** Nothing was said to the exchange of another generation. */
  readonly beginsAnew = true;
  readonly #options: ExchangeSinkOptions;
  readonly #out = new ByteWriter(4096);
  #context: OperatorContext | null = null;
  #tracker: PageTracker | null = null;
  #blocks: readonly ExchangeBlock[] = [];
  #pending = 0;
  #writer = 0;
  #serial = 0;
  // By partition, what this writer said last; the clock is -Infinity before its first word.
  #saidMs: Float64Array = new Float64Array(0);
  #saidClockMs: Float64Array = new Float64Array(0);
  // By key slot: the block whose dictionary it is in, and its place there.
  #inBlock: Int32Array = new Int32Array(256);
  #place: Int32Array = new Int32Array(256);

  constructor(options: ExchangeSinkOptions) {
    super();
    this.id = options.id;
    this.stateId = `${options.id}/said`;
    this.#options = options;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#writer = context.partition;
    for (const topic of this.#options.writersBefore ?? []) this.#writer += context.partitionCount(topic);
    this.#tracker = context.state.register(this);
    const partitions = context.partitionCount(this.#options.topic);
    this.#blocks = Array.from({ length: partitions }, () => this.#fresh(new ExchangeBlock()));
    this.#saidMs = new Float64Array(partitions).fill(Number.NEGATIVE_INFINITY);
    this.#saidClockMs = new Float64Array(partitions).fill(Number.NEGATIVE_INFINITY);
  }

  process(batch: Batch): void {
    invariant(batch.stats === null, `exchange '${this.id}' takes samples`);
    const { keys } = this.#options;
    if (this.#inBlock.length < keys.slotCount) this.#widen(keys.slotCount);
    const { key, timestampMs, value, originPartition, originOffset, originTopic, records, count } = batch;
    const blocks = this.#blocks;
    const partitions = blocks.length;
    const inBlock = this.#inBlock;
    for (let i = 0; i < count; i++) {
      const slot = key[i];
      const partition = partitionOf(keys.hash(slot), partitions);
      const block = blocks[partition];
      if (block.rows > 0 && this.#isFull(block, originTopic)) this.#send(partition, this.#saidMs[partition]);
      if (block.rows === 0) block.originTopic = originTopic;
      if (inBlock[slot] !== block.serial) {
        inBlock[slot] = block.serial;
        this.#place[slot] = block.addKey(keys.canonicalBytes(slot));
      }
      if (records === null) {
        block.addRow(this.#place[slot], timestampMs[i], value[i], originPartition[i], originOffset[i]);
      } else {
        this.#encode(records[i]);
        block.addRecord(this.#place[slot], timestampMs[i], this.#out, originPartition[i], originOffset[i]);
      }
    }
    this.#pending += count;
  }

  #encode(record: unknown): void {
    const { codec, id } = this.#options;
    invariant(codec !== null && codec !== undefined, `exchange '${id}' has a codec for records`);
    this.#out.clear();
    try {
      codec.write(record, this.#out);
    } catch (cause) {
      throw functionFailed(`'${id}'`, 'cannot take a record', `on its way to ${this.#options.topic}`, cause);
    }
  }

  /** Keys of rows that wait for the end of the entry. */
  override usesKey(slot: number): boolean {
    const { keys } = this.#options;
    const block = this.#blocks[partitionOf(keys.hash(slot), this.#blocks.length)];
    return slot < this.#inBlock.length && this.#inBlock[slot] === block.serial;
  }

  override endEntry(end: EntryEnd): void {
    for (let partition = 0; partition < this.#blocks.length; partition++) {
      if (this.#blocks[partition].rows > 0) this.#send(partition, end.watermarkMs);
      else if (end.savepoint === undefined && this.#isDue(partition, end)) this.#sendControl(partition, end);
      else if (end.savepoint === undefined) continue;
      if (end.savepoint !== undefined) this.#sendMarker(partition, end, end.savepoint);
      this.#touch(partition);
      this.#saidMs[partition] = end.watermarkMs;
      this.#saidClockMs[partition] = end.clockMs;
    }
    this.#pending = 0;
  }

  override wantsEntry(end: EntryEnd): boolean {
    if (this.#pending > 0) return true;
    for (let partition = 0; partition < this.#blocks.length; partition++) {
      if (this.#isDue(partition, end)) return true;
    }
    return false;
  }

  writePage(page: number, out: ByteWriter): void {
    const first = page * PAGE_PARTITIONS;
    const end = Math.min(first + PAGE_PARTITIONS, this.#saidMs.length);
    for (let partition = first; partition < end; partition++) {
      if (this.#saidClockMs[partition] === Number.NEGATIVE_INFINITY) continue;
      out.u8(partition - first);
      out.f64(this.#saidMs[partition]);
      out.f64(this.#saidClockMs[partition]);
    }
  }

  readPage(page: number, input: ByteReader): void {
    while (!input.done) {
      const partition = page * PAGE_PARTITIONS + input.u8();
      invariant(partition < this.#saidMs.length, `exchange '${this.id}' has no partition ${partition}`);
      this.#saidMs[partition] = input.f64();
      this.#saidClockMs[partition] = input.f64();
    }
  }

  #touch(partition: number): void {
    this.#tracker!.touch(Math.floor(partition / PAGE_PARTITIONS));
  }

  // Asked before a row is added, so that at the end of an entry with data a block is left to carry the watermark.
  #isFull(block: ExchangeBlock, originTopic: string): boolean {
    return block.rows >= BLOCK_ROWS_MAX || block.sizeBytes >= BLOCK_BYTES_MAX || block.originTopic !== originTopic;
  }

  #isDue(partition: number, end: EntryEnd): boolean {
    const saidClockMs = this.#saidClockMs[partition];
    if (saidClockMs === Number.NEGATIVE_INFINITY) return true;
    if (end.clockMs - saidClockMs < this.#options.watermarkIntervalMs) return false;
    return end.idle || end.watermarkMs > this.#saidMs[partition];
  }

  // A block sent within an entry repeats the watermark said last: the present one depends on how batches were cut.
  #send(partition: number, watermarkMs: number): void {
    const block = this.#blocks[partition];
    this.#out.clear();
    block.encode(this.#out, this.#writer, watermarkMs);
    this.#append(partition, block.maxTimestampMs);
    block.clear();
    this.#fresh(block);
  }

  #sendControl(partition: number, end: EntryEnd): void {
    this.#out.clear();
    encodeControl(this.#out, this.#writer, end.watermarkMs, end.idle);
    this.#append(partition, end.watermarkMs);
  }

  /** Behind everything of the entry, to every partition, and as good as a word: all who read it know the same. */
  #sendMarker(partition: number, { watermarkMs, idle }: EntryEnd, savepoint: string): void {
    this.#out.clear();
    encodeMarker(this.#out, this.#writer, watermarkMs, idle, savepoint);
    this.#append(partition, watermarkMs);
  }

  #append(partition: number, timeMs: number): void {
    const { sinkIndex, topic } = this.#options;
    const timestampMs = timeMs > 0 ? Math.floor(Math.min(timeMs, Number.MAX_SAFE_INTEGER)) : 0;
    this.#context!.output.append(sinkIndex, topic, partition, timestampMs, null, this.#out.bytes, 0, this.#out.length);
  }

  #fresh(block: ExchangeBlock): ExchangeBlock {
    this.#serial = (this.#serial + 1) & 0x7fffffff;
    block.serial = this.#serial;
    return block;
  }

  #widen(slotCount: number): void {
    const inBlock = new Int32Array(slotCount * 2);
    const place = new Int32Array(slotCount * 2);
    inBlock.set(this.#inBlock);
    place.set(this.#place);
    this.#inBlock = inBlock;
    this.#place = place;
  }
}
