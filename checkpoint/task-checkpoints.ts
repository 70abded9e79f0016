// Owns the checkpoints of one task for one attempt: restore, capture, retention and clean-up over a store. It knows no
// entry but what it is told, and never touches a file that a kept checkpoint needs.

import { adoptState } from '#checkpoint/adopted-state.ts';
import type {
  Adoption,
  CheckpointManifest,
  CheckpointMoment,
  CheckpointReference,
  CheckpointStore,
  PagedState,
  PageTracker,
  PendingCheckpoint,
  StateFit,
  SwapStatus,
  TaskCheckpoints,
  TaskIdentity,
} from '#checkpoint/contract.ts';
import {
  damaged,
  decodeManifest,
  isCheckpointFile,
  isDamage,
  isManifestName,
  isSegmentName,
  manifestName,
  prefixOfSegment,
  segmentName,
  temporaryName,
} from '#checkpoint/manifest.ts';
import { PageSet } from '#checkpoint/page-set.ts';
import type { PageSwap } from '#checkpoint/page-swap.ts';
import { referenceTo, WrittenCheckpoint } from '#checkpoint/pending-checkpoint.ts';
import { VerifiedCheckpoint } from '#checkpoint/restored-pages.ts';
import { Retention, type StoredCheckpoint } from '#checkpoint/retention.ts';
import { savepointPlace } from '#checkpoint/savepoint.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

const MIB = 1024 * 1024;

export interface TaskCheckpointsOptions {
  readonly store: CheckpointStore;
  readonly identity: TaskIdentity;
  /** ULID of this attempt: part of every file name, so it must never be used twice. */
  readonly attempt: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Checkpoints to keep. @default 3, at least 1 */
  readonly keep?: number;
  /** Beyond this many held bytes the task waits for `writeSegments`. @default 32 MiB */
  readonly snapshotBytesMax?: number;
  /** Where a segment is cut. @default 16 MiB */
  readonly segmentBytesMax?: number;
  /** Bytes of files held while a checkpoint is restored, so that they are read once. @default 64 MiB */
  readonly restoreBytesMax?: number;
  /** Lets keyed state be larger than memory; of this attempt alone. @default null */
  readonly swap?: PageSwap | null;
}

export class FileTaskCheckpoints implements TaskCheckpoints {
  readonly snapshotBytesMax: number;
  readonly swap: PageSwap | null;
  readonly #restoreBytesMax: number;
  readonly #store: CheckpointStore;
  readonly #identity: TaskIdentity;
  readonly #attempt: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #pages: PageSet;
  readonly #retention: Retention;
  /** Names handed out to the checkpoint under way, whether written or not. */
  readonly #pendingNames = new Set<string>();
  readonly #foundAtRestore = new Set<string>();
  #pending: WrittenCheckpoint | null = null;
  #segmentNumber = 0;
  #lastEntry = -1;
  #repeat = 0;

