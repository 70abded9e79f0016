// Owns the figure that counts: CPU seconds per million samples of the whole process, ours and Flink's (heap state) on
// the same topic in the same run, in turn, the broker left out. Each result is verified against the input's manifest.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { type KafkaHandle, startKafka } from '#test/harness/kafka.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { createTopic } from '../integration/oracle/kafka-feed.ts';
import { Installation } from '../integration/process-harness.ts';
import { ChildUsage } from './child-usage.ts';
import { type Bench, type BenchOptions, type Figure, median } from './figure.ts';
import { buildPeers, peerSources, readPairs, runPeer } from './peers/peer-build.ts';
import { checkRows } from './peers/row-verdict.ts';

const INPUT = 'b-json';
const PARTITIONS = 8;
const RUN_LIMIT_MS = 600_000;
const FLINK_JVM = [
  '-Xms4g',
  '-Xmx4g',
  '-XX:+UseParallelGC',
  ...['java.util', 'java.lang', 'java.nio'].map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`),
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
];

interface Run {
  readonly cpuSeconds: number;
  /** From the start of the process to its last committed row. */
  readonly wallSeconds: number;
  readonly peakRssMiB: number;
}

interface Arena {
  readonly kafka: KafkaHandle;
  readonly admin: Admin;
  readonly built: string;
  readonly work: string;
  readonly manifest: ReadonlyMap<string, number>;
}

export const endToEnd: Bench = {
  name: 'e2e',
  summary: '1-minute rollups of 100,000 series from Kafka to Kafka, exactly once, against Flink (heap)',
  always: true,
  async run(options) {
    const sources = peerSources();
    if (sources === null) {
      options.progress('e2e: left out, there are no peers to compare with: name them with MILLRACE_PEERS');
      return [];
    }
    options.progress('e2e: building the peers');
    const built = await buildPeers(sources);
    const work = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
    const kafka = await startKafka({ own: true, heapMiB: 1024 });
    const admin = kafkaJs(kafka.brokers).admin();
    try {
      await admin.connect();
      options.progress(`e2e: generating ${options.minutes} minutes, ${options.minutes * 0.6} M samples`);
      return await compare(
        { kafka, admin, built, work, manifest: await makeInput(kafka, built, work, options) },
        options,
      );
    } finally {
      await admin.disconnect();
      await kafka.stop();
      await rm(work, { recursive: true, force: true });
    }
  },
};

async function makeInput(kafka: KafkaHandle, built: string, work: string, options: BenchOptions) {
  const env = {
    BROKER: kafka.brokers[0],
    TOPIC: INPUT,
    FORMAT: 'json',
    MINUTES: `${options.minutes}`,
    MANIFESTS: work,
  };
  await runPeer({ built, module: 'common', main: 'Gen', jvm: ['-Xmx1g'], env });
  return readPairs(await readFile(join(work, `${INPUT}.txt`), 'utf8'));
}

const ENGINES = { flink: runFlink, millrace: runMillrace } as const;

async function compare(arena: Arena, options: BenchOptions): Promise<Figure[]> {
  const engines = Object.entries(ENGINES).filter(([name]) => options.engines.includes(name));
  const runs = new Map<string, Run[]>(engines.map(([name]) => [name, []]));
  for (let round = 0; round < options.repeat; round++) {
    for (const [name, run] of engines) {
      options.progress(`e2e: ${name}, run ${round + 1} of ${options.repeat}`);
      const result = await run(arena, round);
      options.progress(`e2e: ${name} used ${result.cpuSeconds.toFixed(2)} CPU-s in ${result.wallSeconds.toFixed(1)} s`);
      runs.get(name)?.push(result);
    }
  }
  const millions = (arena.manifest.get('samples') ?? Number.NaN) / 1e6;
  const of = (name: string, field: keyof Run) => median((runs.get(name) ?? []).map((run) => run[field]));
  const figures = engines.flatMap(([name]): Figure[] => [
    { name: `e2e.${name}.cpu_per_M`, value: of(name, 'cpuSeconds') / millions, unit: 'CPU-s per M samples' },
    { name: `e2e.${name}.wall`, value: of(name, 'wallSeconds'), unit: 's' },
    { name: `e2e.${name}.rss`, value: of(name, 'peakRssMiB'), unit: 'MiB' },
  ]);
  if (engines.length < 2) return figures;
  const value = of('flink', 'cpuSeconds') / of('millrace', 'cpuSeconds');
  const note = `${millions} M samples, median of ${options.repeat}`;
  return [...figures, { name: 'e2e.ratio', value, unit: 'times less CPU than Flink', note }];
}

/** Retention would take the rows, which lie at a fixed time, for old: the topic is made here, without any. */
function makeOutput({ brokers }: KafkaHandle, topic: string): Promise<void> {
  return createTopic(kafkaJs(brokers), topic, PARTITIONS);
}

async function runFlink({ kafka, built, work }: Arena, round: number): Promise<Run> {
  const output = `b-flink-${round}`;
  await makeOutput(kafka, output);
  const env = {
    BROKER: kafka.brokers[0],
    TOPIC: INPUT,
    OUT_TOPIC: output,
    MANIFESTS: work,
    CKPT_DIR: join(work, output),
  };
  const started = performance.now();
  const { usage } = await runPeer({ built, module: 'flink', main: 'FlinkRollup', jvm: FLINK_JVM, env });
  const wallSeconds = (performance.now() - started) / 1000;
  const { output: verdict } = await runPeer({ built, module: 'common', main: 'Verify', jvm: ['-Xmx3g'], env });
  if (!verdict.includes('VERIFY OK')) throw new Error(`Flink's rows are wrong: ${verdict}`);
  return { cpuSeconds: usage.cpuSeconds, wallSeconds, peakRssMiB: usage.peakRssMiB };
}

