// Owns the figures of the writer to time-series databases: from record batches in memory to acknowledged requests, over
// HTTP to a receiver in a process of its own that reads and answers and does nothing else.

import { spawn } from 'node:child_process';
import { compileJob } from '#jobs/compile.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import tsdbWriter from '#jobs/tsdb-writer.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder } from '#runtime/log/record-batch.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { StageRunner } from '#runtime/task/stage-runner.ts';
import { StatePages } from '#test/operators/windows/state-pages.ts';
import { type Bench, type Figure, median } from './figure.ts';

const SECOND_MS = 1_000;
const START_MS = 1_700_000_000_000;

export interface RemoteWriteShape {
  readonly reads: 'samples' | 'rows';
  readonly mode: 'final' | 'replaceable';
  readonly series: number;
  /** Samples, or windows, per series. */
  readonly rounds: number;
  readonly recordsPerBatch: number;
}

export interface RemoteWriteResult {
  /** Samples sent. */
  readonly samples: number;
  readonly requests: number;
  readonly bodyBytes: number;
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
}

/** Runs the whole stage of one partition to the end of its input. */
export async function benchRemoteWrite(shape: RemoteWriteShape, url: string): Promise<RemoteWriteResult> {
  const target = { name: 'bench', url, mode: shape.mode };
  const topic = shape.reads === 'samples' ? 'raw' : 'rows';
  const reads = shape.reads === 'samples' ? { rollups: false as const, raw: topic } : { rollups: [topic] };
  const job = compileJob(tsdbWriter({ targets: [target], outOfOrderness: '0s', rawOutOfOrderness: '0s', ...reads }));
  const run = { namespace: 'bench', job: 'tsdb-writer', run: 'live', generation: 0 };
  const sources = { [topic]: { partitionCount: 1, maxMessageBytes: 1_000_000 } };
  const [plan] = taskPlans({ job, version: 'v', run, sources });
  const partitionCounts = Object.fromEntries(plan.topics.map((name) => [name, 1]));
  const counts = new Map<string, number>();
  const count = (counter: string, by: number) => void counts.set(counter, (counts.get(counter) ?? 0) + by);
  const program = plan.program(partitionCounts);
  const state = new StatePages();
  const runner = new StageRunner({
    ...{ program, partition: 0, partitionCounts, writers: 0, state, count },
    commitBytesMax: 4 << 20,
  });
  const batches = [...inputOf(shape, topic)];
  const { signal } = new AbortController();
  const context = { clock: systemClock, logger: silentLogger, signal, task: 'bench', seed: 'bench' };
  let offset = 0n;
  const [cpuBefore, startMs] = [process.cpuUsage(), performance.now()];
  runner.inputOffset = 0n;
  let full = false;
  for (let at = 0; at < batches.length || full; ) {
    full = !runner.begin({ clockMs: START_MS + 10 * 86_400_000, idleSinceMs: null });
    while (!full && at < batches.length) {
      if (!runner.hasBatch) {
        const { bytes, recordCount } = batches[at];
        runner.take(
          {
            ...{ bytes, start: BATCH_HEADER_BYTES, end: bytes.length, count: recordCount, baseOffset: offset },
            ...{ baseTimestampMs: START_MS, skipBelowDelta: 0, nextOffset: offset + BigInt(recordCount) },
            release: () => {},
          },
          topic,
          0,
        );
        offset += BigInt(recordCount);
      }
      full = !runner.consume(null) || runner.full || runner.bytesConsumed >= 4 << 20;
      if (!runner.hasBatch) at++;
    }
    runner.end();
    for (const effect of runner.effects) await effect.flush({ ...context, output: runner.output.outside });
    runner.output.discard();
  }
  const cpu = process.cpuUsage(cpuBefore);
  for (const effect of runner.effects) effect.close();
  const samples = counts.get('items-taken') ?? 0;
  return {
    samples,
    requests: counts.get('requests') ?? 0,
    bodyBytes: counts.get('bytes-sent') ?? 0,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    wallSeconds: (performance.now() - startMs) / 1_000,
  };
}

