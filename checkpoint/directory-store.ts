// Owns the layout of checkpoints in a directory and what makes a file durable there: temporary name, sync, rename, sync
// of the directory; directories themselves too. It never replaces a file and knows nothing of what is in one.

import { basename, dirname, join } from 'node:path';
import type { CheckpointStore, TaskIdentity } from '#checkpoint/contract.ts';
import { decodeInstallation, encodeInstallation, INSTALLATION_FILE } from '#checkpoint/installation-file.ts';
import { damaged, temporaryName } from '#checkpoint/manifest.ts';
import type { Disk } from '#runtime/std/disk.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export class DirectoryStore implements CheckpointStore {
  readonly #root: string;
  readonly #disk: Disk;
  /** Directories whose own entries, up to the root, are known to be durable; one per task of this process. */
  readonly #durable = new Set<string>();

  constructor(options: { readonly root: string; readonly disk: Disk }) {
    invariant(options.root !== '', 'the checkpoint directory has a name');
    this.#root = join(options.root);
    this.#disk = options.disk;
  }

  /**
   * Meets at start what the first checkpoint would meet later: error directory-not-writable. A full disk is no reason
   * not to start. `token` is one that no other process uses.
   */
  async requireWritable(token: string): Promise<void> {
    const probe = join(this.#root, temporaryName(`probe-${token}`));
    await this.#guard('write', probe, async () => {
      try {
        await this.#makeRoot();
        await this.#disk.writeNewFile(probe, new Uint8Array(1));
      } catch (error) {
        if (!FULL.has(codeOf(error) ?? '')) throw error;
      }
      await this.#disk.remove(probe);
    });
  }

  async readInstallation(): Promise<string | null> {
    return this.#guard('read', INSTALLATION_FILE, async () => {
      const names = await this.#disk.list(this.#root);
      if (!names.includes(INSTALLATION_FILE)) return null;
      await this.#syncFound(this.#root);
      const path = join(this.#root, INSTALLATION_FILE);
      return decodeInstallation(await this.#disk.readFile(path), `'${path}'`);
    });
  }

  async writeInstallation(installationId: string): Promise<void> {
    const found = await this.readInstallation();
    if (found === installationId) return;
    if (found === null) {
      const bytes = encodeInstallation(installationId);
      await this.#guard('write', INSTALLATION_FILE, async () => {
        await this.#makeRoot();
        await this.#writeDurably(this.#root, INSTALLATION_FILE, bytes);
      });
      // Two processes may have found none at the same time: the loser must see it here or at its next start.
      if ((await this.readInstallation()) === installationId) return;
    }
    throw new StreamError(
      'installation-mismatch',
      `the checkpoint store '${this.#root}' belongs to installation ${await this.readInstallation()}`,
      'point checkpoints at the directory of this installation, or at an empty one',
    );
  }

  async list(task: TaskIdentity): Promise<string[]> {
    const directory = this.#directoryOf(task);
    return this.#guard('list', directory, async () => {
      const names = await this.#disk.list(directory);
      if (names.length > 0) await this.#syncFound(directory);
      return names;
    });
  }

  async read(task: TaskIdentity, name: string): Promise<Uint8Array> {
    const path = join(this.#directoryOf(task), fileName(name));
    return this.#guard('read', path, async () => {
      try {
        return await this.#disk.readFile(path);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') throw damaged(name, 'is missing');
        throw error;
      }
    });
  }

  async write(task: TaskIdentity, name: string, bytes: Uint8Array): Promise<void> {
    const directory = this.#directoryOf(task);
    try {
      await this.#guard('write', join(directory, name), async () => {
        await this.#makeTaskDirectory(task, directory);
        await this.#writeDurably(directory, fileName(name), bytes);
      });
    } catch (error) {
      // The directory may have gone: the next write looks again.
      this.#durable.delete(directory);
      throw error;
    }
  }

  async remove(task: TaskIdentity, names: readonly string[]): Promise<void> {
    const directory = this.#directoryOf(task);
    await this.#guard('remove files from', directory, async () => {
      const present = new Set(await this.#disk.list(directory));
      const found = names.filter((name) => present.has(fileName(name)));
      if (found.length === 0) return;
      for (const name of found) await this.#disk.remove(join(directory, name));
      await this.#disk.syncDirectory(directory);
    });
  }

  /** A second name for the same bytes, where the file system has such. */
  async copy(from: TaskIdentity, to: TaskIdentity, name: string): Promise<void> {
    const source = join(this.#directoryOf(from), fileName(name));
    const directory = this.#directoryOf(to);
    await this.#guard('copy', source, async () => {
      await this.#makeTaskDirectory(to, directory);
      if (!(await this.#disk.list(directory)).includes(name)) await this.#link(from, directory, name);
      await this.#disk.syncDirectory(directory);
    });
  }

  async #link(from: TaskIdentity, directory: string, name: string): Promise<void> {
    try {
      await this.#disk.link(join(this.#directoryOf(from), name), join(directory, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw damaged(name, 'is missing');
      if (!NO_LINKS.has(codeOf(error) ?? '')) throw error;
      await this.#writeDurably(directory, name, await this.read(from, name));
    }
  }

  #directoryOf(task: TaskIdentity): string {
    const { namespace, job, run, generation, stage, partition } = task;
    const parts = [namespace, job, run, `g${generation}`, stage, String(partition)];
    return join(this.#root, ...parts.map(directoryName));
  }

  async #writeDurably(directory: string, name: string, bytes: Uint8Array): Promise<void> {
    const present = await this.#disk.list(directory);
    invariant(!present.includes(name), `'${join(directory, name)}' exists: a file of a checkpoint is never replaced`);
    const temporary = join(directory, temporaryName(name));
    if (present.includes(basename(temporary))) await this.#disk.remove(temporary);
    try {
      await this.#disk.writeNewFile(temporary, bytes);
      await this.#disk.syncFile(temporary);
      await this.#disk.rename(temporary, join(directory, name));
    } catch (error) {
      // What was written of it is of no use, and the disk may be full.
      await this.#disk.remove(temporary).catch(() => {});
      throw error;
    }
    await this.#disk.syncDirectory(directory);
  }

  async #makeTaskDirectory(task: TaskIdentity, directory: string): Promise<void> {
    if (this.#durable.has(directory)) return;
    await this.#makeRoot();
    await this.#disk.makeDirectory(directory);
    // A crash after an earlier creation may have left them unsynced: sync all, new or not.
    let at = directory;
    while (at !== this.#root) {
      at = dirname(at);
      await this.#disk.syncDirectory(at);
    }
    invariant(at.length < directory.length, `${task.job} lives below the root`);
    this.#durable.add(directory);
  }

  /** Creates the root when it is missing, and makes the entries of all directories above it durable. */
  async #makeRoot(): Promise<void> {
    if (this.#durable.has(this.#root)) return;
    await this.#disk.makeDirectory(this.#root);
    for (let at = this.#root; dirname(at) !== at; at = dirname(at)) await this.#syncAbove(dirname(at));
    this.#durable.add(this.#root);
  }

  /** Who wrote the last of what is found may have died between its name and the sync. */
  async #syncFound(directory: string): Promise<void> {
    try {
      await this.#disk.syncDirectory(directory);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }

  /** A directory above the root that cannot be synced by us was not made by us. */
  async #syncAbove(path: string): Promise<void> {
    try {
      await this.#disk.syncDirectory(path);
    } catch (error) {
      if (!NOT_OURS.has(codeOf(error) ?? '')) throw error;
    }
  }

  async #guard<T>(action: string, what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const code = codeOf(error);
      if (code === null) throw error;
      throw diskFault(this.#root, `${action} '${what}'`, code, error);
    }
  }
}

