// Owns the figures of decoding JSON samples and encoding rollup rows, alone and from memory: nanoseconds of CPU time per
// sample or row. Run: npx node test/bench/decode.ts [--json]. Prints a check sum of what was computed.

import { JsonRowEncoder } from '#operators/formats/json-rows.ts';
import { JsonSampleDecoder } from '#operators/formats/json-sample-decoder.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { SamplesSource } from '#operators/sources/samples-source.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { Batch, type SourceContext } from '#runtime/task/contract.ts';

interface Figure {
  readonly name: string;
  readonly nsPerItem: number;
  readonly check: number;
}

const registry = { register: () => ({ epoch: 1, touch: () => {} }) };

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Fields {
  readonly name: string;
  readonly timestamp: string;
  readonly value: string;
  readonly labels: string;
}

type Spelling = (fields: Fields, index: number) => string;

const contractOrder: Spelling = (f) =>
  `{"metric_name":"${f.name}","timestamp":${f.timestamp},"value":${f.value},"labels":${f.labels}}`;

const shuffled: Spelling = (f, index) => {
  const parts = [
    `"metric_name":"${f.name}"`,
    `"timestamp":${f.timestamp}`,
    `"value":${f.value}`,
    `"labels":${f.labels}`,
  ];
  const order = [index % 4, (index >> 2) % 3, (index >> 4) % 2, 0].map((at) => parts.splice(at, 1)[0]);
  return `{${order.join(',')}}`;
};

const spaced: Spelling = (f) =>
  `{"metric_name": "${f.name}", "timestamp": ${f.timestamp}, "value": ${f.value}, "labels": ${f.labels}}`;

/** Record values side by side, 10,000 series or more in random order. */
function samples(
  count: number,
  seriesCount: number,
  spell: Spelling,
  digits: number,
): { bytes: Buffer; ends: Int32Array } {
  const next = random(7);
  const ends = new Int32Array(count);
  const chunks: Buffer[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const s = Math.floor(next() * seriesCount);
    const labels = `{"host":"host-${String(s).padStart(5, '0')}","region":"eu-west-${s % 4}","service":"s-${s % 100}"}`;
    const value = digits === 2 ? String(Math.round(next() * 10000) / 100) : String(next() * 100);
    const text = spell(
      { name: 'cpu_usage', timestamp: String(1700000000000 + i), value, labels },
      Math.floor(next() * 64),
    );
    chunks.push(Buffer.from(text));
    at += text.length;
    ends[i] = at;
  }
  chunks.push(Buffer.alloc(64));
  return { bytes: Buffer.concat(chunks), ends };
}

function measure(name: string, items: number, rounds: number, run: () => number): Figure {
  let best = Number.POSITIVE_INFINITY;
  let check = 0;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    check = run();
    const used = process.cpuUsage(before);
    best = Math.min(best, ((used.user + used.system) * 1000) / items);
  }
  return { name, nsPerItem: Math.round(best), check };
}

function benchDecode(
  name: string,
  count: number,
  rounds: number,
  seriesCount: number,
  spell: Spelling,
  digits = 2,
): Figure {
  const { bytes, ends } = samples(count, seriesCount, spell, digits);
  const table = new SeriesTable({ stateId: 'bench/series' });
  table.open(registry);
  const decoder = new JsonSampleDecoder({ table });
  const origin = { partition: 0, offset: 0, timestampMs: 0, headersAt: -1, skewLimitMs: Number.POSITIVE_INFINITY };
  const batch = new Batch(4096);
  return measure(`${name}, ${Math.round(ends[count - 1] / count)} B`, count, rounds, () => {
    let start = 0;
    let sum = 0;
    batch.clear();
    for (let i = 0; i < count; i++) {
      origin.offset = i;
      decoder.decode(bytes, start, ends[i], origin, batch);
      start = ends[i];
      if (batch.count < 2048) continue;
      sum += batch.value[7] + batch.key[11];
      batch.clear();
    }
    return sum + decoder.parsedRecords;
  });
}

