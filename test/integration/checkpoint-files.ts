// Owns looking at and damaging the checkpoint files of an installation from outside: which tasks have which manifests,
// one flipped bit, a truncated file, a file gone. Knows the names on disk (checkpoint/README.md), not what is in them.

import { readdirSync } from 'node:fs';
import { open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Installation } from './process-harness.ts';

const MANIFEST = '.manifest.json';

/** Names of manifests, oldest first, by the directory of their task: `samples/0`. */
export function manifestsOf({ checkpointsDirectory }: Installation): Map<string, string[]> {
  const byTask = new Map<string, string[]>();
  for (const path of listed(checkpointsDirectory)) {
    if (!path.endsWith(MANIFEST)) continue;
    const parts = path.split('/');
    const task = parts.slice(-3, -1).join('/');
    byTask.set(task, [...(byTask.get(task) ?? []), path].sort(byEntry));
  }
  return byTask;
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}

function byEntry(left: string, right: string): number {
  return entryOf(left) - entryOf(right);
}

/** Entry number that a manifest's file name begins with. */
export function entryOf(path: string): number {
  return Number.parseInt(path.split('/').at(-1) ?? '', 10);
}

export type Damage =
  | 'a bit of a segment flipped'
  | 'a segment truncated'
  | 'a bit of the manifest flipped'
  | 'the manifest gone';

/** Damages one checkpoint; the name of the file that suffered. */
export async function damage(installation: Installation, manifest: string, how: Damage): Promise<string> {
  const path = join(installation.checkpointsDirectory, manifest);
  const directory = join(path, '..');
  const name = manifest.split('/').at(-1) ?? '';
  const segment = await newestSegment(directory, name);
  switch (how) {
    case 'a bit of a segment flipped':
      await flipBit(join(directory, segment));
      return segment;
    case 'a segment truncated': {
      const { length } = await readFile(join(directory, segment));
      await truncate(join(directory, segment), length - 7);
      return segment;
    }
    case 'a bit of the manifest flipped':
      await flipBit(path);
      return name;
    case 'the manifest gone':
      await rm(path);
      return name;
  }
}

/** A segment written for this checkpoint, not one that an older one needs too. */
async function newestSegment(directory: string, manifest: string): Promise<string> {
  const prefix = manifest.slice(0, -MANIFEST.length);
  const segment = (await readdir(directory)).find((name) => name.startsWith(prefix) && name !== manifest);
  if (segment === undefined) throw new Error(`no segment beside ${manifest} in ${directory}`);
  return segment;
}

async function flipBit(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1] ^= 0x10;
  await writeFile(path, bytes);
  const file = await open(path, 'r+');
  await file.sync();
  await file.close();
}
