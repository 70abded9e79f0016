// Owns the programs of real time-series databases for tests: those of the machine, else Debian's packages unpacked into a
// cache that all runs share. Installs nothing and starts nothing.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/millrace');

export type TsdbProgram = 'prometheus' | 'victoria-metrics';

/** Path of the program. Fails with the ways to get it when there is none. */
export async function tsdbBinary(program: TsdbProgram): Promise<string> {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((directory) => join(directory, program));
  const unpacked = join(CACHE, program, 'usr/bin', program);
  const found = [...onPath, unpacked].find((path) => existsSync(path));
  if (found !== undefined) return found;
  try {
    await unpack(program);
  } catch (cause) {
    throw new Error(
      `there is no ${program} for this test run; one of two ways is needed: it is installed (apt-get install ` +
        `${program}), or apt-get download and dpkg-deb work here and fetch it from Debian's packages`,
      { cause },
    );
  }
  return unpacked;
}

async function unpack(program: TsdbProgram): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, 'fetch-'));
  try {
    const download = () => run('apt-get', ['download', program], { cwd: work });
    // Package lists may be missing or old: then they are fetched, where that is allowed.
    await download().catch(async () => {
      await run('apt-get', ['update']);
      await download();
    });
    const [file] = (await readdir(work)).filter((name) => name.endsWith('.deb'));
    await run('dpkg-deb', ['-x', join(work, file), join(work, 'files')]);
    await rename(join(work, 'files'), join(CACHE, program)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
