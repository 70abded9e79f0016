// Owns one run of the writer between a log and real databases: the servers, proxies in front of them, the installation.
// What happens to them meanwhile is the test's business.

import { type StoredSamples, TsdbServer } from '#test/harness/tsdb.ts';
import { type SeenRequest, type Verdict, WriteProxy, type WrittenSample } from '#test/harness/write-proxy.ts';
import { until } from './oracle/until.ts';
import { Installation, type InstallationOptions, type Product } from './process-harness.ts';

const PATIENCE_MS = 120_000;

export interface Target {
  readonly server: TsdbServer;
  readonly proxy: WriteProxy;
}

/** A server with a proxy in front. */
export async function startTarget(program: 'prometheus' | 'victoria-metrics'): Promise<Target> {
  const server = await TsdbServer.start(program);
  return { server, proxy: await WriteProxy.start({ to: server.writeUrl }) };
}

export async function removeTarget({ proxy, server }: Target): Promise<void> {
  await proxy.stop();
  await server.remove();
}

/** An installation with the writer as its only job. */
export function writerInstallation(
  options: Readonly<Record<string, unknown>>,
  more: Partial<InstallationOptions> = {},
): Promise<Installation> {
  const job = {
    module: 'jobs/tsdb-writer.ts',
    parallelism: 2,
    checkpointInterval: '1s',
    options: { outOfOrderness: '0s', idleness: '1h', commitInterval: '50ms', ...options },
  };
  return Installation.create({ ...more, jobs: { 'tsdb-writer': job } });
}

/** Until the proxy passed on so many samples in all. */
export async function untilTaken(proxy: WriteProxy, count: number, product: Product): Promise<void> {
  const done = () => !product.running || proxy.taken.length >= count;
  await until(done, `${count} samples taken`, PATIENCE_MS, () => `${proxy.taken.length} taken\n${product.tail()}`);
  if (!product.running) throw new Error(`the process ended by itself:\n${product.tail()}`);
}

/** Until the server holds every expected sample; `differences` says what is wrong, empty when nothing is. */
export async function untilStored(
  server: TsdbServer,
  differences: (stored: StoredSamples) => string,
  product: Product,
): Promise<void> {
  let last = 'nothing was asked';
  const done = async () => {
    if (!product.running) return true;
    last = differences(await server.samples());
    return last === '';
  };
  await until(done, `${server.program} to hold every row`, PATIENCE_MS, () => `${last}\n${product.tail(20)}`);
  if (!product.running) throw new Error(`the process ended by itself:\n${product.tail()}`);
}

/** Series whose samples came to the receiver in another order than that of time, repetitions aside. */
export function outOfOrder(taken: readonly WrittenSample[]): string[] {
  const wrong = new Set<string>();
  const seen = new Map<string, Set<number>>();
  const latest = new Map<string, number>();
  for (const { series, timestampMs } of taken) {
    const times = seen.get(series) ?? new Set<number>();
    seen.set(series, times);
    if (times.has(timestampMs)) continue;
    times.add(timestampMs);
    if (timestampMs < (latest.get(series) ?? Number.NEGATIVE_INFINITY)) wrong.add(series);
    latest.set(series, timestampMs);
  }
  return [...wrong];
}

/** A judge that makes all kinds of trouble, now and then; a request with a sample that `isBad` is refused whole. */
export function troubled(isBad: (sample: WrittenSample) => boolean): (request: SeenRequest) => Verdict {
  return ({ index, samples }) => {
    if (index % 23 === 3) return { status: 500, body: 'broken for a moment' };
    if (index % 67 === 5) return { status: 429, body: 'too much at once', retryAfter: '1' };
    if (index % 31 === 6) return { status: 503 };
    if (index % 29 === 4) return 'cut';
    if (samples.some(isBad)) return { status: 400, body: 'this series is not welcome' };
    return index % 5 === 1 ? 'lose-answer' : 'pass';
  };
}
