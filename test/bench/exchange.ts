// Owns the figures of the exchange and of the row sink, alone and from memory: nanoseconds per row written and read.
// Deterministic input; returns what was counted, so that nothing is optimised away.

import { SeriesTable } from '#operators/series/series-table.ts';
import { ExchangeSink } from '#operators/sinks/exchange-sink.ts';
import { ExchangeSource } from '#operators/sources/exchange-source.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { Batch, type OperatorContext, type Output, type SourceContext } from '#runtime/task/contract.ts';

const BATCH_ROWS = 2048;

export interface ExchangeBenchOptions {
  readonly keys: number;
  readonly partitions: number;
  /** Rows of one entry: few make the dictionary dear, many make it cheap. */
  readonly rowsPerEntry: number;
  readonly entries: number;
}

export interface ExchangeBenchResult {
  readonly writeNs: number;
  readonly readNs: number;
  readonly bytesPerRow: number;
  readonly rows: number;
}

export function benchExchange(options: ExchangeBenchOptions): ExchangeBenchResult {
  const { keys, partitions, rowsPerEntry, entries } = options;
  const state = { register: () => ({ epoch: 1, touch: () => {} }) };
  const table = new SeriesTable({ stateId: 'series' });
  table.open(state);
  for (let i = 0; i < keys; i++)
    table.slotOfText(`cpu_usage{host="host-${i}",region="eu-${i % 7}",service="checkout"}`);
  const builders = Array.from({ length: partitions }, (_, p) => new RecordBatchBuilder('x', p));
  const output: Output = {
    stagedBytes: 0,
    append: (_sink, _topic, partition, timestampMs, _key, value, start, end) =>
      builders[partition].append(timestampMs, null, 0, 0, value, start, end),
  };
  const context = {
    state,
    output,
    partition: 0,
    partitionCount: () => partitions,
    count: () => {},
  } as unknown as OperatorContext;
  const sink = new ExchangeSink({ id: 'x', sinkIndex: 0, topic: 'x', keys: table, watermarkIntervalMs: 1000 });
  sink.open(context);
  const readers = Array.from({ length: partitions }, () => {
    const source = new ExchangeSource({ id: 'x', table: new SeriesTable({ stateId: 'keys' }) });
    source.open(context as SourceContext);
    return source;
  });
  const batch = new Batch(BATCH_ROWS);
  const into = new Batch(8192);
  const walker = new RecordWalker();
  const limits = {
    cutTimestampMs: Number.POSITIVE_INFINITY,
    stopDelta: Number.MAX_SAFE_INTEGER,
    skipBelowDelta: 0,
    skewLimitMs: Number.POSITIVE_INFINITY,
    rowsMax: BATCH_ROWS,
  };
  const input = { topic: 'x', partition: 0, baseOffset: 0n, baseTimestampMs: 0 };
  let [writeMs, readMs, bytes, written, read, sequence] = [0, 0, 0, 0, 0, 0];
  for (let entry = 0; entry < entries; entry++) {
    if (entry === entries >> 2) writeMs = readMs = bytes = written = read = 0;
    for (let left = rowsPerEntry; left > 0; ) {
      batch.count = Math.min(left, BATCH_ROWS);
      left -= batch.count;
      for (let i = 0; i < batch.count; i++, sequence++) {
        batch.key[i] = sequence % keys;
        batch.timestampMs[i] = 1_700_000_000_000 + Math.floor(sequence / 100) + (sequence % 5) * 100;
        batch.value[i] = Math.sin(sequence);
        batch.originOffset[i] = sequence;
      }
      const started = cpuMs();
      sink.process(batch);
      writeMs += cpuMs() - started;
      written += batch.count;
    }
    const started = cpuMs();
    sink.endEntry({ watermarkMs: 1_700_000_000_000 + entry, clockMs: entry * 200, idle: false });
    writeMs += cpuMs() - started;
    for (let partition = 0; partition < partitions; partition++) {
      if (builders[partition].recordCount === 0) continue;
      const staged = builders[partition].finish();
      bytes += staged.bytes.length;
      const startedReading = cpuMs();
      walker.reset(staged.bytes, BATCH_HEADER_BYTES, staged.bytes.length, staged.recordCount);
      while (walker.left > 0) {
        into.clear();
        readers[partition].decode(input, walker, limits, into);
        read += into.count;
      }
      readMs += cpuMs() - startedReading;
    }
  }
  return {
    writeNs: (writeMs * 1e6) / written,
    readNs: (readMs * 1e6) / read,
    bytesPerRow: bytes / written,
    rows: read,
  };
}

/** CPU time of this thread: other work on the machine does not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
