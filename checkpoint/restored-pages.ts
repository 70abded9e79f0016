// Owns the reading and checking of one stored checkpoint: every file, every live page and the digest, before any state
// sees a byte. What comes out is whole; the first fault is a `checkpoint-corrupt` that names file and reason.

import type { CheckpointManifest, CheckpointSegment } from '#checkpoint/contract.ts';
import { damaged } from '#checkpoint/manifest.ts';
import { PageDigest, PageHash } from '#checkpoint/page-digest.ts';
import type { PageRecord } from '#checkpoint/page-record.ts';
import { fileSha256, readSegment } from '#checkpoint/segment.ts';
import { StoredSegment } from '#checkpoint/stored-segment.ts';
import { InvariantError } from '#runtime/std/errors.ts';

export interface LoadedPage {
  readonly record: PageRecord;
  /** The segment's file; the record's places are in it. */
  readonly bytes: Buffer;
  readonly segment: StoredSegment;
  readonly ordinal: number;
  readonly hash: PageHash;
}

export interface LoadedState {
  readonly segments: readonly StoredSegment[];
  /** By state id. */
  readonly pages: ReadonlyMap<string, readonly LoadedPage[]>;
}

/** Reads and verifies what `manifest` names. Holds all of its files in memory until the result is dropped. */
export async function loadPages(
  manifestName: string,
  manifest: CheckpointManifest,
  read: (name: string) => Promise<Uint8Array>,
): Promise<LoadedState> {
  const segments: StoredSegment[] = [];
  const pages = new Map<string, LoadedPage[]>();
  const digest = new PageDigest();
  for (const file of manifest.segments) {
    const bytes = await read(file.name);
    const loaded = verifySegment(file, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    for (const page of loaded.pages) {
      digest.add(page.hash);
      const stateId = page.record.stateId;
      const siblings = pages.get(stateId);
      if (siblings !== undefined) siblings.push(page);
      else if (Object.hasOwn(manifest.schemaVersions, stateId)) pages.set(stateId, [page]);
      else throw damaged(file.name, `holds state '${stateId}', which the manifest does not list`);
    }
    segments.push(loaded.segment);
  }
  for (const [stateId, siblings] of pages) {
    const numbers = new Set(siblings.map((page) => page.record.page));
    if (numbers.size !== siblings.length) throw damaged(manifestName, `names a page of '${stateId}' twice`);
  }
  if (digest.toText() !== manifest.digest) throw damaged(manifestName, 'names another digest than its pages have');
  return { segments, pages };
}

function verifySegment(file: CheckpointSegment, bytes: Buffer): { segment: StoredSegment; pages: LoadedPage[] } {
  if (bytes.length !== file.lengthBytes) {
    throw damaged(file.name, `has ${bytes.length} bytes instead of ${file.lengthBytes}`);
  }
  if (fileSha256(bytes) !== file.sha256) throw damaged(file.name, 'fails its SHA-256');
  try {
    return livePages(file, bytes);
  } catch (error) {
    if (error instanceof InvariantError) throw damaged(file.name, `cannot be read: ${error.message}`);
    throw error;
  }
}

function livePages(file: CheckpointSegment, bytes: Buffer): { segment: StoredSegment; pages: LoadedPage[] } {
  const records = readSegment(bytes);
  if (records.length !== file.records) throw damaged(file.name, `has ${records.length} records, not ${file.records}`);
  const all = records.reduce((sum, record) => sum + record.recordBytes, 0);
  const marks = new StoredSegment(file, all, 0);
  const live = records.reduce((sum, record, ordinal) => sum + (marks.isLive(ordinal) ? record.recordBytes : 0), 0);
  const segment = new StoredSegment(file, all, live);
  const pages: LoadedPage[] = [];
  const computed = new PageHash();
  for (let ordinal = 0; ordinal < records.length; ordinal++) {
    if (!segment.isLive(ordinal)) continue;
    const record = records[ordinal];
    const hash = new PageHash();
    hash.readFrom(bytes, record.bodyEnd);
    computed.ofBytes(bytes, record.start, record.bodyEnd);
    if (!computed.equals(hash)) throw damaged(file.name, `page ${record.page} of '${record.stateId}' fails its hash`);
    pages.push({ record, bytes, segment, ordinal, hash });
  }
  return { segment, pages };
}
