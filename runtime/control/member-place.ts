// Owns what is left on this machine of a process that died as a member of the group: which member it was, so that the
// next one here can say for it that it left, instead of letting everybody wait until its session is over. A place is a
// directory with a lock that the kernel frees; a clean end leaves nothing in it.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DirectoryLock, lockDirectory } from '#runtime/std/directory-lock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface DepartedMember {
  readonly group: string;
  readonly memberId: string;
}

export interface MemberPlace {
  /** Members whose processes on this machine are dead and did not say that they left. */
  readonly departed: readonly DepartedMember[];
  /** This process is that member now; null: it is none any more. */
  note(member: DepartedMember | null): void;
  release(): void;
}

const PLACES_MAX = 256;
const MEMBER_FILE = 'member.json';

/** Takes a place below `directory` that no live process has. Errors: directory-in-use, directory-not-writable. */
export async function takeMemberPlace(directory: string): Promise<MemberPlace> {
  const departed: DepartedMember[] = [];
  let own: { readonly lock: DirectoryLock; readonly path: string } | null = null;
  for (const name of placesIn(directory)) {
    const path = join(directory, name);
    const lock = await freeLock(path);
    if (lock === null) continue;
    const member = readMember(path);
    if (member !== null) departed.push(member);
    if (own === null) own = { lock, path };
    else {
      rmSync(join(path, MEMBER_FILE), { force: true });
      lock.release();
    }
  }
  own ??= await newPlace(directory);
  const { lock, path } = own;
  const file = join(path, MEMBER_FILE);
  return {
    departed,
    note(member) {
      if (member === null) rmSync(file, { force: true });
      else writeFileSync(file, JSON.stringify(member));
    },
    release: () => lock.release(),
  };
}

function placesIn(directory: string): string[] {
  try {
    mkdirSync(directory, { recursive: true });
    return readdirSync(directory).filter((name) => /^\d{1,3}$/.test(name));
  } catch (cause) {
    throw new StreamError(
      'directory-not-writable',
      `directory ${directory} cannot be written: ${(cause as Error).message}`,
      'give this user write access to it, or name another one as stateDirectory',
      { cause },
    );
  }
}

async function newPlace(directory: string): Promise<{ readonly lock: DirectoryLock; readonly path: string }> {
  for (let number = 0; ; number++) {
    const path = join(directory, String(number));
    const lock = number < PLACES_MAX ? await freeLock(path) : await lockDirectory(path);
    if (lock !== null) return { lock, path };
  }
}

/** Null while a live process has it. */
async function freeLock(path: string): Promise<DirectoryLock | null> {
  try {
    return await lockDirectory(path);
  } catch (error) {
    if (error instanceof StreamError && error.code === 'directory-in-use') return null;
    throw error;
  }
}

/** What cannot be read is nobody: then the session ends by itself. */
function readMember(path: string): DepartedMember | null {
  try {
    const member = JSON.parse(readFileSync(join(path, MEMBER_FILE), 'utf8')) as DepartedMember;
    return typeof member.group === 'string' && typeof member.memberId === 'string' ? member : null;
  } catch {
    return null;
  }
}
