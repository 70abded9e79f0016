// Owns the figures of decoding samples in formats other than JSON: nanoseconds of CPU time per sample, from memory, with
// 10,000 known series. Also writing remote-write requests. Prints a check sum of what was computed.

import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { encodeSeriesLabels, encodeWriteRequest } from '#operators/formats/remote-write-encoder.ts';
import { type SampleFormatName, sampleDecoder } from '#operators/formats/sample-format.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { Batch } from '#runtime/task/contract.ts';

export interface FormatFigure {
  readonly name: string;
  readonly nsPerItem: number;
  readonly check: number;
}

const SERIES = 10_000;
const START_MS = 1_700_000_000_000;
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

interface Sample {
  readonly series: number;
  readonly timestampMs: number;
  readonly value: number;
}

function samplesOf(count: number): Sample[] {
  const next = random(7);
  return Array.from({ length: count }, (_, i) => ({
    series: Math.floor(next() * SERIES),
    timestampMs: START_MS + i,
    value: Math.round(next() * 10_000) / 100,
  }));
}

const host = (series: number): string => `host-${String(series).padStart(5, '0')}`;

/** Records side by side with slack behind, as in a fetch. */
interface Records {
  readonly bytes: Buffer;
  readonly ends: Int32Array;
}

function sideBySide(records: readonly Buffer[]): Records {
  const ends = new Int32Array(records.length);
  let at = 0;
  for (const [i, record] of records.entries()) ends[i] = at += record.length;
  return { bytes: Buffer.concat([...records, Buffer.alloc(64)]), ends };
}

function groups<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
}

function avroRecords(samples: readonly Sample[]): Buffer[] {
  const schema = parseAvroSchema(AVRO_SCHEMA);
  if (typeof schema === 'string') return [];
  return samples.map(({ series, timestampMs, value }) => {
    const labels = { host: host(series), region: `eu-west-${series % 4}`, service: `s-${series % 100}` };
    return schema.encode({ metric_name: 'cpu_usage', timestamp: timestampMs, value, labels });
  });
}

const AVRO_SCHEMA = {
  type: 'record',
  name: 'Sample',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'timestamp', type: 'long' },
    { name: 'value', type: 'double' },
    { name: 'labels', type: { type: 'map', values: 'string' } },
  ],
};

function influxRecords(samples: readonly Sample[], lines: number): Buffer[] {
  const line = ({ series, timestampMs, value }: Sample): string =>
    `cpu,host=${host(series)},region=eu-west-${series % 4},service=s-${series % 100} user=${value},system=${series}i ${timestampMs}000000\n`;
  return groups(samples, lines * 2).map((group) =>
    Buffer.from(
      groups(group, 2)
        .map((pair) => line(pair[0]))
        .join(''),
    ),
  );
}

function allLabels(): Buffer[] {
  return Array.from({ length: SERIES }, (_, series) =>
    encodeSeriesLabels('cpu_usage', [
      ['host', host(series)],
      ['region', `eu-west-${series % 4}`],
      ['service', `s-${series % 100}`],
    ]),
  );
}

function columnsOf(samples: readonly Sample[], labels: readonly Uint8Array[]) {
  return {
    count: samples.length,
    series: Int32Array.from(samples, ({ series }) => series),
    timestampMs: Float64Array.from(samples, ({ timestampMs }) => timestampMs),
    value: Float64Array.from(samples, ({ value }) => value),
    labels,
  };
}

function remoteWriteRecords(samples: readonly Sample[], size: number): Buffer[] {
  const labels = allLabels();
  const scratch = new ByteWriter(1 << 16);
  return groups(samples, size).map((group) => encodeWriteRequest(scratch, columnsOf(group, labels)));
}

// The little of protobuf that an OTLP request needs.
function field(tag: number, ...parts: readonly Buffer[]): Buffer {
  const out = new ByteWriter(64);
  out.uvarint(tag);
  out.uvarint(parts.reduce((sum, part) => sum + part.length, 0));
  for (const part of parts) out.raw(part);
  return out.toBytes();
}

function fixed(tag: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = tag;
  write(bytes);
  return bytes;
}

