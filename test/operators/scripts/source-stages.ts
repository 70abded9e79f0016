// Owns the sources that scripts can name, with their words, and how records of an exchange are said.

import { ExchangeBlock, encodeControl } from '#operators/formats/exchange-block.ts';
import { recordFormat } from '#operators/formats/record-format.ts';
import type { SampleFormatName } from '#operators/formats/sample-format.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { ExchangeSource } from '#operators/sources/exchange-source.ts';
import { type RecordMetadata, RecordsSource } from '#operators/sources/records-source.ts';
import { RowsSource } from '#operators/sources/rows-source.ts';
import { SamplesSource } from '#operators/sources/samples-source.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import type { Source } from '#runtime/task/contract.ts';
import { samplesOf } from '#test/operators/scripts/script-rows.ts';
import { timeOf } from '#test/operators/scripts/script-time.ts';
import { Words } from '#test/operators/scripts/script-words.ts';

/** Made anew, with a new table, at each restart. */
export type SourceOf = (words: readonly string[], table: SeriesTable) => Source;

//   stage samples FORMAT [by-series] [special]       special: NaN, infinite and stale samples are rows
const samples: SourceOf = (words, table) => {
  const it = new Words(words);
  return new SamplesSource({
    id: 'samples',
    table,
    format: words[0] as SampleFormatName,
    partitionedBy: it.has('by-series') ? 'series' : null,
    keepsNotFinite: it.has('special'),
  });
};

//   stage records [read] [at FIELD]      read: records are [value, key, timestamp, topic/partition/offset]
const records: SourceOf = (words) => {
  const it = new Words(words);
  const field = it.after('at');
  return new RecordsSource({
    id: 'records',
    format: recordFormat('json'),
    read: it.has('read') ? withMetadata : null,
    timestamp: field === null ? null : (record) => (record as Record<string, unknown>)[field],
  });
};

function withMetadata(value: unknown, { key, offset, partition, timestampMs, topic }: RecordMetadata): unknown {
  if (value === 'refused') throw new Error('I refuse');
  return [value, key, timestampMs, `${topic}/${partition}/${offset}`];
}

//   stage rows
const rows: SourceOf = (_words, table) => new RowsSource({ id: 'rows', table });

//   stage exchange                       of samples
const exchange: SourceOf = (_words, table) => new ExchangeSource({ id: 'exchange', table });

export const SOURCES: Readonly<Record<string, SourceOf>> = { exchange, records, rows, samples };

/** `WRITER WATERMARK [idle | (KEY TIME VALUE)… from PARTITION/OFFSET …]`: a word of an exchange, alone or with samples. */
export function blockOf([writer, watermark, ...words]: readonly string[]): Buffer {
  const out = new ByteWriter(256);
  const idle = words[0] === 'idle';
  if (words.length === 0 || idle) {
    encodeControl(out, Number(writer), timeOf(watermark), idle);
    return out.toBytes();
  }
  const block = new ExchangeBlock();
  const keys: string[] = [];
  for (const { origin, slot, timeMs, value } of samplesOf(words, (key) => keyAt(keys, key, block))) {
    if (origin === undefined) throw new Error('samples of an exchange say where they come from');
    block.originTopic = origin.topic;
    block.addRow(slot, timeMs, value, origin.partition, origin.offset);
  }
  block.encode(out, Number(writer), timeOf(watermark));
  return out.toBytes();
}

function keyAt(keys: string[], key: string, block: ExchangeBlock): number {
  const known = keys.indexOf(key);
  if (known >= 0) return known;
  keys.push(key);
  return block.addKey(Buffer.from(key));
}
