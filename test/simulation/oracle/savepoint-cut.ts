// Owns the verdict on savepoints that are there: every task has a part that stands at a committed entry, whose files are
// whole; and the parts are one cut: whoever reads an exchange has read what its writers had sent, and nothing more.
// Reads files and logs itself.

import { createHash } from 'node:crypto';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import type { CommittedEntry } from '#test/simulation/oracle/commit-chain.ts';
import type { EntryOf } from '#test/simulation/oracle/placement.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { SimulatedDisk } from '#test/simulation/world/disk.ts';

const RECORD = '.savepoint.json';

/** A task's part, as the record has it. */
export interface StoredPart {
  readonly stage: string;
  readonly partition: number;
  readonly manifest: string;
  readonly entry: number;
  readonly chainHash: string;
  readonly digest: string;
  readonly watermarkMs: number | null;
  readonly clockMs: number;
  readonly inputs: readonly { readonly endOffset: string }[];
}

export interface StoredSavepoint {
  readonly id: string;
  readonly generation: number;
  readonly tasks: readonly StoredPart[];
}

/** A task of the job at the end of the run. */
export interface CutTask {
  readonly name: string;
  readonly chain: readonly CommittedEntry[];
  /** Committed records of the exchange that it reads, on its partition; null: it reads a source. */
  readonly exchanged: readonly ArchivedRecord[] | null;
}

/** Records that are there and whole, by id. `job`: directory of the job. */
export function storedSavepoints(disk: SimulatedDisk, job: string): Map<string, StoredSavepoint> {
  const found = new Map<string, StoredSavepoint>();
  for (const path of disk.files()) {
    if (!path.startsWith(`/${job}/savepoints/`) || !path.endsWith(RECORD)) continue;
    const record = unsealed(disk.peek(path)) as StoredSavepoint | null;
    if (record !== null) found.set(record.id, record);
  }
  return found;
}

/** Where the record of a savepoint is, by a path of a part of it; null when the path is of none. */
export function recordOfPart(path: string, job: string): string | null {
  const id = new RegExp(`^/?${job}/savepoint\\.([^/]+)/`).exec(path)?.[1];
  return id === undefined ? null : `${job}/savepoints/g0/savepoints/0/${id}${RECORD}`;
}

/** `whole`: no bit flipped on the disk, so that files are what was written. */
export function judgeSavepoint(
  savepoint: StoredSavepoint,
  tasks: ReadonlyMap<string, CutTask>,
  entryOf: EntryOf,
  files: { readonly disk: SimulatedDisk; readonly job: string; readonly whole: boolean },
): void {
  const { id } = savepoint;
  const parts = new Map(savepoint.tasks.map((part) => [`${part.stage}/${part.partition}`, part]));
  require(parts.size === savepoint.tasks.length, 'savepoint', () => `${id} has two parts of one task`);
  const missing = [...tasks.keys()].find((name) => !parts.has(name));
  require(missing === undefined && parts.size === tasks.size, 'savepoint', () => `${id} has no part of ${missing}`);
  for (const [name, part] of parts) judgePart(id, part, tasks.get(name)!);
  for (const { chain, exchanged, name } of tasks.values()) {
    const { endOffset } = chain[parts.get(name)!.entry];
    for (const { offset, transaction } of exchanged ?? []) {
      const sender = entryOf.get(String(transaction));
      const cut = parts.get(String(sender?.task));
      if (sender === undefined || cut === undefined) continue;
      const [sent, read] = [sender.number <= cut.entry, offset < endOffset];
      const text = () =>
        `${id}: offset ${offset} that ${name} reads, of entry ${sender.number} of ${sender.task}, which is cut at ${cut.entry}, is ${sent ? 'sent' : 'not sent'} and ${read ? 'read' : 'not read'} in the cut`;
      require(sent === read, 'savepoint', text);
    }
  }
  for (const part of savepoint.tasks) judgeFiles(savepoint, part, files);
}

function judgePart(id: string, part: StoredPart, { chain, name }: CutTask): void {
  const entry = chain[part.entry];
  const where = () => `${id}: the part of ${name} at entry ${part.entry}`;
  require(entry?.chainHash === part.chainHash, 'savepoint', () => `${where()} is of an entry that was never committed`);
  require(entry.savepoint === id, 'savepoint', () => `${where()} is of an entry that names ${entry.savepoint}`);
  const read = Number(part.inputs[0].endOffset);
  require(read === entry.endOffset, 'savepoint', () =>
    `${where()} has read to ${read}, its entry to ${entry.endOffset}`);
}

interface Manifest {
  readonly segments: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

function judgeFiles(
  { generation, id }: StoredSavepoint,
  { manifest, partition, stage }: StoredPart,
  { disk, job, whole }: { readonly disk: SimulatedDisk; readonly job: string; readonly whole: boolean },
): void {
  const directory = `${job}/savepoint.${id}/g${generation}/${stage}/${partition}`;
  const bytes = disk.peek(`${directory}/${manifest}`);
  require(bytes !== null, 'savepoint', () => `${id}: ${directory}/${manifest} is not there`);
  const read = unsealed(bytes) as Manifest | null;
  require(read !== null || !whole, 'savepoint', () => `${id}: ${directory}/${manifest} is damaged`);
  for (const { name, sha256 } of read?.segments ?? []) {
    const segment = disk.peek(`${directory}/${name}`);
    require(segment !== null, 'savepoint', () => `${id}: ${directory}/${name} is not there`);
    const same = createHash('sha256').update(segment!).digest('hex') === sha256;
    require(same || !whole, 'savepoint', () => `${id}: ${directory}/${name} is damaged`);
  }
}

/** Null when the text is not what it was written as: its last field is the hash of all before. */
function unsealed(bytes: Buffer | null): unknown {
  const text = bytes?.toString() ?? '';
  const at = text.lastIndexOf(',');
  const match = /^,\s*"sha256":\s*"([0-9a-f]{64})"\s*\}\s*$/.exec(text.slice(at));
  if (at < 0 || match === null) return null;
  if (createHash('sha256').update(text.slice(0, at)).digest('hex') !== match[1]) return null;
  return JSON.parse(text);
}
