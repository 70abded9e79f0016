// Owns the lines in which scripts show what operators put out.

import { EXCHANGE_DATA, EXCHANGE_IDLE, ExchangeRecord } from '#operators/formats/exchange-block.ts';
import { Batch } from '#runtime/task/contract.ts';
import { valueText } from '#test/operators/scripts/script-rows.ts';
import { clockText } from '#test/operators/scripts/script-time.ts';
import type { OutputRecord } from '#test/operators/sinks/collected-output.ts';
import type { Result, Rollup, Row } from '#test/operators/windows/operator-rig.ts';

export function resultLine(key: string, r: Result): string {
  return (
    `${r.step} ${key} [${clockText(r.startMs)},${clockText(r.endMs)}) count ${r.count} sum ${r.sum}` +
    ` min ${r.min} max ${r.max} p50 ${r.p50} p95 ${r.p95} p99 ${r.p99} revision ${r.revision}`
  );
}

export function rowLine(key: string, row: Row & { readonly step: string }): string {
  const { record, rollup, slot, step, timeMs, value } = row;
  if (rollup !== undefined) return `${step} ${key} ${rollupText(rollup)}${originText(row)}`;
  const shown = 'record' in row ? String(JSON.stringify(record)) : valueText(value, row.bits);
  return `${step} ${key} ${clockText(timeMs)} ${shown} slot ${slot}${originText(row)}`;
}

function rollupText({ endMs, revision, run, startMs, values }: Rollup): string {
  return `[${clockText(startMs)},${clockText(endMs)}) ${values.join(',')} run ${run} revision ${revision}`;
}

// Rows whose origin nobody named come from 0/0.
function originText({ origin }: Row): string {
  if (origin === undefined || (origin.partition === 0 && origin.offset === 0)) return '';
  const { offset, partition, topic } = origin;
  return ` from ${[...(topic === '' ? [] : [topic]), partition, offset].join('/')}`;
}

/** Where it goes, its timestamp, value and headers: those of the output hash between brackets, others between parentheses. */
export function recordLines(record: Omit<OutputRecord, 'sinkIndex'>): string[] {
  const { headers, hashedHeaders, key, partition, timestampMs, topic, value } = record;
  const texts = headers.map((header) => `${header.key}=${Buffer.from(header.value)}`);
  const hashed = hashedHeaders === 0 ? '' : ` [${texts.slice(0, hashedHeaders).join(', ')}]`;
  const others = hashedHeaders === texts.length ? '' : ` (${texts.slice(hashedHeaders).join(', ')})`;
  const named = key === null ? 'no key' : `key ${key.length === 0 ? '""' : key}`;
  return [`${topic}/${partition} ${named} at ${clockText(timestampMs)} ${value}${hashed}${others}`];
}

/** A record of an exchange. */
export function blockLines({ partition, value }: OutputRecord): string[] {
  const bytes = value!;
  const record = new ExchangeRecord();
  record.read(bytes, 0, bytes.length);
  const head = `partition ${partition} watermark ${clockText(record.watermarkMs)}`;
  if (record.kind !== EXCHANGE_DATA) return [record.kind === EXCHANGE_IDLE ? `${head} idle` : head];
  const batch = new Batch(1);
  record.rowsInto(
    batch,
    Int32Array.from({ length: record.keyCount }, (_, k) => k),
  );
  const rows = Array.from({ length: batch.count }, (_, i) => {
    const key = bytes.toString('utf8', record.keyStart[batch.key[i]], record.keyEnd[batch.key[i]]);
    return `${key} ${clockText(batch.timestampMs[i])} ${batch.value[i]}`;
  });
  return [`${head}: ${rows.join(', ')}`];
}
