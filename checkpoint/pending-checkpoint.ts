// Owns the writing of one checkpoint: segments first, the manifest last, each under a name that is used once. What the
// pages hold is the snapshot's work, whether the entry is committed is the task's.

import type {
  CheckpointManifest,
  CheckpointMoment,
  CheckpointReference,
  CheckpointSegment,
  CheckpointStore,
  PendingCheckpoint,
  TaskIdentity,
} from '#checkpoint/contract.ts';
import { damaged, encodeManifest } from '#checkpoint/manifest.ts';
import type { PageSet } from '#checkpoint/page-set.ts';
import type { PageSnapshot } from '#checkpoint/page-snapshot.ts';
import type { StoredCheckpoint } from '#checkpoint/retention.ts';
import { wholeSegment } from '#checkpoint/stored-segment.ts';
import { invariant } from '#runtime/std/errors.ts';

export interface PendingOptions {
  readonly store: CheckpointStore;
  readonly identity: TaskIdentity;
  readonly attempt: string;
  readonly createdMs: number;
  readonly moment: CheckpointMoment;
  readonly pages: PageSet;
  readonly snapshot: PageSnapshot;
  /** A name never used before in this attempt, protected from clean-up until `ended`. */
  readonly nameSegment: () => string;
  readonly nameManifest: () => string;
  /** Told once, at the end: with the checkpoint when it is published, with null when it was given up. */
  readonly ended: (checkpoint: StoredCheckpoint | null) => void;
}

export class WrittenCheckpoint implements PendingCheckpoint {
  readonly #options: PendingOptions;
  readonly #snapshot: PageSnapshot;
  readonly #files: CheckpointSegment[] = [];
  #writing: Promise<void> = Promise.resolve();
  #givenUp = false;
  #manifestBytes = 0;
  #state: 'open' | 'publishing' | 'published' | 'abandoned' = 'open';

  constructor(options: PendingOptions) {
    this.#options = options;
    this.#snapshot = options.snapshot;
  }

  advance(bytesMax: number): boolean {
    this.#mustBeOpen('advanced');
    return this.#snapshot.advance(bytesMax);
  }

  get heldBytes(): number {
    return this.#snapshot.heldBytes;
  }

  get writtenBytes(): number {
    return this.#files.reduce((sum, { lengthBytes }) => sum + lengthBytes, this.#manifestBytes);
  }

  /** One write at a time; after a failure the same segment is tried again under a new name. */
  writeSegments(): Promise<void> {
    this.#mustBeOpen('written');
    this.#snapshot.seal();
    const written = this.#writing.then(() => this.#drain());
    this.#writing = written.catch(() => {});
    return written;
  }

  async publish(entryOffset: bigint): Promise<CheckpointReference> {
    this.#mustBeOpen('published');
    const { identity, pages, store } = this.#options;
    invariant(this.#snapshot.done && this.heldBytes === 0, 'a checkpoint is published when all of it is written');
    this.#state = 'publishing';
    const manifest = this.#manifest(entryOffset);
    const bytes = encodeManifest(manifest);
    const name = this.#options.nameManifest();
    try {
      await this.#requireSegments(manifest);
      await store.write(identity, name, bytes);
    } catch (error) {
      this.#state = 'open';
      if (this.#givenUp) this.abandon();
      throw error;
    }
    this.#state = 'published';
    this.#manifestBytes = bytes.length;
    pages.published(this.#snapshot, this.#files);
    const reference = referenceTo(name, manifest, bytes.length);
    this.#options.ended({ manifest, reference });
    return reference;
  }

  /** While it is being published it comes too late to matter, unless that fails. */
  abandon(): void {
    this.#givenUp = true;
    if (this.#state !== 'open') return;
    this.#state = 'abandoned';
    this.#options.pages.abandoned(this.#snapshot);
    this.#options.ended(null);
  }

  #manifest(entryOffset: bigint): CheckpointManifest {
    const { moment, identity, attempt, createdMs, pages } = this.#options;
    return {
      ...moment,
      format: 1,
      identity,
      attempt,
      entryOffset: entryOffset.toString(),
      createdMs,
      schemaVersions: pages.schemaVersions(),
      segments: [...pages.remainingSegments(this.#snapshot), ...this.#files],
      digest: this.#snapshot.digest.toText(),
    };
  }

  /** Somebody may have deleted files under a running task: then this one ends, and the next writes their pages anew. */
  async #requireSegments(manifest: CheckpointManifest): Promise<void> {
    const present = new Set(await this.#options.store.list(this.#options.identity));
    const lost = new Set(manifest.segments.map((segment) => segment.name).filter((name) => !present.has(name)));
    if (lost.size === 0) return;
    this.#givenUp = true;
    this.#options.pages.lost(lost);
    throw damaged(
      [...lost].join("', '"),
      'is gone although this task needs it',
      'none: the next checkpoint writes it anew; find out who deletes files of checkpoints',
    );
  }

  async #drain(): Promise<void> {
    for (;;) {
      const sealed = this.#snapshot.firstSealed;
      if (sealed === null || this.#abandoned) return;
      const name = this.#options.nameSegment();
      try {
        await this.#options.store.write(this.#options.identity, name, sealed.bytes);
      } catch (error) {
        // Given up meanwhile: the file may have been cleared away under the write.
        if (this.#abandoned) return;
        throw error;
      }
      if (this.#abandoned) return;
      this.#snapshot.release(sealed);
      this.#files.push(wholeSegment(name, sealed.bytes.length, sealed.sha256, sealed.records));
    }
  }

  get #abandoned(): boolean {
    return this.#state === 'abandoned';
  }

  #mustBeOpen(what: string): void {
    invariant(this.#state === 'open', `a checkpoint that is ${this.#state} cannot be ${what}`);
  }
}

/** What an entry says of a durable checkpoint; its size is that of all files it needs. */
export function referenceTo(name: string, manifest: CheckpointManifest, manifestBytes: number): CheckpointReference {
  const { entry, chainHash, digest } = manifest;
  const sizeBytes = manifest.segments.reduce((sum, segment) => sum + segment.lengthBytes, manifestBytes);
  return { name, entry, chainHash, digest, sizeBytes };
}