function benchSource(count: number, rounds: number): Figure {
  const { bytes, ends } = samples(count, 10_000, contractOrder, 2);
  const builder = new RecordBatchBuilder('raw', 0);
  for (let i = 0; i < count; i++) builder.append(0, null, 0, 0, bytes, i === 0 ? 0 : ends[i - 1], ends[i]);
  const staged = builder.finish().bytes;
  const source = new SamplesSource({
    id: 'samples',
    table: new SeriesTable({ stateId: 'bench/series' }),
    format: 'json',
    partitionedBy: 'series',
  });
  source.open({ state: registry, count: () => {}, partitionCount: () => 1 } as unknown as SourceContext);
  const walker = new RecordWalker();
  const batch = new Batch(2049);
  const limits = {
    cutTimestampMs: Number.POSITIVE_INFINITY,
    stopDelta: Number.MAX_SAFE_INTEGER,
    skipBelowDelta: 0,
    skewLimitMs: Number.POSITIVE_INFINITY,
    rowsMax: 2048,
  };
  const input = { topic: 'raw', partition: 0, baseOffset: 0n, baseTimestampMs: 0 };
  return measure('source: walk and decode, contract order', count, rounds, () => {
    walker.reset(staged, 61, staged.length, count);
    let sum = 0;
    while (walker.left > 0) {
      batch.clear();
      source.decode(input, walker, limits, batch);
      sum += batch.value[3] + batch.key[5];
    }
    return sum;
  });
}

function benchRows(name: string, count: number, rounds: number, decimals: number): Figure {
  const table = new SeriesTable({ stateId: 'bench/series' });
  table.open(registry);
  for (let i = 0; i < 10_000; i++)
    table.slotOfText(`cpu_usage{host="host-${i}",region="eu-west-${i % 4}",service="s-${i % 100}"}`);
  const next = random(3);
  const values = Float64Array.from(
    { length: count * 3 },
    () => Math.round(next() * 100 * 10 ** decimals) / 10 ** decimals,
  );
  const encoder = new JsonRowEncoder('1m');
  const out = new ByteWriter(1 << 16);
  return measure(name, count, rounds, () => {
    let sum = 0;
    out.clear();
    for (let i = 0; i < count; i++) {
      if (out.length > 32 * 1024) out.clear();
      const at = i * 3;
      const total = values[at] + values[at + 1] + values[at + 2];
      const end = 1700000040000 + 60000 * (i >> 10);
      // Percentiles are middles of sketch buckets: few different numbers, most of them long.
      const p50 = 2 ** ((Math.round(Math.log2(values[at] + 1) * 64) + 0.5) / 64);
      const p95 = 2 ** ((Math.round(Math.log2(values[at + 2] + 1) * 64) + 0.5) / 64);
      const json = table.jsonBytes(i % 10_000);
      encoder.encode(
        out,
        json,
        end - 60000,
        end,
        3,
        total,
        values[at],
        values[at + 1],
        total / 3,
        p50,
        p95,
        values[at + 1],
        0,
        0,
      );
      sum += out.bytes[out.length - 3] + out.length;
    }
    return sum;
  });
}

export function decodeFigures(count: number, rounds: number): Figure[] {
  return [
    benchDecode('decode, contract order, 10,000 series', count, rounds, 10_000, contractOrder),
    benchDecode('decode, contract order, 100,000 series', count, rounds, 100_000, contractOrder),
    benchDecode('decode, values of 15 to 17 digits', count, rounds, 10_000, contractOrder, 17),
    benchDecode('decode, shuffled fields', count, rounds, 10_000, shuffled),
    benchDecode('decode, spaces between', count, rounds, 10_000, spaced),
    benchSource(count, rounds),
    benchRows('rows, samples of 2 decimals', count, rounds, 2),
    benchRows('rows, samples of 15 to 17 digits', count, rounds, 14),
  ];
}

if (import.meta.main) {
  for (const figure of decodeFigures(400_000, 6)) {
    const line = `${figure.name}: ${figure.nsPerItem} ns (check ${figure.check})\n`;
    process.stdout.write(process.argv.includes('--json') ? `${JSON.stringify(figure)}\n` : line);
  }
}