function otlpRecords(samples: readonly Sample[], size: number): Buffer[] {
  const text = (value: string): Buffer => field(0x12, field(0x0a, Buffer.from(value)));
  const attribute = (tag: number, key: string, value: string): Buffer =>
    field(tag, field(0x0a, Buffer.from(key)), text(value));
  const resource = field(0x0a, attribute(0x0a, 'service.name', 'shop'), attribute(0x0a, 'service.instance.id', 'i-1'));
  const point = ({ series, timestampMs, value }: Sample): Buffer =>
    field(
      0x0a,
      fixed(0x19, (bytes) => bytes.writeBigUInt64LE(BigInt(timestampMs) * 1_000_000n, 1)),
      fixed(0x21, (bytes) => bytes.writeDoubleLE(value, 1)),
      attribute(0x3a, 'host.name', host(series)),
      attribute(0x3a, 'region', `eu-west-${series % 4}`),
      attribute(0x3a, 'service', `s-${series % 100}`),
    );
  const name = field(0x0a, Buffer.from('cpu.usage'));
  return groups(samples, size).map((group) => {
    const metric = field(0x12, name, field(0x1a, Buffer.from('s')), field(0x2a, ...group.map(point)));
    return field(0x0a, resource, field(0x12, metric));
  });
}

function measure(name: string, items: number, rounds: number, run: () => number): FormatFigure {
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
  what: string,
  format: SampleFormatName,
  records: readonly Buffer[],
  count: number,
  rounds: number,
) {
  const { bytes, ends } = sideBySide(records);
  const table = new SeriesTable({ stateId: 'bench/series' });
  table.open(registry);
  const decoder = sampleDecoder({ name: format, avroSchema: AVRO_SCHEMA }, { table });
  const batch = new Batch(4096);
  const origin = { partition: 0, offset: 0, timestampMs: 0, headersAt: -1, skewLimitMs: Number.POSITIVE_INFINITY };
  const name = `decode, ${what}, ${Math.round(bytes.length / count)} B`;
  return measure(name, count, rounds, () => {
    let start = 0;
    let sum = 0;
    batch.clear();
    for (let i = 0; i < ends.length; i++) {
      origin.offset = i;
      decoder.decode(bytes, start, ends[i], origin, batch);
      start = ends[i];
      if (batch.count < 2048) continue;
      sum += batch.value[7] + batch.key[11] + batch.count;
      batch.clear();
    }
    return sum + batch.count + decoder.outcome.faultCount;
  });
}

function benchEncode(samples: readonly Sample[], rounds: number): FormatFigure {
  const columns = columnsOf(samples, allLabels());
  const scratch = new ByteWriter(1 << 16);
  return measure('encode, remote-write, 2,000 a request', samples.length, rounds, () => {
    let sizeBytes = 0;
    for (let at = 0; at < columns.count; at += 2_000) {
      sizeBytes += encodeWriteRequest(scratch, columns, at, Math.min(columns.count, at + 2_000)).length;
    }
    return sizeBytes;
  });
}

export function formatFigures(count: number, rounds: number): FormatFigure[] {
  const samples = samplesOf(count);
  const json = samples.map(({ series, timestampMs, value }) =>
    Buffer.from(
      `{"metric_name":"cpu_usage","timestamp":${timestampMs},"value":${value},"labels":{"host":"${host(series)}","region":"eu-west-${series % 4}","service":"s-${series % 100}"}}`,
    ),
  );
  const avro = avroRecords(samples);
  return [
    benchDecode('avro, one a record', 'avro', avro, count, rounds),
    benchDecode('remote-write, 500 a record', 'remote-write', remoteWriteRecords(samples, 500), count, rounds),
    benchDecode('remote-write, 5 a record', 'remote-write', remoteWriteRecords(samples, 5), count, rounds),
    benchDecode('otlp, 500 a record', 'otlp', otlpRecords(samples, 500), count, rounds),
    benchDecode('otlp, 5 a record', 'otlp', otlpRecords(samples, 5), count, rounds),
    benchDecode('influx, 20 a record', 'influx', influxRecords(samples, 10), count, rounds),
    benchDecode('influx, 2 a record', 'influx', influxRecords(samples, 1), count, rounds),
    benchDecode('auto, json', 'auto', json, count, rounds),
    benchDecode('auto, avro', 'auto', avro, count, rounds),
    benchEncode(samples, rounds),
  ];
}

if (import.meta.main) {
  for (const figure of formatFigures(200_000, 5)) {
    const line = `${figure.name}: ${figure.nsPerItem} ns (check ${figure.check})\n`;
    process.stdout.write(process.argv.includes('--json') ? `${JSON.stringify(figure)}\n` : line);
  }
}