  constructor(options: TaskCheckpointsOptions) {
    invariant(/^[0-9A-Za-z_-]+$/.test(options.attempt), `attempt '${options.attempt}' cannot be part of a file name`);
    this.#store = options.store;
    this.#identity = options.identity;
    this.#attempt = options.attempt;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.snapshotBytesMax = options.snapshotBytesMax ?? 32 * MIB;
    this.#restoreBytesMax = options.restoreBytesMax ?? 64 * MIB;
    this.swap = options.swap ?? null;
    this.#retention = new Retention(options.keep ?? 3);
    this.#pages = new PageSet({
      deadRatioMax: 0.5,
      segmentBytesMax: options.segmentBytesMax ?? 16 * MIB,
      spareSegmentsMax: 16,
    });
  }

  register(state: PagedState): PageTracker {
    return this.#pages.register(state);
  }

  async restore(
    accept: (manifest: CheckpointManifest) => boolean,
    fit: StateFit = {},
  ): ReturnType<TaskCheckpoints['restore']> {
    await this.swap?.open();
    const names = await this.#store.list(this.#identity);
    const present = new Set(names);
    for (const name of names) this.#foundAtRestore.add(name);
    const manifestNames = names.filter(isManifestName).sort().reverse();
    const known = new Set<string>();
    let restored: CheckpointManifest | null = null;
    for (const name of manifestNames) {
      const stored = await this.#passingOver(name, () => this.#readManifest(name));
      if (stored === null) continue;
      for (const segment of stored.manifest.segments) known.add(segment.name);
      if (!accept(stored.manifest)) {
        const { entry, chainHash } = stored.manifest;
        this.#logger.info({ file: name, entry, chainHash }, 'checkpoint is not on the chain of the commit log');
      } else if (restored === null) {
        const verified = await this.#passingOver(name, () => this.#verify(stored));
        if (verified === null) continue;
        await this.#load(verified, stored.manifest, fit);
        this.#lastEntry = stored.manifest.entry;
        restored = stored.manifest;
        this.#retention.accept(stored);
      } else if ((await this.#passingOver(name, () => requireFiles(stored, present))) !== null) {
        this.#retention.accept(stored);
      }
    }
    this.#warnOfHeadless(names, known);
    return { manifest: restored, stored: manifestNames.length };
  }

  adopt(adoption: Adoption): Promise<void> {
    const { swap } = this;
    return adoptState(this.#pages.begin(), adoption, {
      store: this.#store,
      restoreBytesMax: this.#restoreBytesMax,
      relieve: async () => swap?.relieve(),
    });
  }

  capture(moment: CheckpointMoment): PendingCheckpoint {
    invariant(this.#pending === null, 'a checkpoint is pending');
    const { entry } = moment;
    invariant(Number.isSafeInteger(entry) && entry >= this.#lastEntry, `checkpoint at entry ${entry} goes back`);
    if (entry !== this.#lastEntry) this.#repeat = 0;
    this.#lastEntry = entry;
    const pending = new WrittenCheckpoint({
      store: this.#store,
      identity: this.#identity,
      attempt: this.#attempt,
      createdMs: this.#clock.nowMs(),
      moment,
      pages: this.#pages,
      snapshot: this.#pages.capture({ identity: this.#identity, attempt: this.#attempt, entry }),
      nameSegment: () => this.#reserve(segmentName(entry, this.#attempt, ++this.#segmentNumber)),
      nameManifest: () => this.#reserve(manifestName(entry, this.#attempt, ++this.#repeat)),
      ended: (checkpoint) => {
        if (checkpoint !== null) this.#retention.publish(checkpoint);
        this.#pendingNames.clear();
        this.#pending = null;
      },
    });
    this.#pending = pending;
    return pending;
  }

  digest(): string {
    return this.#pages.digest();
  }

  schemaVersions(): Readonly<Record<string, number>> {
    return this.#pages.schemaVersions();
  }

  get sizeBytes(): number {
    return this.#pages.sizeBytes;
  }

  async relieve(): Promise<void> {
    await this.swap?.relieve();
  }

  requireSound(): void {
    this.swap?.requireSound();
  }

  memory(): SwapStatus | null {
    return this.swap?.status() ?? null;
  }

  /** Never throws: what is left outside memory is cleared away by the next attempt. */
  async close(): Promise<void> {
    try {
      await this.swap?.close();
    } catch (error) {
      this.#logger.warn({ reason: (error as Error).message }, 'state outside memory could not be cleared away');
    }
  }

  kept(): readonly CheckpointReference[] {
    return this.#retention.kept.map((checkpoint) => checkpoint.reference);
  }

  oldestKept(): CheckpointManifest | null {
    return this.#retention.kept[0]?.manifest ?? null;
  }

  async keepAs(savepoint: string, { name }: CheckpointReference): Promise<void> {
    const stored = this.#retention.find(name);
    invariant(stored !== null, `'${name}' is no checkpoint of this task`);
    const place = savepointPlace(this.#identity, savepoint);
    for (const segment of stored.manifest.segments) await this.#store.copy(this.#identity, place, segment.name);
    await this.#store.copy(this.#identity, place, name);
  }

  confirm(reference: CheckpointReference): void {
    if (this.#retention.confirm(reference.name)) return;
    const { name, entry } = reference;
    this.#logger.warn({ file: name, entry }, 'the commit log names a checkpoint that is not among the usable ones');
  }

  dead(): readonly string[] {
    return this.#retention.dead();
  }

  async deleteListed(files: readonly string[]): Promise<void> {
    const needed = this.#protected();
    const names = files.filter((name) => isCheckpointFile(name) && !needed.has(name));
    await this.#remove(names);
    this.#retention.deleted(names);
  }

  /**
   * Only what was there at restore, or is of this attempt: whoever owns the task after us writes later than that, and
   * must lose nothing to a process that was stopped between its commit and this. Retired checkpoints stay: they are
   * dead, not orphans, and leave by a committed entry.
   */
  async deleteOrphans(): Promise<void> {
    const names = await this.#store.list(this.#identity);
    const needed = this.#protected();
    const orphans = names.filter(
      (name) =>
        isCheckpointFile(name) &&
        (this.#foundAtRestore.has(name) || name.includes(this.#attempt)) &&
        !needed.has(name) &&
        !this.#retention.isRetired(name),
    );
    if (orphans.length > 0) {
      this.#logger.info({ files: orphans }, 'deleting files that no checkpoint of this task needs');
      await this.#remove(orphans);
    }
    this.#foundAtRestore.clear();
  }

  /** Manifests go first: after a crash in between no manifest is left without its segments. */
  async #remove(names: readonly string[]): Promise<void> {
    const manifests = names.filter(isManifestName);
    const others = names.filter((name) => !isManifestName(name));
    if (manifests.length > 0) await this.#store.remove(this.#identity, manifests);
    if (others.length > 0) await this.#store.remove(this.#identity, others);
  }

  #protected(): Set<string> {
    const names = this.#retention.needed();
    for (const name of this.#pendingNames) names.add(name).add(temporaryName(name));
    return names;
  }

  #reserve(name: string): string {
    this.#pendingNames.add(name);
    return name;
  }

  async #readManifest(name: string): Promise<StoredCheckpoint> {
    const bytes = await this.#store.read(this.#identity, name);
    const manifest = decodeManifest(name, bytes, this.#identity);
    return { manifest, reference: referenceTo(name, manifest, bytes.length) };
  }

  #verify({ manifest, reference }: StoredCheckpoint): Promise<VerifiedCheckpoint> {
    const read = (name: string) => this.#store.read(this.#identity, name);
    return VerifiedCheckpoint.of(reference.name, manifest, read, this.#restoreBytesMax);
  }

  async #load(verified: VerifiedCheckpoint, manifest: CheckpointManifest, fit: StateFit): Promise<void> {
    const restore = this.#pages.restore(verified.segments, manifest.schemaVersions, fit);
    await verified.load(async (pages, kept) => {
      restore.take(pages, kept);
      await this.swap?.relieve();
    });
    restore.finish();
  }

  /** What `attempt` gives, or null when it meets damage, which is logged: the checkpoint before is used. */
  async #passingOver<T>(manifest: string, attempt: () => T | Promise<T>): Promise<T | null> {
    try {
      return await attempt();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#logger.warn({ file: manifest, reason: error.message }, 'checkpoint is damaged and passed over');
      return null;
    }
  }

  /** Segments without a manifest: an attempt ended before it published, or the manifest was lost. */
  #warnOfHeadless(names: readonly string[], known: ReadonlySet<string>): void {
    const heads = new Set(names.filter(isManifestName).map((name) => name.slice(0, -'.manifest.json'.length)));
    const headless = new Set<string>();
    for (const name of names) {
      if (isSegmentName(name) && !known.has(name) && !heads.has(prefixOfSegment(name))) {
        headless.add(prefixOfSegment(name));
      }
    }
    for (const prefix of headless) {
      this.#logger.warn(
        { file: `${prefix}.manifest.json`, reason: 'missing' },
        'checkpoint has segments and no manifest: it was not finished, or its manifest was lost; it is passed over',
      );
    }
  }
}

function requireFiles({ manifest, reference }: StoredCheckpoint, present: ReadonlySet<string>): true {
  for (const { name } of manifest.segments) {
    if (!present.has(name)) throw damaged(name, `is missing, ${reference.name} needs it`);
  }
  return true;
}
