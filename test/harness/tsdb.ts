// Owns a real Prometheus or VictoriaMetrics as a child process: its directory, start, SIGKILL, and what it says it holds.
// Loopback only; ends with this process. Knows their query APIs and nothing of the product.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#test/harness/kafka.ts';
import { type TsdbProgram, tsdbBinary } from '#test/harness/tsdb-binaries.ts';

/** Samples by series (`name{label="…"}`, labels sorted): values by timestamp; several where the store keeps several. */
export type StoredSamples = Map<string, Map<number, number[]>>;

const PROMETHEUS_CONFIG = 'global: { scrape_interval: 1h }\n';
const READY_MS = 30_000;

export class TsdbServer {
  readonly program: TsdbProgram;
  readonly port: number;
  readonly #directory: string;
  readonly #binary: string;
  readonly #flags: readonly string[];
  #child: ChildProcess | null = null;
  #said = '';
  readonly #endWithUs = () => {
    this.#child?.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  };

  private constructor(program: TsdbProgram, binary: string, port: number, directory: string, flags: readonly string[]) {
    this.program = program;
    this.port = port;
    this.#binary = binary;
    this.#directory = directory;
    this.#flags = flags;
    process.once('exit', this.#endWithUs);
  }

  /** Starts one and waits until it answers. `flags` are more arguments of its command line. */
  static async start(program: TsdbProgram, flags: readonly string[] = []): Promise<TsdbServer> {
    const binary = await tsdbBinary(program);
    const [port] = await freePorts(1);
    const directory = await mkdtemp(join(tmpdir(), `millrace-${program}-`));
    await writeFile(join(directory, 'prometheus.yml'), PROMETHEUS_CONFIG);
    const server = new TsdbServer(program, binary, port, directory, flags);
    await server.start();
    return server;
  }

  get address(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Where remote write goes. */
  get writeUrl(): string {
    return `${this.address}/api/v1/write`;
  }

  async start(): Promise<void> {
    const child = spawn(this.#binary, [...this.#arguments(), ...this.#flags], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#said = (this.#said + chunk.toString()).slice(-4_000);
    });
    const path = this.program === 'prometheus' ? '/-/ready' : '/health';
    const deadline = performance.now() + READY_MS;
    while (!(await answers(this.address + path))) {
      if (child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`${this.program} did not start: ${this.#said}`);
      }
      await sleep(50);
    }
  }

  #arguments(): string[] {
    const listen = `127.0.0.1:${this.port}`;
    return this.program === 'prometheus'
      ? [
          `--config.file=${join(this.#directory, 'prometheus.yml')}`,
          `--storage.tsdb.path=${join(this.#directory, 'data')}`,
          '--storage.tsdb.retention.time=100y',
          `--web.listen-address=${listen}`,
          '--web.enable-remote-write-receiver',
          '--query.max-samples=500000000',
        ]
      : [
          `-storageDataPath=${join(this.#directory, 'data')}`,
          `-httpListenAddr=${listen}`,
          '-retentionPeriod=100y',
          '-search.maxExportSeries=10000000',
          // Of samples sent again after a lost answer one is left; without it queries see both.
          '-dedup.minScrapeInterval=1ms',
        ];
  }

  /**
   * SIGKILL, and waits until it is gone. Prometheus has written to its log what it acknowledged; VictoriaMetrics loses its
   * last seconds, as it says: `stop` ends it without loss.
   */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** SIGTERM, and waits until it is gone. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** Kills it and removes its data. */
  async remove(): Promise<void> {
    await this.kill();
    process.off('exit', this.#endWithUs);
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Every sample of series whose name matches, by its query API; from Prometheus without stale markers. */
  async samples(namePattern = '.+'): Promise<StoredSamples> {
    return this.program === 'prometheus' ? this.#queryPrometheus(namePattern) : this.#exportVictoria(namePattern);
  }

  async #queryPrometheus(namePattern: string): Promise<StoredSamples> {
    // Two days, that end a day from now.
    const time = Math.floor(Date.now() / 1_000) + 86_400;
    const query = `{__name__=~"${namePattern}"}[30d]`;
    const body = new URLSearchParams({ query, time: String(time) });
    const answer = (await post(`${this.address}/api/v1/query`, body)) as {
      data: { result: { metric: Record<string, string>; values: [number, string][] }[] };
    };
    const stored: StoredSamples = new Map();
    for (const { metric, values } of answer.data.result) {
      const byTime = new Map<number, number[]>();
      for (const [seconds, value] of values) byTime.set(Math.round(seconds * 1_000), [goNumber(value)]);
      stored.set(seriesText(metric), byTime);
    }
    return stored;
  }

  async #exportVictoria(namePattern: string): Promise<StoredSamples> {
    await fetch(`${this.address}/internal/force_flush`);
    const match = `{__name__=~"${namePattern}"}`;
    const response = await fetch(`${this.address}/api/v1/export?${new URLSearchParams({ 'match[]': match })}`);
    const stored: StoredSamples = new Map();
    for (const line of (await response.text()).split('\n')) {
      if (line === '') continue;
      // It writes infinities as JSON does not know them.
      const { metric, timestamps, values } = JSON.parse(line.replace(/(?<=[[,])[+-]?Inf(?=[\],])/g, '"$&"')) as {
        metric: Record<string, string>;
        timestamps: number[];
        values: (number | string | null)[];
      };
      const name = seriesText(metric);
      const byTime = stored.get(name) ?? new Map<number, number[]>();
      stored.set(name, byTime);
      for (const [i, at] of timestamps.entries()) byTime.set(at, [...(byTime.get(at) ?? []), exportedValue(values[i])]);
    }
    return stored;
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

async function post(url: string, body: URLSearchParams): Promise<unknown> {
  const response = await fetch(url, { method: 'POST', body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text.slice(0, 500)}`);
  return JSON.parse(text);
}

function goNumber(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}

/** Stale markers, which are null, are NaN. */
function exportedValue(exported: number | string | null): number {
  return typeof exported === 'string' ? goNumber(exported) : (exported ?? Number.NaN);
}

/** `name{a="…",b="…"}`, values as JSON writes them: only to be compared with itself. */
export function seriesText({ __name__: name, ...labels }: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `${name}{${pairs.map(([label, value]) => `${label}=${JSON.stringify(value)}`).join(',')}}`;
}
