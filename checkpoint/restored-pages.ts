// Owns the reading and checking of one stored checkpoint: every file, every live page and the digest, before any state
// sees a byte; then its pages again, segment by segment, for loading. The first fault of the first reading is a
// `checkpoint-corrupt` that names file and reason. Holds at most `heldBytesMax` of files, and one.

import type { CheckpointManifest, CheckpointSegment } from '#checkpoint/contract.ts';
import { damaged, isDamage } from '#checkpoint/manifest.ts';
import { PageDigest, PageHash } from '#checkpoint/page-digest.ts';
import type { PageRecord } from '#checkpoint/page-record.ts';
import { fileSha256, readSegment } from '#checkpoint/segment.ts';
import { StoredSegment } from '#checkpoint/stored-segment.ts';
import { InvariantError, StreamError } from '#runtime/std/errors.ts';

export interface LoadedPage {
  readonly record: PageRecord;
  /** The segment's file; the record's places are in it. */
  readonly bytes: Buffer;
  readonly segment: StoredSegment;
  readonly ordinal: number;
  readonly hash: PageHash;
}

interface VerifiedSegment {
  readonly file: CheckpointSegment;
  readonly segment: StoredSegment;
  /** Null: it is read again. */
  readonly held: Buffer | null;
}

type ReadFile = (name: string) => Promise<Uint8Array>;

export class VerifiedCheckpoint {
  readonly #verified: readonly VerifiedSegment[];
  readonly #read: ReadFile;

  private constructor(verified: readonly VerifiedSegment[], read: ReadFile) {
    this.#verified = verified;
    this.#read = read;
  }

  get segments(): readonly StoredSegment[] {
    return this.#verified.map(({ segment }) => segment);
  }

  /** Reads and verifies what `manifest` names. Error: checkpoint-corrupt. */
  static async of(
    manifestName: string,
    manifest: CheckpointManifest,
    read: ReadFile,
    heldBytesMax: number,
  ): Promise<VerifiedCheckpoint> {
    const verified: VerifiedSegment[] = [];
    const numbers = new Map<string, number[]>();
    const digest = new PageDigest();
    let heldBytes = 0;
    for (const file of manifest.segments) {
      const bytes = await readWhole(file, read);
      const { segment, pages } = guarded(file, () => livePages(file, bytes, null));
      for (const { hash, record } of pages) {
        digest.add(hash);
        const siblings = numbers.get(record.stateId);
        if (siblings !== undefined) siblings.push(record.page);
        else if (Object.hasOwn(manifest.schemaVersions, record.stateId)) numbers.set(record.stateId, [record.page]);
        else throw damaged(file.name, `holds state '${record.stateId}', which the manifest does not list`);
      }
      const isHeld = heldBytes + bytes.length <= heldBytesMax;
      if (isHeld) heldBytes += bytes.length;
      verified.push({ file, segment, held: isHeld ? bytes : null });
    }
    for (const [stateId, siblings] of numbers) {
      if (hasRepeated(siblings)) throw damaged(manifestName, `names a page of '${stateId}' twice`);
    }
    if (digest.toText() !== manifest.digest) throw damaged(manifestName, 'names another digest than its pages have');
    return new VerifiedCheckpoint(verified, read);
  }

  /**
   * Gives the live pages, one segment after the other; `kept`: their bytes may be held on to. A file that has become
   * another meanwhile is `disk-failed`: states have seen a part, only a new attempt can look at older checkpoints.
   */
  async load(take: (pages: readonly LoadedPage[], kept: boolean) => void | Promise<void>): Promise<void> {
    for (const { file, segment, held } of this.#verified) {
      const bytes = held ?? (await this.#readAgain(file));
      await take(guarded(file, () => livePages(file, bytes, segment)).pages, held !== null);
    }
  }

  async #readAgain(file: CheckpointSegment): Promise<Buffer> {
    try {
      return await readWhole(file, this.#read);
    } catch (error) {
      if (!isDamage(error)) throw error;
      throw new StreamError(
        'disk-failed',
        `${error.message}, but it was whole when it was read before`,
        'look at the disk of the checkpoints; the task tries again',
        { cause: error },
      );
    }
  }
}

async function readWhole(file: CheckpointSegment, read: ReadFile): Promise<Buffer> {
  const found = await read(file.name);
  const bytes = Buffer.from(found.buffer, found.byteOffset, found.length);
  if (bytes.length !== file.lengthBytes) {
    throw damaged(file.name, `has ${bytes.length} bytes instead of ${file.lengthBytes}`);
  }
  if (fileSha256(bytes) !== file.sha256) throw damaged(file.name, 'fails its SHA-256');
  return bytes;
}

function guarded<T>(file: CheckpointSegment, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof InvariantError) throw damaged(file.name, `cannot be read: ${error.message}`);
    throw error;
  }
}

function livePages(
  file: CheckpointSegment,
  bytes: Buffer,
  known: StoredSegment | null,
): { segment: StoredSegment; pages: LoadedPage[] } {
  const records = readSegment(bytes);
  if (records.length !== file.records) throw damaged(file.name, `has ${records.length} records, not ${file.records}`);
  const segment = known ?? describe(file, records);
  const pages: LoadedPage[] = [];
  const computed = new PageHash();
  for (let ordinal = 0; ordinal < records.length; ordinal++) {
    if (!segment.isLive(ordinal)) continue;
    const record = records[ordinal];
    const hash = new PageHash();
    hash.readFrom(bytes, record.bodyEnd);
    // The second time the file's SHA-256 says it all.
    if (known === null) {
      computed.ofBytes(bytes, record.start, record.bodyEnd);
      if (!computed.equals(hash)) throw damaged(file.name, `page ${record.page} of '${record.stateId}' fails its hash`);
    }
    pages.push({ record, bytes, segment, ordinal, hash });
  }
  return { segment, pages };
}

function describe(file: CheckpointSegment, records: readonly PageRecord[]): StoredSegment {
  const all = records.reduce((sum, record) => sum + record.recordBytes, 0);
  const marks = new StoredSegment(file, all, 0);
  const live = records.reduce((sum, record, ordinal) => sum + (marks.isLive(ordinal) ? record.recordBytes : 0), 0);
  return new StoredSegment(file, all, live);
}

function hasRepeated(numbers: readonly number[]): boolean {
  const sorted = Float64Array.from(numbers).sort();
  for (let i = 1; i < sorted.length; i++) if (sorted[i] === sorted[i - 1]) return true;
  return false;
}
