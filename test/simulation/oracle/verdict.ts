// Owns the comparison of what was committed to the topics with what the models say: rows, late samples, dead letters
// and exchange blocks, each exactly once, in the right transaction.

import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import type { ExchangedRecord } from '#test/simulation/oracle/exchange-records.ts';
import type { EntryOf, Placement } from '#test/simulation/oracle/placement.ts';
import { type ModelRow, nameOf } from '#test/simulation/oracle/rollup-model.ts';
import type { BadRecord, LateSample, SourceStory } from '#test/simulation/oracle/task-model.ts';
import { require, Violation } from '#test/simulation/oracle/violation.ts';

export interface TopicShape {
  readonly placement: Placement;
  readonly partitionCount: number;
  readonly entryOf: EntryOf;
}

export interface RowShape extends TopicShape {
  /** False when the run was ended in the middle: a long firing may not be done. */
  readonly complete: boolean;
}

/** Rows of all topics against the models' rows, by task. */
export function judgeRows(
  rows: Iterable<ArchivedRecord>,
  expected: ReadonlyMap<string, readonly ModelRow[]>,
  shape: RowShape,
): void {
  const seen = new Map<
    string,
    { readonly fields: Record<string, unknown>; readonly by: string; readonly number: number }
  >();
  for (const record of rows) {
    const fields = JSON.parse(String(record.value)) as Record<string, unknown>;
    const series = String(record.key);
    const startMs = Number(fields['window_start']);
    const id = `${nameOf({ series, resolution: String(fields['resolution']), startMs })} #${fields['revision']}`;
    const where = () => `${id} at ${record.topic}/${record.partition} offset ${record.offset}`;
    require(!seen.has(id), 'rows', () => `${where()} is there twice`);
    require(record.topic.endsWith(`.${fields['resolution']}`), 'rows', () => `${where()} is in a wrong topic`);
    require(record.timestampMs === Number(fields['window_end']) - 1, 'rows', () => `${where()} has a wrong timestamp`);
    const partition = shape.placement.of(series, shape.partitionCount);
    require(record.partition === partition, 'rows', () => `${where()} belongs to partition ${partition}`);
    const entry = shape.entryOf.get(String(record.transaction));
    seen.set(id, { fields, by: String(entry?.task), number: entry?.number ?? -1 });
  }
  for (const [task, ofTask] of expected) {
    for (const row of ofTask) {
      const id = `${nameOf(row)} #${row.revision}`;
      const found = seen.get(id);
      const missing = () => `${id} is missing, due in entry ${row.dueEntry} of ${task}`;
      require(found !== undefined || !shape.complete, 'rows', missing);
      if (found === undefined) continue;
      seen.delete(id);
      require(found.by === task, 'rows', () => `${id} was written by ${found.by}, not by ${task}`);
      const early = () => `${id} came in entry ${found.number} of ${task} and was due in ${row.dueEntry}`;
      require(found.number >= row.dueEntry, 'rows', early);
      judgeRow(id, row, found.fields);
    }
  }
  const [extra] = seen.keys();
  require(extra === undefined, 'rows', () => `${extra} should not be there`);
}

const QUANTILES = [
  ['p50', 0.5],
  ['p95', 0.95],
  ['p99', 0.99],
] as const;

function judgeRow(id: string, row: ModelRow, fields: Record<string, unknown>): void {
  const sorted = Float64Array.from(row.values).sort();
  const [min, max] = [sorted[0], sorted[sorted.length - 1]];
  const exactly = (name: string, want: number) => {
    if (fields[name] !== want) throw new Violation('rows', `${id}: ${name} is ${fields[name]}, expected ${want}`);
  };
  exactly('window_end', row.endMs);
  exactly('count', row.count);
  exactly('sum', row.sum);
  exactly('min', min);
  exactly('max', max);
  exactly('avg', row.sum / row.count);
  exactly('run', 0);
  for (const [name, quantile] of QUANTILES) {
    const want = sorted[Math.ceil(quantile * row.count) - 1];
    const got = Number(fields[name]);
    const near = got >= min && got <= max && Math.abs(got - want) <= 0.01 * Math.abs(want);
    if (!near) throw new Violation('rows', `${id}: ${name} is ${got}, expected ${want} within 1 %`);
  }
}

