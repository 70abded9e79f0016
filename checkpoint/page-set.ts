// Owns the pages of one task: which exist, which changed since the last durable checkpoint, where their newest durable
// version lies, and the digest over all. Invariant: a page that is neither dirty nor pending equals its durable version.

import { type CompactionLimits, chooseRewritten } from '#checkpoint/compaction.ts';
import type { CheckpointSegment, PagedState, PageTracker, StateFit, StateRegistry } from '#checkpoint/contract.ts';
import { type Page, StatePages } from '#checkpoint/page.ts';
import { PageDigest, PageHash } from '#checkpoint/page-digest.ts';
import { writePageRecord } from '#checkpoint/page-record.ts';
import { PageRestore } from '#checkpoint/page-restore.ts';
import { PageSnapshot } from '#checkpoint/page-snapshot.ts';
import type { SegmentLabel } from '#checkpoint/segment.ts';
import { requireFit } from '#checkpoint/state-fit.ts';
import { StoredSegment } from '#checkpoint/stored-segment.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

export class PageSet implements StateRegistry {
  readonly #limits: CompactionLimits;
  readonly #states = new Map<string, StatePages>();
  readonly #digest = new PageDigest();
  readonly #scratch = new ByteWriter();
  readonly #hash = new PageHash();
  #segments: StoredSegment[] = [];
  #dirty: Page[] = [];
  #snapshot: PageSnapshot | null = null;
  #epoch = 1;
  #sizeBytes = 0;
  #inUse = false;

  constructor(limits: CompactionLimits) {
    this.#limits = limits;
  }

