// Owns a process on the embedded log whose job is deployed in versions while it runs: modules as text, what is asked of the
// admin port, and what came out. Judges nothing.

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adminPort } from '#jobs/admin-port.ts';
import { packBundle } from '#jobs/bundle.ts';
import { loadInstallation } from '#jobs/load-job.ts';
import { MillraceProcess } from '#jobs/run-process.ts';
import type { AdminPort, RequestView } from '#runtime/http/contract.ts';
import type { DeployAskedView, DeployedView } from '#runtime/http/deploy-contract.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { rowsOf } from '#test/runtime/slot/minute-world.ts';
import { until } from './admin-world.ts';

const ROOT = new URL('../../', import.meta.url).href;
const TERMS = { requestId: null, revisions: null };

export interface ModuleChoice {
  /** Of its exchange. */
  readonly partitions?: number;
  /** Id of its window. */
  readonly window?: string;
  /** Code of a filter that sees each sample. */
  readonly look?: string;
  /** Code of a function of a stage of its own, which sees each sample; none: there is no such stage. */
  readonly beside?: string;
  readonly name?: string;
}

/** A job that counts per minute and series behind an exchange. */
export function moduleText({
  partitions = 4,
  window = 'minute',
  look = 'true',
  name = 'counted',
  beside,
}: ModuleChoice): string {
  return `import { defineJob } from '${ROOT}jobs/define-job.ts';
import { samples, series, stats, topic, tumbling } from '${ROOT}jobs/descriptions.ts';

export default defineJob({
  name: '${name}',
  exchangePartitions: ${partitions},
  source: samples({ topic: 'metrics.raw', outOfOrderness: '0s', lateTopic: '${name}.late', deadLetterTopic: '${name}.dead' }),
  build: (raw) => {
    const looked = raw.filter('look', (sample) => ${look});
    looked.keyBy(series).window('${window}', tumbling('1m')).aggregate(stats()).to(topic('${name}.1m', { partitions: 4 }));
${beside === undefined ? '' : besideText(name, beside)}  },
});
`;
}

function besideText(name: string, code: string): string {
  return `    looked
      .keyBy('by-host', ({ labels }) => labels.host ?? '')
      .process('beside', { state: {}, process: () => { ${code} } })
      .to(topic('${name}.beside'));
`;
}

export class DeployWorld {
  readonly directory: string;
  process: MillraceProcess | null = null;
  #starts = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  async write(file: string, choice: ModuleChoice): Promise<string> {
    const path = join(this.directory, file);
    await writeFile(path, moduleText(choice));
    return path;
  }

  /** With the job of `file` in its configuration; null: with another one. */
  async start(file = 'counted.ts', name = 'counted'): Promise<MillraceProcess> {
    const config = `import { defineConfig, directory, embedded } from '${ROOT}jobs/config.ts';
export default defineConfig({
  log: embedded({ directory: 'log' }),
  checkpoints: directory('checkpoints'),
  slots: 2,
  jobs: { '${name}': { module: './${file}', parallelism: 2, checkpointInterval: '60s' } },
});
`;
    const configPath = `config-${++this.#starts}.ts`;
    await writeFile(join(this.directory, configPath), config);
    const installation = await loadInstallation({
      ...{ configPath, workingDirectory: this.directory, environment: {}, flags: {} },
    });
    this.process = await MillraceProcess.start({
      installation,
      logger: silentLogger,
      ...{ logLevel: 'silent', pretty: false, createSource: 4, signal: new AbortController().signal },
    });
    return this.process;
  }

  get port(): AdminPort {
    if (this.process === null) throw new Error('no process runs');
    return adminPort(this.process);
  }

  async ready(): Promise<void> {
    await until('readiness', async () => (await this.port.readiness()).ready);
  }

  async over(requestId: string | null): Promise<RequestView> {
    let view: RequestView | null = null;
    await until(`end of ${requestId}`, async () => {
      view = await this.port.request(requestId ?? '');
      return view !== null && view.state !== 'RUNNING';
    });
    return view as unknown as RequestView;
  }

  asked(path: string, more: Partial<DeployAskedView> = {}): DeployAskedView {
    return { bundle: { ...packBundle(path) }, ...more };
  }

  begin(path: string, more: Partial<DeployAskedView> = {}, requestId: string | null = null): Promise<DeployedView> {
    return this.port.deployJob(this.asked(path, more), { ...TERMS, requestId });
  }

  async deploy(path: string, more: Partial<DeployAskedView> = {}) {
    const { plan, requestId } = await this.begin(path, more);
    return { plan, request: await this.over(requestId) };
  }

  async rows(count: number, job = 'counted'): Promise<string[]> {
    const log = this.process?.log;
    if (log === undefined) throw new Error('no process runs');
    await until(`${count} rows`, async () => (await rowsOf(log, job)).length >= count);
    return rowsOf(log, job);
  }

  /** As kill -9 does: nothing is written any more. */
  async kill(): Promise<void> {
    await this.process?.terminate();
    this.process = null;
  }

  async stop(): Promise<void> {
    await this.process?.stop();
    this.process = null;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}
