// Owns finding one header of a log record without making objects, and remembering what its value last meant. Invariant:
// headers that cannot be read are no headers.

const NOT_FOUND = -1;

/** Looks for headers by name, letters in either case. The fields tell where the value of the last one found lies. */
export class RecordHeaders {
  valueStart = NOT_FOUND;
  valueEnd = NOT_FOUND;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Whether the record whose headers begin at `headersAt` has one called `name` (in small letters). */
  find(bytes: Buffer, headersAt: number, name: Buffer): boolean {
    if (headersAt < 0 || headersAt >= bytes.length || bytes[headersAt] === 0) return false;
    this.#bytes = bytes;
    this.#at = headersAt;
    for (let count = this.#varint(); count > 0; count--) {
      const keySize = this.#varint();
      const keyStart = this.#at;
      this.#at += keySize;
      const valueSize = this.#varint();
      this.valueStart = this.#at;
      this.#at += Math.max(0, valueSize);
      this.valueEnd = this.#at;
      if (keySize < 0 || this.#at > bytes.length) return false;
      if (valueSize >= 0 && isName(bytes, keyStart, keySize, name)) return true;
    }
    return false;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      if (this.#at >= this.#bytes.length) break;
      const byte = this.#bytes[this.#at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return (value >>> 1) ^ -(value & 1);
    }
    this.#at = this.#bytes.length + 1;
    return NOT_FOUND;
  }
}

function isName(bytes: Buffer, start: number, size: number, name: Buffer): boolean {
  if (size !== name.length) return false;
  for (let i = 0; i < size; i++) {
    const byte = bytes[start + i];
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== name[i]) return false;
  }
  return true;
}
