// Owns reading the protobuf wire format from bytes: tags, lengths, numbers; nothing is made per field. Knows no message.
// Groups, which nothing here uses, are refused, so nesting is what the caller makes of it. Invariant: nothing is read
// or believed beyond the `end` that is given; a length is checked before anything follows from it.

import { RecordRefusal } from '#operators/formats/sample-decoder.ts';

/** Bytes that must be readable behind a message: ends are checked after the last byte of a field is read. */
export const PROTOBUF_SLACK_BYTES = 16;

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

const TWO_32 = 4294967296;

export class ProtobufReader {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  /** The halves of the 64-bit integer that was read last. */
  low = 0;
  high = 0;

  /** Takes a buffer with PROTOBUF_SLACK_BYTES behind the message. */
  bind(bytes: Buffer, view: DataView): void {
    this.bytes = bytes;
    this.view = view;
  }

  /** The tag at the cursor: field number << 3 | wire type. */
  tag(end: number): number {
    const byte = this.bytes[this.at];
    let tag = byte;
    if (byte < 128) this.at++;
    else tag = this.#varint32();
    if (this.at > end) throw refusal('ends within a tag');
    if (tag < 8) throw refusal('holds a field with number 0');
    return tag;
  }

  /** Reads a length; where what follows ends, `end` at most. */
  fieldEnd(end: number): number {
    const byte = this.bytes[this.at];
    let size = byte;
    if (byte < 128) this.at++;
    else size = this.#varint32();
    if (size > end - this.at) throw refusal('holds a field that runs past its message');
    return this.at + size;
  }

  /** Moves over the field behind a tag. */
  skip(tag: number, end: number): void {
    switch (tag & 7) {
      case VARINT:
        this.#skipVarint();
        break;
      case FIXED64:
        this.at += 8;
        break;
      case BYTES:
        this.at = this.fieldEnd(end);
        break;
      case FIXED32:
        this.at += 4;
        break;
      default:
        throw refusal(`holds a field of wire type ${tag & 7}`);
    }
    if (this.at > end) throw refusal('ends within a field');
  }

  /** A varint as a signed 64-bit integer; rounded beyond 2^53, the halves are not. */
  int64(end: number): number {
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
        if (shift > 31) throw refusal('holds a varint of more than ten bytes');
        byte = bytes[at++];
        high |= (byte & 127) << shift;
      }
    }
    this.at = at;
    this.low = low;
    this.high = high;
    if (at > end) throw refusal('ends within a varint');
    return high * TWO_32 + (low >>> 0);
  }

  /** A varint as an unsigned 64-bit integer, rounded beyond 2^53. */
  uint64(end: number): number {
    this.int64(end);
    return (this.high >>> 0) * TWO_32 + (this.low >>> 0);
  }

  /** A zigzag varint of 32 bits. */
  sint32(end: number): number {
    const low = this.int32(end);
    return (low >>> 1) ^ -(low & 1);
  }

  /** The low 32 bits of a varint, which is how int32, uint32, enum and bool are read. */
  int32(end: number): number {
    this.int64(end);
    return this.low;
  }

  fixed64(end: number): number {
    const at = this.at;
    this.at = at + 8;
    if (this.at > end) throw refusal('ends within a number');
    this.low = this.view.getInt32(at, true);
    this.high = this.view.getInt32(at + 4, true);
    return (this.high >>> 0) * TWO_32 + (this.low >>> 0);
  }

  sfixed64(end: number): number {
    const at = this.at;
    this.at = at + 8;
    if (this.at > end) throw refusal('ends within a number');
    this.low = this.view.getInt32(at, true);
    this.high = this.view.getInt32(at + 4, true);
    return this.high * TWO_32 + (this.low >>> 0);
  }

  double(end: number): number {
    const at = this.at;
    this.at = at + 8;
    if (this.at > end) throw refusal('ends within a number');
    return this.view.getFloat64(at, true);
  }

  // Of a tag or a length: at most five bytes and 32 bits.
  #varint32(): number {
    const bytes = this.bytes;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 5; i++) {
      const byte = bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value >= TWO_32) break;
        return value;
      }
      scale *= 128;
    }
    throw refusal('holds a tag or a length of more than 32 bits');
  }

  #skipVarint(): void {
    const bytes = this.bytes;
    for (let i = 0; i < 10; i++) if (bytes[this.at++] < 128) return;
    throw refusal('holds a varint of more than ten bytes');
  }
}

function refusal(message: string): RecordRefusal {
  return new RecordRefusal('protobuf-invalid', `is no such protobuf message: it ${message}`);
}
