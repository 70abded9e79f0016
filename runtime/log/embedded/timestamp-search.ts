// Owns finding the first record at or after a time in a partition's files, on the asking thread, so that the writer
// thread never reads.

import { join } from 'node:path';
import type { PartitionOutline } from '#runtime/log/embedded/messages.ts';
import { ChunkPool, SegmentCursor } from '#runtime/log/embedded/segment-cursor.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';

/**
 * Offset of the first record whose timestamp is at or after `timestampMs`, the end when there is none, or null when
 * files were deleted meanwhile: ask for a new outline. Error: log-corrupt.
 */
export function searchTimestamp(directory: string, outline: PartitionOutline, timestampMs: number): bigint | null {
  const { segments, end } = outline;
  const cursor = new SegmentCursor(join(directory, outline.path), new ChunkPool());
  try {
    for (let i = 0; i < segments.length; i++) {
      if (segments[i].maxTimestampMs < timestampMs) continue;
      const segmentEnd = i + 1 < segments.length ? segments[i + 1].baseOffset : end;
      if (!cursor.seek(segments[i].baseOffset, segmentEnd)) return null;
      const found = searchSegment(cursor, outline, segments[i].baseOffset, segmentEnd, timestampMs);
      if (found === null || found >= 0n) return found;
    }
    return end;
  } finally {
    cursor.close();
  }
}

/** As above, -1n when the segment holds no such record. */
function searchSegment(
  cursor: SegmentCursor,
  outline: PartitionOutline,
  baseOffset: bigint,
  end: bigint,
  timestampMs: number,
): bigint | null {
  const walker = new RecordWalker();
  for (let at = baseOffset; at < end; at += BigInt(cursor.lastOffsetDelta) + 1n) {
    if (!cursor.next(at, end)) return null;
    if (cursor.maxTimestampMs < timestampMs) continue;
    cursor.open();
    const { bytes, start } = cursor;
    const baseTimestampMs = Number(bytes.readBigInt64BE(start + 27));
    walker.reset(cursor.records, cursor.recordsStart, cursor.recordsEnd, bytes.readInt32BE(start + 57));
    while (walker.next()) {
      const offset = at + BigInt(walker.offsetDelta);
      if (baseTimestampMs + walker.timestampDelta >= timestampMs && offset >= outline.logStart) return offset;
    }
  }
  return -1n;
}