  register(state: PagedState): PageTracker {
    invariant(!this.#inUse, `state '${state.stateId}' was registered after restore or the first capture`);
    invariant(!this.#states.has(state.stateId), `two states are called '${state.stateId}'`);
    const pages = new StatePages(state, this.#epoch, this.#touched);
    this.#states.set(state.stateId, pages);
    return pages;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Bytes of all records in the segments of the last published checkpoint, dead ones included. */
  get storedBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.recordBytes, 0);
  }

  schemaVersions(): Record<string, number> {
    const versions: Record<string, number> = {};
    for (const [id, pages] of this.#states) versions[id] = pages.state.schemaVersion;
    return versions;
  }

  /** Begins a snapshot of the state as it is now; at most one at a time. */
  capture(label: SegmentLabel): PageSnapshot {
    invariant(this.#snapshot === null, 'a snapshot is under way');
    this.#inUse = true;
    const changed = this.#dirty;
    this.#dirty = [];
    for (const page of changed) page.dirty = false;
    const snapshot = new PageSnapshot({
      label,
      segmentBytesMax: this.#limits.segmentBytesMax,
      digest: this.#digest,
      pages: [...changed, ...this.#rewritten(changed)],
      changedCount: changed.length,
      segments: this.#segments.slice(),
      hashed: this.#hashed,
    });
    this.#snapshot = snapshot;
    this.#beginEpoch();
    return snapshot;
  }

  /** The durable segments that a manifest of `snapshot` names beside its own. */
  remainingSegments(snapshot: PageSnapshot): CheckpointSegment[] {
    const leaving = new Map<StoredSegment, number[]>();
    for (const { page } of snapshot.copied) {
      if (page.segment === null) continue;
      const ordinals = leaving.get(page.segment);
      if (ordinals === undefined) leaving.set(page.segment, [page.ordinal]);
      else ordinals.push(page.ordinal);
    }
    const remaining: CheckpointSegment[] = [];
    for (const segment of snapshot.segments) {
      const described = segment.describe(leaving.get(segment) ?? []);
      if (described !== null) remaining.push(described);
    }
    return remaining;
  }

  /** The snapshot is published in these files, in the order of its segments: its copies are the durable versions now. */
  published(snapshot: PageSnapshot, files: readonly CheckpointSegment[]): void {
    invariant(this.#snapshot === snapshot && snapshot.done, 'only the finished snapshot under way is published');
    const bytes = new Array<number>(files.length).fill(0);
    for (const copy of snapshot.copied) if (copy.segment >= 0) bytes[copy.segment] += copy.recordBytes;
    const written = files.map((file, index) => new StoredSegment(file, bytes[index], bytes[index]));
    for (const { page, segment, ordinal, recordBytes } of snapshot.copied) {
      page.segment?.retire(page.ordinal, page.recordBytes);
      page.segment = segment < 0 ? null : written[segment];
      page.ordinal = ordinal;
      page.recordBytes = recordBytes;
      if (page.segment === null && !page.dirty) page.owner.pages.delete(page.number);
    }
    this.#segments = [...this.#segments.filter((segment) => segment.liveRecords > 0), ...written];
    this.#snapshot = null;
  }

  /** The snapshot comes to nothing: what it held counts as changed for the next one. */
  abandoned(snapshot: PageSnapshot): void {
    invariant(this.#snapshot === snapshot, 'only the snapshot under way is abandoned');
    snapshot.drop();
    for (let i = 0; i < snapshot.changedCount; i++) {
      const page = snapshot.pages[i];
      if (page.dirty) continue;
      page.dirty = true;
      this.#dirty.push(page);
    }
    this.#snapshot = null;
  }

  /** Durable segments are gone: what they held counts as changed. */
  lost(names: ReadonlySet<string>): void {
    this.#segments = this.#segments.filter((segment) => !names.has(segment.name));
    for (const owner of this.#states.values()) {
      for (const page of owner.pages.values()) {
        if (page.segment === null || !names.has(page.segment.name)) continue;
        page.segment = null;
        if (page.dirty) continue;
        page.dirty = true;
        this.#dirty.push(page);
      }
    }
  }

  /** Digest of all pages as they are now. Begins an epoch, so that a page changed later is hashed again. */
  digest(): string {
    this.#inUse = true;
    for (const page of this.#dirty) if (page.stale) this.#rehash(page);
    if (this.#snapshot !== null) for (const page of this.#snapshot.pages) if (page.stale) this.#rehash(page);
    this.#beginEpoch();
    return this.#digest.toText();
  }

  /** The registered states, empty, to be changed by whoever fills them without a checkpoint of their own. */
  begin(): ReadonlyMap<string, PagedState> {
    invariant(!this.#inUse, 'only a state that was never used can be filled');
    this.#inUse = true;
    return new Map(Array.from(this.#states, ([stateId, { state }]) => [stateId, state]));
  }

  /** Begins to fill the empty registered states with a verified checkpoint. Error: version-mismatch. */
  restore(
    segments: readonly StoredSegment[],
    schemaVersions: Readonly<Record<string, number>>,
    fit: StateFit = {},
  ): PageRestore {
    invariant(!this.#inUse, 'only a state that was never used can be restored');
    requireFit(
      Array.from(this.#states.values(), ({ state }) => state),
      schemaVersions,
      fit,
    );
    this.#inUse = true;
    this.#segments = [...segments];
    return new PageRestore(this.#states, schemaVersions, {
      add: (page, { hash, record }) => this.#hashed(page, hash, record.bodyEnd - record.bodyStart),
      done: () => this.#beginEpoch(),
    });
  }

  readonly #touched = (page: Page): void => {
    if (page.pending) this.#snapshot?.copy(page);
    page.stale = true;
    if (page.dirty) return;
    page.dirty = true;
    this.#dirty.push(page);
  };

  /** Takes a page's hash into the digest, and into the snapshot's while the page is as it was at the capture. */
  readonly #hashed = (page: Page, hash: PageHash, bodyBytes: number): void => {
    page.stale = false;
    this.#sizeBytes += bodyBytes - page.sizeBytes;
    page.sizeBytes = bodyBytes;
    if (page.hash.equals(hash)) return;
    this.#digest.subtract(page.hash);
    this.#digest.add(hash);
    if (page.pending && this.#snapshot !== null) {
      this.#snapshot.digest.subtract(page.hash);
      this.#snapshot.digest.add(hash);
    }
    page.hash.copy(hash);
  };

  #rehash(page: Page): void {
    this.#scratch.clear();
    const bodyBytes = writePageRecord(this.#scratch, page.owner.state, page.number, this.#hash);
    this.#hashed(page, this.#hash, bodyBytes);
  }

  #beginEpoch(): void {
    this.#epoch++;
    for (const pages of this.#states.values()) pages.epoch = this.#epoch;
  }

  /** Unchanged pages of the segments that this checkpoint rewrites. */
  #rewritten(changed: readonly Page[]): Page[] {
    const leaving = new Map<StoredSegment, number>();
    for (const { segment, recordBytes } of changed) {
      if (segment !== null) leaving.set(segment, (leaving.get(segment) ?? 0) + recordBytes);
    }
    const candidates = this.#segments.map((segment) => ({
      segment,
      recordBytes: segment.recordBytes,
      liveBytes: segment.liveBytes - (leaving.get(segment) ?? 0),
    }));
    const chosen = new Set(chooseRewritten(candidates, this.#limits).map((candidate) => candidate.segment));
    if (chosen.size === 0) return [];
    const isChanged = new Set(changed);
    const pages: Page[] = [];
    for (const owner of this.#states.values()) {
      for (const page of owner.pages.values()) {
        if (page.segment !== null && chosen.has(page.segment) && !isChanged.has(page)) pages.push(page);
      }
    }
    return pages;
  }
}
