// Owns what an observer of the checkpoint files can say: which checkpoints are whole and on the chain of committed
// entries, whether one stands at the last entry, and whether a file that is removed was allowed to go.

import { hash } from 'node:crypto';
import { posix } from 'node:path';
import { recordOfPart } from '#test/simulation/oracle/savepoint-cut.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';
import type { SimulatedDisk } from '#test/simulation/world/disk.ts';
import type { StoredBatch } from '#test/simulation/world/log-partition.ts';
import type { World } from '#test/simulation/world/world.ts';
import { bodyOf, decodeRecords } from '#test/suites/log/bytes.ts';

/** Where a task keeps its entries and its files. */
export interface TaskPlace {
  readonly commitTopic: string;
  readonly partition: number;
  readonly directory: string;
}

interface WholeManifest {
  readonly name: string;
  readonly entry: number;
  readonly files: readonly string[];
}

interface EntryFields {
  readonly number: number;
  readonly dead: readonly string[];
  readonly chainHash: string;
}

/** The entries of one task whose commit the log has taken, as far as they are. */
class Committed {
  readonly #entries = new Map<number, { readonly chainHash: string; readonly batch: StoredBatch }>();
  #logStart = 0;
  readonly dead = new Set<string>();
  readonly #fields = new WeakMap<StoredBatch, EntryFields>();
  #seen = 0;

  update(world: World, { commitTopic, partition }: TaskPlace): void {
    const stored = world.cluster.partition({ topic: commitTopic, partition })!;
    const { archive } = stored;
    this.#logStart = stored.logStart;
    // Behind the first undecided batch the fates are not known yet, but may be: look at those again.
    let settled = true;
    for (let at = this.#seen; at < archive.length; at++) {
      const batch = archive[at];
      if (batch.fate === 'open' && !batch.decided) settled = false;
      if (settled) this.#seen = at + 1;
      if (batch.control || batch.fate === 'aborted' || !batch.decided) continue;
      const { number, dead, chainHash } = this.#read(batch);
      this.#entries.set(number, { chainHash, batch });
      for (const name of dead) this.dead.add(name);
    }
  }

  #read(batch: StoredBatch): EntryFields {
    const known = this.#fields.get(batch);
    if (known !== undefined) return known;
    const { bytes, start } = bodyOf(batch.bytes);
    const [{ value, headers }] = decodeRecords(bytes.subarray(start), 1, 0n, 0);
    const { number, dead = [] } = JSON.parse(String(value)) as { number: number; dead?: string[] };
    const chainHash = String(headers.find(([name]) => name === 'chain-hash')?.[1]);
    const fields = { number, dead, chainHash };
    this.#fields.set(batch, fields);
    return fields;
  }

  /** Whether a restore would take it: the log still holds its entry. */
  has(entry: number, chainHash: string): boolean {
    const found = this.#entries.get(entry);
    return found?.chainHash === chainHash && this.#isThere(found.batch);
  }

  /** Where an entry stands in its log. */
  offsetOf(entry: number): number {
    return this.#entries.get(entry)?.batch.baseOffset ?? -1;
  }

  /** Number of the last entry, -1 before the first. */
  get last(): number {
    let last = -1;
    for (const [number, { batch }] of this.#entries) if (number > last && this.#isThere(batch)) last = number;
    return last;
  }

  /** An entry whose markers were lost may be ended as aborted after all. */
  #isThere(batch: StoredBatch): boolean {
    return batch.baseOffset >= this.#logStart && batch.fate !== 'aborted';
  }
}

/** A damaged file must not be the end. */
const WAYS_BACK = 2;
const NOBODY = { attempt: '', names: new Set<string>() };

export class StoredCheckpoints {
  readonly #world: World;
  readonly #disk: SimulatedDisk;
  /** Of all generations. */
  readonly #places: TaskPlace[] = [];
  #running: readonly TaskPlace[] = [];
  readonly #job: string;
  readonly #committed = new Map<string, Committed>();
  readonly #manifests = new WeakMap<Buffer, ManifestFields | null>();
  /** By directory: who looked at its files last, and what was there. */
  readonly #lastRestore = new Map<string, { readonly attempt: string; readonly names: ReadonlySet<string> }>();

  /** @param job directory of all that the job keeps */
  constructor(world: World, disk: SimulatedDisk, job: string) {
    this.#world = world;
    this.#disk = disk;
    this.#job = job;
  }

  /** Tasks of a generation that runs from now on. */
  begin(places: readonly TaskPlace[]): void {
    this.#running = places;
    this.#places.push(...places);
    for (const { directory } of places) this.#committed.set(directory, new Committed());
  }

