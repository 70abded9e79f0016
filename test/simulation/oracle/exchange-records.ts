// Owns the oracle's own decoder of exchange records, written from the layout, one field after the other.

import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { PlainBytes } from '#test/simulation/oracle/plain-bytes.ts';
import { plainValue } from '#test/simulation/oracle/plain-value.ts';

export interface ExchangedSample {
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
  readonly originTopic: string;
  readonly originPartition: number;
  readonly originOffset: number;
}

/** A row that is no sample. */
export interface ExchangedRow {
  readonly key: string;
  readonly timestampMs: number;
  readonly value: unknown;
  readonly originTopic: string;
  readonly originPartition: number;
  readonly originOffset: number;
}

export interface ExchangedRecord {
  readonly record: ArchivedRecord;
  /** A marker is a word as well: of an idle writer, or not. */
  readonly kind: 'data' | 'watermark' | 'idle';
  /** Of a marker. */
  readonly savepoint: string | null;
  readonly writer: number;
  readonly watermarkMs: number;
  readonly samples: readonly ExchangedSample[];
  readonly rows: readonly ExchangedRow[];
}

const KINDS = ['', 'data', 'watermark', 'idle', 'marker'] as const;

function differences(bytes: PlainBytes, count: number): number[] {
  let value = 0;
  return Array.from({ length: count }, () => (value += bytes.signed()));
}

export function decodeExchanged(record: ArchivedRecord): ExchangedRecord {
  const bytes = new PlainBytes(record.value ?? Buffer.alloc(0));
  const written = KINDS[bytes.byte()] || null;
  if (written === null || bytes.byte() !== 1)
    throw new Error(`unknown record at ${record.topic} offset ${record.offset}`);
  const writer = bytes.unsigned();
  const watermarkMs = bytes.double();
  const samples: ExchangedSample[] = [];
  const rows: ExchangedRow[] = [];
  const isMarker = written === 'marker';
  const kind = isMarker ? (bytes.byte() === 1 ? 'idle' : 'watermark') : written;
  const savepoint = isMarker ? bytes.text() : null;
  if (kind === 'data') readBlock(bytes, samples, rows);
  if (bytes.left !== 0) throw new Error(`${bytes.left} bytes too many at ${record.topic} offset ${record.offset}`);
  return { record, kind, savepoint, writer, watermarkMs, samples, rows };
}

function readBlock(bytes: PlainBytes, samples: ExchangedSample[], rows: ExchangedRow[]): void {
  const flags = bytes.byte();
  const originTopic = bytes.text();
  const names = Array.from({ length: bytes.unsigned() }, () => bytes.text());
  const count = bytes.unsigned();
  const keys = differences(bytes, count);
  const times = (flags & 2) === 0 ? differences(bytes, count) : Array.from({ length: count }, () => bytes.double());
  const areRecords = (flags & 4) !== 0;
  if (areRecords) bytes.unsigned();
  const values = Array.from({ length: count }, () => (areRecords ? readRecord(bytes) : bytes.double()));
  const partitions = differences(bytes, (flags & 1) === 0 ? count : 1);
  const offsets = differences(bytes, count);
  for (let i = 0; i < count; i++) {
    const name = names[keys[i]];
    const timestampMs = times[i];
    const origin = { originTopic, originPartition: partitions[(flags & 1) === 0 ? i : 0], originOffset: offsets[i] };
    if (areRecords) rows.push({ key: name, timestampMs, value: values[i], ...origin });
    else samples.push({ series: name, timestampMs, value: values[i] as number, ...origin });
  }
}

function readRecord(bytes: PlainBytes): unknown {
  const end = bytes.unsigned();
  const left = bytes.left - end;
  const value = plainValue(bytes);
  if (bytes.left !== left) throw new Error('a record is longer or shorter than it says');
  return value;
}
