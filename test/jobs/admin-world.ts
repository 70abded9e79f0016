// Owns a whole process on the embedded log for tests of what it tells about itself: jobs by their modules, a directory
// of its own, started in this thread with real slots.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadInstallation } from '#jobs/load-job.ts';
import { MillraceProcess } from '#jobs/run-process.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { PARTITIONS, writeJobModules } from '#test/runtime/slot/minute-world.ts';

const CONFIG = JSON.stringify(new URL('../../jobs/config.ts', import.meta.url).href);

export class AdminWorld {
  readonly directory: string;
  #starts = 0;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<AdminWorld> {
    return new AdminWorld(await mkdtemp(join(tmpdir(), 'millrace-admin-')));
  }

  /** Minute jobs by their names, all with two slots unless told otherwise. */
  async start(jobs: readonly string[], checkpointInterval = '1s', parallelism = 2): Promise<MillraceProcess> {
    await writeJobModules(this.directory, jobs);
    const entry = (job: string) =>
      `${job}: { module: './${job}.ts', parallelism: ${parallelism}, checkpointInterval: '${checkpointInterval}' }`;
    const config = `import { defineConfig, directory, embedded } from ${CONFIG};
export default defineConfig({
  log: embedded({ directory: 'log' }),
  checkpoints: directory('checkpoints'),
  slots: 2,
  jobs: { ${jobs.map(entry).join(', ')} },
});
`;
    // A module is loaded once, however often its file changes.
    const configPath = `config-${++this.#starts}.ts`;
    await writeFile(join(this.directory, configPath), config);
    const installation = await loadInstallation({
      configPath,
      workingDirectory: this.directory,
      environment: {},
      flags: {},
    });
    return MillraceProcess.start({
      installation,
      logger: silentLogger,
      logLevel: 'silent',
      pretty: false,
      createSource: PARTITIONS,
      signal: new AbortController().signal,
    });
  }

  remove(): Promise<void> {
    return rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Real time, bounded. */
export async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no ${what} within a minute`);
}
