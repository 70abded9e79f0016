// Owns the oracle's own decoder of exchange records, written from the layout, one field after the other.

import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';

export interface ExchangedSample {
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
  readonly originTopic: string;
  readonly originPartition: number;
  readonly originOffset: number;
}

export interface ExchangedRecord {
  readonly record: ArchivedRecord;
  readonly kind: 'data' | 'watermark' | 'idle';
  readonly writer: number;
  readonly watermarkMs: number;
  readonly samples: readonly ExchangedSample[];
}

const KINDS = ['', 'data', 'watermark', 'idle'] as const;

class Bytes {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes[this.#at++];
  }

  double(): number {
    this.#at += 8;
    return this.#bytes.readDoubleLE(this.#at - 8);
  }

  unsigned(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  }

  signed(): number {
    const value = this.unsigned();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  text(): string {
    const size = this.unsigned();
    this.#at += size;
    return this.#bytes.toString('utf8', this.#at - size, this.#at);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }
}

function differences(bytes: Bytes, count: number): number[] {
  let value = 0;
  return Array.from({ length: count }, () => (value += bytes.signed()));
}

export function decodeExchanged(record: ArchivedRecord): ExchangedRecord {
  const bytes = new Bytes(record.value ?? Buffer.alloc(0));
  const kind = KINDS[bytes.byte()] || null;
  if (kind === null || bytes.byte() !== 1) throw new Error(`unknown record at ${record.topic} offset ${record.offset}`);
  const writer = bytes.unsigned();
  const watermarkMs = bytes.double();
  const samples: ExchangedSample[] = [];
  if (kind === 'data') readSamples(bytes, samples);
  if (bytes.left !== 0) throw new Error(`${bytes.left} bytes too many at ${record.topic} offset ${record.offset}`);
  return { record, kind, writer, watermarkMs, samples };
}

function readSamples(bytes: Bytes, samples: ExchangedSample[]): void {
  const flags = bytes.byte();
  const originTopic = bytes.text();
  const series = Array.from({ length: bytes.unsigned() }, () => bytes.text());
  const count = bytes.unsigned();
  const keys = differences(bytes, count);
  const times = (flags & 2) === 0 ? differences(bytes, count) : Array.from({ length: count }, () => bytes.double());
  const values = Array.from({ length: count }, () => bytes.double());
  const partitions = differences(bytes, (flags & 1) === 0 ? count : 1);
  const offsets = differences(bytes, count);
  for (let i = 0; i < count; i++) {
    samples.push({
      series: series[keys[i]],
      timestampMs: times[i],
      value: values[i],
      originTopic,
      originPartition: partitions[(flags & 1) === 0 ? i : 0],
      originOffset: offsets[i],
    });
  }
}