  /** The log has lost its end: what was read of it counts no more. */
  forget(): void {
    for (const { directory } of this.#places) this.#committed.set(directory, new Committed());
  }

  /** To be told before an attempt at a task looks at its files. */
  restores(directory: string, attempt: string): void {
    const names = new Set(this.#files(this.#places.find((one) => one.directory === directory)!));
    this.#lastRestore.set(directory, { attempt, names });
  }

  /** To be told before every removal. */
  removed(path: string): void {
    const name = posix.basename(path);
    // What was damaged is an orphan.
    if (name.endsWith('.tmp') || this.#disk.counts.bitsFlipped > 0) return;
    const place = this.#places.find(({ directory }) => directory === posix.dirname(path));
    if (place === undefined) {
      this.#savepointRemoved(path);
      return;
    }
    const committed = this.#update(place);
    if (committed.dead.has(name)) return;
    // One that came when somebody else had restored already, by a process that had been stopped: nobody counts on it.
    const { attempt, names } = this.#lastRestore.get(place.directory) ?? NOBODY;
    const needing = this.#whole(place, committed).find((manifest) => {
      if (!manifest.files.includes(name)) return false;
      // What could not be synced is no checkpoint to the one who wrote it, though it can be read.
      const isOwn = manifest.name.includes(attempt) && !this.#disk.wasRefused(`${place.directory}/${manifest.name}`);
      return names.has(manifest.name) || isOwn;
    });
    if (needing === undefined) return;
    throw new Violation('deletion', `${path} is removed, checkpoint ${needing.name} needs it and no entry lists it`);
  }

  /** To be told before records are deleted: of entries so many must be left that there are two ways back. */
  trimmed({ topic, partition }: { readonly topic: string; readonly partition: number }, before: number): void {
    const place = this.#places.find((one) => one.commitTopic === topic && one.partition === partition);
    if (place === undefined || this.#disk.counts.bitsFlipped > 0) return;
    const committed = this.#update(place);
    const left = this.#whole(place, committed).filter(({ entry }) => committed.offsetOf(entry) >= before);
    if (left.length >= WAYS_BACK) return;
    const entries = left.map(({ entry }) => entry).join(', ') || 'none';
    throw new Violation(
      'deletion',
      `${topic}/${partition} is cut at ${before}, and the checkpoints left are ${entries}`,
    );
  }

  #savepointRemoved(path: string): void {
    if (posix.normalize(`/${path}`).startsWith(`/${this.#job}/savepoints/`)) return;
    const record = recordOfPart(path, this.#job);
    if (record === null) throw new Violation('deletion', `${path} is not of any task`);
    if (this.#disk.peek(record) !== null) throw new Violation('deletion', `${path} is removed, and ${record} names it`);
  }

  /** To be told which files a task deletes because an entry listed them. */
  listedDeleted(directory: string, files: readonly string[]): void {
    const place = this.#places.find((one) => one.directory === directory);
    const { dead } = this.#update(place!);
    const unlisted = files.find((name) => !dead.has(name));
    if (unlisted !== undefined)
      throw new Violation('deletion', `${directory}/${unlisted} is deleted, no entry lists it`);
  }

  /** Whether a whole checkpoint stands at the last committed entry of every task that runs. */
  atLastEntry(): string | null {
    for (const place of this.#running) {
      const committed = this.#update(place);
      const entries = this.#whole(place, committed).map(({ entry }) => entry);
      if (committed.last < 0 || entries.includes(committed.last)) continue;
      return `${place.directory} has checkpoints at ${entries.join(', ')}, the last entry is ${committed.last}`;
    }
    return null;
  }

  /** Files of the task that keeps the most. */
  get filesMax(): number {
    return Math.max(...this.#places.map((place) => this.#files(place).length));
  }

  #update(place: TaskPlace): Committed {
    const committed = this.#committed.get(place.directory)!;
    committed.update(this.#world, place);
    return committed;
  }

  #files({ directory }: TaskPlace): string[] {
    return this.#disk.filesIn(directory);
  }

  #whole(place: TaskPlace, committed: Committed): WholeManifest[] {
    const present = this.#files(place);
    const whole: WholeManifest[] = [];
    for (const name of present) {
      if (!name.endsWith('.manifest.json')) continue;
      const manifest = this.#manifest(this.#disk.peek(`${place.directory}/${name}`));
      if (manifest === null || !committed.has(manifest.entry, manifest.chainHash)) continue;
      const segments = manifest.segments.map((segment) => segment.name);
      if (segments.every((segment) => present.includes(segment))) {
        whole.push({ name, entry: manifest.entry, files: [name, ...segments] });
      }
    }
    return whole;
  }

  /** The disk gives a file that was changed other bytes, and never changes them in place. */
  #manifest(bytes: Buffer | null): ManifestFields | null {
    if (bytes === null) return null;
    let manifest = this.#manifests.get(bytes);
    if (manifest === undefined) this.#manifests.set(bytes, (manifest = readManifest(bytes)));
    return manifest;
  }
}

interface ManifestFields {
  readonly entry: number;
  readonly chainHash: string;
  readonly segments: readonly { readonly name: string }[];
}

/** Null when the text is not what it was written as: its last field is the hash of all before. */
function readManifest(bytes: Buffer): ManifestFields | null {
  const text = bytes.toString();
  const at = text.lastIndexOf(',');
  const match = /^,\s*"sha256":\s*"([0-9a-f]{64})"\s*\}\s*$/.exec(text.slice(at));
  if (at < 0 || match === null) return null;
  if (hash('sha256', text.slice(0, at)) !== match[1]) return null;
  return JSON.parse(text);
}