async function runMillrace({ kafka, admin, manifest }: Arena, round: number): Promise<Run> {
  const output = `b-millrace-${round}`;
  await makeOutput(kafka, output);
  const installation = await Installation.create({
    brokers: kafka.brokers,
    namespace: `bench-${round}`,
    env: { LOG_LEVEL: 'warn' },
    jobs: {
      'rollup-1m': {
        module: 'test/bench/peers/rollup-1m.job.ts',
        parallelism: 2,
        checkpointInterval: '10s',
        options: { source: INPUT, output },
      },
    },
  });
  try {
    const started = performance.now();
    const product = installation.start();
    const usage = new ChildUsage(product.pid);
    const finished = await lastRow(admin, output, manifest.get('rows1m') ?? 0, () => product.running);
    const exit = await product.stop();
    usage.stop();
    if (exit.code !== 0) throw new Error(`the run ended with ${JSON.stringify(exit)}:\n${product.tail()}`);
    const faults = await checkRows(kafka.brokers, output, manifest);
    if (faults !== '') throw new Error(`our rows are wrong: ${faults}\n${product.tail()}`);
    await admin.deleteTopics({ topics: [output] });
    return { cpuSeconds: usage.cpuSeconds, wallSeconds: (finished - started) / 1000, peakRssMiB: usage.peakRssMiB };
  } catch (error) {
    throw new Error(`${error}\n${installation.report()}`);
  } finally {
    await installation.remove();
  }
}

/** The time of the last growth of the topic, once it holds the rows and has not grown for two seconds. */
async function lastRow(admin: Admin, topic: string, rows: number, running: () => boolean): Promise<number> {
  const deadline = performance.now() + RUN_LIMIT_MS;
  let length = 0;
  let grown = performance.now();
  for (;;) {
    const offsets = await admin.fetchTopicOffsets(topic);
    const now = performance.now();
    const longer = offsets.reduce((sum, { high }) => sum + Number(high), 0);
    if (longer > length) [length, grown] = [longer, now];
    if (length >= rows && now - grown > 2000) return grown;
    if (!running() || now > deadline) throw new Error(`${length} of ${rows} rows and then no more`);
    await sleep(100);
  }
}