function* inputOf({ reads, recordsPerBatch, rounds, series }: RemoteWriteShape, topic: string) {
  const builder = new RecordBatchBuilder(topic, 0);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < series; i++) {
      const labels = { host: `host-${i}`, region: `eu-${i % 7}`, service: 'checkout' };
      const value = Buffer.from(
        JSON.stringify(reads === 'samples' ? sampleOf(i, round, labels) : rowOf(i, round, labels)),
      );
      builder.append(START_MS, null, 0, 0, value, 0, value.length);
      if (builder.recordCount === recordsPerBatch) yield builder.finish();
    }
  }
  if (builder.recordCount > 0) yield builder.finish();
}

function sampleOf(i: number, round: number, labels: object): object {
  const timestamp = START_MS + round * SECOND_MS;
  return { metric_name: 'cpu_usage', timestamp, value: ((i * 7_919 + round * 104_729) % 10_000) / 100, labels };
}

function rowOf(i: number, round: number, labels: object): object {
  const start = START_MS - (START_MS % 60_000) + round * 60_000;
  const x = ((i * 7_919 + round * 104_729) % 10_000) / 100;
  const values = {
    count: 60,
    sum: x * 60.1,
    min: x / 3,
    max: x * 1.7,
    avg: (x * 60.1) / 60,
    p50: x,
    p95: x * 1.5,
    p99: x * 1.6,
  };
  const window = { resolution: '1m', window_start: start, window_end: start + 60_000 };
  return { metric_name: 'cpu_usage', labels, ...window, ...values, run: 0, revision: 0 };
}

const SINK_SERVER = `require('node:http').createServer((request, response) => {
  request.resume();
  request.on('end', () => response.writeHead(204).end());
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;

/** Address of a receiver in a process of its own, while `use` runs. */
export async function withSinkServer<T>(use: (url: string) => Promise<T>): Promise<T> {
  const child = spawn(process.execPath, ['-e', SINK_SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const port = await new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
    );
    return await use(`http://127.0.0.1:${port}/api/v1/write`);
  } finally {
    child.kill('SIGKILL');
  }
}

const SHAPES: readonly (readonly [string, RemoteWriteShape])[] = [
  ['samples.replaceable', { reads: 'samples', mode: 'replaceable', series: 10_000, rounds: 100, recordsPerBatch: 500 }],
  ['samples.final', { reads: 'samples', mode: 'final', series: 10_000, rounds: 50, recordsPerBatch: 500 }],
  ['rows.replaceable', { reads: 'rows', mode: 'replaceable', series: 10_000, rounds: 20, recordsPerBatch: 200 }],
  ['rows.final', { reads: 'rows', mode: 'final', series: 10_000, rounds: 20, recordsPerBatch: 200 }],
];

export const remoteWriteBench: Bench = {
  name: 'remote-write',
  summary: 'samples and rollup rows from record batches to acknowledged remote-write requests',
  always: true,
  run: ({ repeat }) =>
    withSinkServer(async (url) => {
      const figures: Figure[] = [];
      for (const [name, shape] of SHAPES) {
        const runs: RemoteWriteResult[] = [];
        for (let i = 0; i < repeat; i++) runs.push(await benchRemoteWrite(shape, url));
        const { requests, samples } = runs[0];
        const of = (value: (run: RemoteWriteResult) => number) => median(runs.map(value));
        const note = `${samples} samples in ${requests} requests`;
        figures.push(
          {
            name: `remote_write.${name}.cpu`,
            value: of((one) => (one.cpuSeconds / samples) * 1e6),
            unit: 'CPU-s per M samples',
            note,
          },
          {
            name: `remote_write.${name}.rate`,
            value: of((one) => samples / one.wallSeconds / 1_000),
            unit: 'k samples/s',
          },
        );
      }
      return figures;
    }),
};
