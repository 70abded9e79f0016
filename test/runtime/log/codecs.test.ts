// Compressed record sections: what every codec's writers make comes back, and nothing small becomes large.

import { gzipSync, zstdCompressSync } from 'node:zlib';
import { compressFrameSync, compressSync as lz4Block } from 'lz4-napi';
import { compressSync as snappyBlock } from 'snappy';
import { describe, expect, it } from 'vitest';
import { decompress } from '#runtime/log/codecs.ts';

const GZIP = 1;
const SNAPPY = 2;
const LZ4 = 3;
const ZSTD = 4;
const LIMIT = 32 * 1024 * 1024;

/** Text that compresses well, noise that does not, and both in turns. */
function contents(): Buffer[] {
  let seed = 7;
  const noise = (size: number) =>
    Buffer.from(Uint8Array.from({ length: size }, () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >>> 16));
  const text = (size: number) => Buffer.from('{"metric_name":"cpu","value":1.5,"labels":{"host":"h-1"}}'.repeat(size));
  return [Buffer.from('x'), text(3), text(3000), noise(70_000), Buffer.concat([text(900), noise(90_000), text(2000)])];
}

function xerial(bytes: Buffer, blockBytes: number): Buffer {
  const parts: Buffer[] = [Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = snappyBlock(bytes.subarray(at, at + blockBytes));
    const size = Buffer.alloc(4);
    size.writeInt32BE(block.length);
    parts.push(size, block);
  }
  return Buffer.concat(parts);
}

/** An lz4 frame written from its specification: blocks of 64 KiB, linked or not, some stored, with block checksums or not. */
function lz4Frame(bytes: Buffer, options: { linked: boolean; checksums: boolean; size: boolean }): Buffer {
  const flags = 0x40 | (options.linked ? 0 : 0x20) | (options.checksums ? 0x10 : 0) | (options.size ? 0x08 : 0);
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, flags, 0x40]);
  const parts: Buffer[] = [head, options.size ? Buffer.alloc(8) : Buffer.alloc(0), Buffer.from([0])];
  for (let at = 0, number = 0; at < bytes.length; at += 65_536, number++) {
    const chunk = bytes.subarray(at, at + 65_536);
    const stored = number % 3 === 2;
    const before = bytes.subarray(Math.max(0, at - 65_536), at);
    const packed = (options.linked && at > 0 ? lz4Block(chunk, before) : lz4Block(chunk)).subarray(4);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(stored ? chunk.length + 0x80000000 : packed.length);
    parts.push(size, stored ? chunk : packed, options.checksums ? Buffer.alloc(4, 0xee) : Buffer.alloc(0));
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

describe('decompression of record sections', () => {
  it('gives back what the codecs made', () => {
    for (const bytes of contents()) {
      expect(decompress(GZIP, gzipSync(bytes), LIMIT).equals(bytes)).toBe(true);
      expect(decompress(ZSTD, zstdCompressSync(bytes), LIMIT).equals(bytes)).toBe(true);
      expect(decompress(SNAPPY, snappyBlock(bytes), LIMIT).equals(bytes)).toBe(true);
      expect(decompress(SNAPPY, xerial(bytes, 32_768), LIMIT).equals(bytes)).toBe(true);
      expect(decompress(SNAPPY, xerial(bytes, 1 << 20), LIMIT).equals(bytes)).toBe(true);
      expect(decompress(LZ4, compressFrameSync(bytes), LIMIT).equals(bytes)).toBe(true);
      const checked = compressFrameSync(bytes, { contentChecksum: true, blockChecksums: true });
      expect(decompress(LZ4, checked, LIMIT).equals(bytes)).toBe(true);
    }
  });

  it('reads lz4 frames with linked, stored and checksummed blocks', () => {
    for (const bytes of contents()) {
      for (const linked of [true, false]) {
        for (const checksums of [true, false]) {
          const frame = lz4Frame(bytes, { linked, checksums, size: linked });
          const before = Buffer.from(frame);
          expect(decompress(LZ4, frame, LIMIT).equals(bytes)).toBe(true);
          expect(frame.equals(before), 'the input is as it was').toBe(true);
        }
      }
    }
  });

  it('refuses what would grow beyond the limit', () => {
    const zeros = Buffer.alloc(4 * 1024 * 1024);
    const limit = zeros.length - 1;
    const packed: [number, Buffer][] = [
      [GZIP, gzipSync(zeros)],
      [ZSTD, zstdCompressSync(zeros)],
      [SNAPPY, snappyBlock(zeros)],
      [SNAPPY, xerial(zeros, 32_768)],
      [LZ4, compressFrameSync(zeros)],
      [LZ4, lz4Frame(zeros, { linked: false, checksums: false, size: false })],
      [SNAPPY, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x07, 0, 0])],
    ];
    for (const [codec, bytes] of packed) expect(() => decompress(codec, bytes, limit)).toThrow();
    for (const [codec, bytes] of packed.slice(0, 6))
      expect(decompress(codec, bytes, limit + 1).equals(zeros)).toBe(true);
  });

  it('refuses what is cut off or is no such thing', () => {
    const [, , bytes] = contents();
    const packed: [number, Buffer][] = [
      [GZIP, gzipSync(bytes)],
      [ZSTD, zstdCompressSync(bytes)],
      [SNAPPY, snappyBlock(bytes)],
      [SNAPPY, xerial(bytes, 32_768)],
      [LZ4, compressFrameSync(bytes)],
    ];
    for (const [codec, whole] of packed) {
      expect(() => decompress(codec, whole.subarray(0, whole.length - 9), LIMIT)).toThrow();
      expect(() => decompress(codec, Buffer.from('this is not compressed at all, is it?'), LIMIT)).toThrow();
      expect(() => decompress(codec, Buffer.alloc(0), LIMIT)).toThrow();
    }
    expect(() => decompress(5, bytes, LIMIT)).toThrow();
  });
});