const NOT_OURS = new Set(['EACCES', 'EPERM', 'EROFS', 'EINVAL']);
/** Of file systems without second names, or with too many of them. */
const NO_LINKS = new Set(['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EACCES']);
const FULL = new Set(['ENOSPC', 'EDQUOT']);
const NOT_WRITABLE = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST']);

function diskFault(root: string, action: string, code: string, cause: unknown): StreamError {
  if (NOT_WRITABLE.has(code)) {
    return new StreamError(
      'directory-not-writable',
      `checkpoint directory '${root}': cannot ${action} (${code})`,
      `let the user Millrace runs as write to '${root}', or name another directory for checkpoints`,
      { cause },
    );
  }
  const remedy = FULL.has(code)
    ? `free space on the disk of '${root}'; the task goes on from its last checkpoint`
    : `look at the disk of '${root}'; the task goes on from its last checkpoint when it answers`;
  return new StreamError('disk-failed', `checkpoint directory '${root}': cannot ${action} (${code})`, remedy, {
    cause,
  });
}

/** The system's error code, null when the error is not the system's. */
function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || error instanceof StreamError) return null;
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : null;
}

function directoryName(part: string): string {
  invariant(/^[0-9A-Za-z_-][0-9A-Za-z._-]*$/.test(part), `'${part}' cannot be the name of a checkpoint directory`);
  return part;
}

function fileName(name: string): string {
  invariant(/^[0-9A-Za-z][0-9A-Za-z._-]*$/.test(name), `'${name}' cannot be the name of a checkpoint file`);
  return name;
}
