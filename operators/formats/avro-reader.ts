// Owns reading Avro's binary encoding from bytes: integers, lengths, and passing over any value of a schema. Makes nothing
// per value. Invariant: nothing is believed beyond `end`; work is bounded by the bytes there are, whatever blocks claim.

import type { AvroNode } from '#operators/formats/avro-schema.ts';
import { NESTING_MAX, RecordRefusal } from '#operators/formats/sample-decoder.ts';

/** Bytes that must be readable behind a value: ends are checked after an integer is read. */
export const AVRO_SLACK_BYTES = 16;

const TWO_32 = 4294967296;
/** Values that take no bytes (nulls, empty records) in one record at most: a schema may hold billions in few lines. */
const EMPTY_VALUES_MAX = 65_536;

export class AvroReader {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  end = 0;
  /** Where the block begun last says that it ends, -1 when it does not say. */
  blockEnd = -1;
  #items = 0;
  #emptyValues = 0;

  /** Takes bytes[start, end) of a buffer with AVRO_SLACK_BYTES behind it. */
  bind(bytes: Buffer, view: DataView, start: number, end: number): void {
    this.bytes = bytes;
    this.view = view;
    this.at = start;
    this.end = end;
    this.#items = end - start + EMPTY_VALUES_MAX;
    this.#emptyValues = EMPTY_VALUES_MAX;
  }

  /** A zigzag integer of 64 bits, rounded beyond 2^53. */
  long(): number {
    const bytes = this.bytes;
    let at = this.at;
    let byte = bytes[at++];
    let low = byte & 127;
    let high = 0;
    for (let shift = 7; byte > 127 && shift < 28; shift += 7) {
      byte = bytes[at++];
      low |= (byte & 127) << shift;
    }
    if (byte > 127) {
      byte = bytes[at++];
      low |= byte << 28;
      high = (byte & 127) >>> 4;
      for (let shift = 3; byte > 127; shift += 7) {
        if (shift > 31) throw refusal('holds an integer of more than 64 bits');
        byte = bytes[at++];
        // What went beyond would be lost here, and believed by avsc.
        if (shift === 31 && byte > 1) throw refusal('holds an integer of more than 64 bits');
        high |= (byte & 127) << shift;
      }
    }
    this.at = at;
    if (at > this.end) throw refusal('ends within an integer');
    const sign = -(low & 1);
    const half = ((low >>> 1) | (high << 31)) ^ sign;
    return ((high >>> 1) ^ sign) * TWO_32 + (half >>> 0);
  }

  /** Reads a length; where what follows ends. */
  dataEnd(): number {
    const byte = this.bytes[this.at];
    // Most are below 64.
    if ((byte & 0x81) === 0 && byte >>> 1 < this.end - this.at) return ++this.at + (byte >>> 1);
    const size = this.long();
    if (size < 0 || size > this.end - this.at) throw refusal('holds a length that does not fit');
    return this.at + size;
  }

  /** Moves over `size` bytes; where they began. */
  take(size: number): number {
    const at = this.at;
    if (size > this.end - at) throw refusal('ends within a value');
    this.at = at + size;
    return at;
  }

  /** How many items the next block of an array or map holds; 0 ends it. Behind the items comes `endBlock(blockEnd)`. */
  blockCount(): number {
    let count = this.long();
    this.blockEnd = -1;
    if (count < 0) {
      count = -count;
      const size = this.long();
      if (size < 0 || size > this.end - this.at) throw refusal('holds a block of a size that does not fit');
      this.blockEnd = this.at + size;
    }
    this.#items -= count;
    if (this.#items < 0) throw refusal('claims more items than its bytes can hold');
    return count;
  }

  /** Takes what `blockEnd` was in front of the items: a wrong size leads those astray who pass over blocks by it. */
  endBlock(blockEnd: number): void {
    if (blockEnd >= 0 && blockEnd !== this.at) throw refusal('holds a block of another size than it says');
  }

  /** The branch of a union that follows. */
  branch(node: AvroNode): AvroNode {
    const index = this.long();
    if (index < 0 || index >= node.children.length)
      throw refusal(`names branch ${index} of a union that has none such`);
    return node.children[index];
  }

  /** Moves over a value. */
  skip(node: AvroNode, depth = 0): void {
    if (depth > NESTING_MAX) throw refusal(`nests deeper than ${NESTING_MAX}`);
    switch (node.kind) {
      case 'null':
        this.#passEmpty();
        return;
      case 'boolean':
        this.take(1);
        return;
      case 'int':
      case 'long':
      case 'enum':
        this.long();
        return;
      case 'float':
        this.take(4);
        return;
      case 'double':
        this.take(8);
        return;
      case 'fixed':
        if (node.size === 0) this.#passEmpty();
        this.take(node.size);
        return;
      case 'bytes':
      case 'string':
        this.at = this.dataEnd();
        return;
      case 'union': {
        const branch = this.branch(node);
        // The number of the branch took a byte.
        if (branch.kind === 'null') this.#emptyValues++;
        this.skip(branch, depth + 1);
        return;
      }
      case 'record':
        if (node.children.length === 0) this.#passEmpty();
        for (let i = 0; i < node.children.length; i++) this.skip(node.children[i], depth + 1);
        return;
      default:
        this.#skipBlocks(node, depth);
    }
  }

  #passEmpty(): void {
    if (--this.#emptyValues < 0) throw refusal(`holds more than ${EMPTY_VALUES_MAX} values that take no bytes`);
  }

  #skipBlocks(node: AvroNode, depth: number): void {
    const isMap = node.kind === 'map';
    const isText = node.children[0].kind === 'string' || node.children[0].kind === 'bytes';
    for (let count = this.blockCount(); count > 0; count = this.blockCount()) {
      const blockEnd = this.blockEnd;
      for (let i = 0; i < count; i++) {
        if (isMap) this.at = this.dataEnd();
        if (isText) this.at = this.dataEnd();
        else this.skip(node.children[0], depth + 1);
      }
      this.endBlock(blockEnd);
    }
  }
}

function refusal(message: string): RecordRefusal {
  return new RecordRefusal('avro-invalid', `is no such Avro value: it ${message}`);
}