export function judgeLate(records: Iterable<ArchivedRecord>, expected: readonly LateSample[], entryOf: EntryOf): void {
  const wanted = counted(
    expected.map((one) =>
      [one.entry, one.originPartition, one.originOffset, one.series, one.timestampMs, one.value].join(' '),
    ),
  );
  for (const record of records) {
    const { timestamp, value } = JSON.parse(String(record.value));
    const [partition, offset] = ['source-partition', 'source-offset'].map((name) => record.headers.get(name));
    const number = entryOf.get(String(record.transaction))?.number;
    const text = [number, partition, offset, record.key, timestamp, value].join(' ');
    takeOne(wanted, text, (left) => {
      throw new Violation('late', `'${text}' is not late or came twice; missing are ${left.join(', ') || 'none'}`);
    });
  }
  const [missing] = wanted.keys();
  require(missing === undefined, 'late', () => `'${missing}' is late and was not sent`);
}

export function judgeDeadLetters(
  records: Iterable<ArchivedRecord>,
  expected: readonly BadRecord[],
  entryOf: EntryOf,
): void {
  const content = (key: Buffer | null, value: Buffer | null) => `${key?.toString('hex')} ${value?.toString('hex')}`;
  const wanted = counted(
    expected.map(({ record: { partition, offset, key, value }, partly, entry }) =>
      [entry, partition, offset, partly, content(key, value)].join(' '),
    ),
  );
  for (const record of records) {
    const { headers, key, value } = record;
    const [partition, offset] = ['source-partition', 'source-offset'].map((name) => headers.get(name));
    const entry = entryOf.get(String(record.transaction))?.number;
    const prefix = [entry, partition, offset].join(' ');
    // A whole array of bad samples has paths too.
    const texts = [true, false].map((partly) => `${prefix} ${partly} ${content(key, value)}`);
    const text = wanted.has(texts[0]) ? texts[0] : texts[1];
    const partly = text === texts[0];
    require(!partly || headers.has('error-path'), 'dead-letters', () => `${prefix}: no error-path`);
    require(headers.has('error-code') && headers.has('error-message'), 'dead-letters', () => `${prefix}: no reason`);
    takeOne(wanted, text, () => {
      throw new Violation('dead-letters', `${prefix}: not bad, not as it came, or twice: ${value}`);
    });
  }
  const [missing] = wanted.keys();
  require(missing === undefined, 'dead-letters', () => `'${missing?.slice(0, 300)}' is bad and was not sent`);
}

function counted(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

function takeOne(wanted: Map<string, number>, text: string, absent: (left: string[]) => void): void {
  const count = wanted.get(text);
  if (count === undefined) absent([...wanted.keys()].slice(0, 3));
  else if (count === 1) wanted.delete(text);
  else wanted.set(text, count - 1);
}

/** What one source task sent into the exchange, entry by entry and partition by partition. */
export function judgeExchange(
  writer: number,
  task: string,
  story: SourceStory,
  exchanged: readonly ExchangedRecord[],
  shape: TopicShape,
): void {
  const byEntry = new Map<number, ExchangedRecord[]>();
  for (const one of exchanged) {
    const owner = shape.entryOf.get(String(one.record.transaction));
    if (owner?.task !== task) continue;
    require(one.writer === writer, 'exchange', () =>
      `${task}: entry ${owner.number} calls itself writer ${one.writer}`);
    const records = byEntry.get(owner.number);
    if (records === undefined) byEntry.set(owner.number, [one]);
    else records.push(one);
  }
  for (const { entry, samples, watermarkMs, tookInput } of story.entries) {
    const records = byEntry.get(entry.number) ?? [];
    const where = `${task}: entry ${entry.number}`;
    for (let partition = 0; partition < shape.partitionCount; partition++) {
      const own = records.filter(({ record }) => record.partition === partition);
      const sent = own.flatMap((one) =>
        one.samples.map((s) => `${s.originPartition}@${s.originOffset} ${s.series} ${s.timestampMs} ${s.value}`),
      );
      const wanted = samples
        .filter(({ series }) => shape.placement.of(series, shape.partitionCount) === partition)
        .map((s) => `${s.record.partition}@${s.record.offset} ${s.series} ${s.timestampMs} ${s.value}`);
      const difference = () =>
        `${where} sent to ${partition}\n  ${sent.join('\n  ')}\nexpected\n  ${wanted.join('\n  ')}`;
      require(sent.join('\n') === wanted.join('\n'), 'exchange', difference);
      for (const [i, one] of own.entries()) {
        const said = `${where} told ${partition} the ${one.kind} watermark ${one.watermarkMs}`;
        if (i === own.length - 1) {
          require(one.watermarkMs === watermarkMs, 'exchange', () => `${said}, expected ${watermarkMs}`);
        } else require(one.watermarkMs <= watermarkMs, 'exchange', () => `${said} too early`);
        const idle = entry.idleSinceMs !== null && !tookInput;
        require(one.kind !== 'idle' || idle, 'exchange', () => `${said} without being idle`);
      }
    }
  }
}
