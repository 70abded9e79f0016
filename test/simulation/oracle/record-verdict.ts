// Owns the comparison of records that tasks put out, into topics and into exchanges, with what their models say: of each
// key exactly these, in this order, on its partition, by the task that had to, no sooner than due.

import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import type { ExchangedRecord } from '#test/simulation/oracle/exchange-records.ts';
import type { ModelOutput } from '#test/simulation/oracle/record-model.ts';
import type { RecordStory } from '#test/simulation/oracle/record-story.ts';
import type { TopicShape } from '#test/simulation/oracle/verdict.ts';
import { type OracleName, require } from '#test/simulation/oracle/violation.ts';

/** Entries over which the firings of one may be spread when it leaves what it has no room for. */
const LEFT_BEHIND_MAX = 10;

/** What one task's model says. */
export interface TaskOutputs {
  readonly task: string;
  readonly outputs: readonly ModelOutput[];
  readonly story: RecordStory;
}

export interface RecordShape extends TopicShape {
  /** False when the run was ended in the middle. */
  readonly complete: boolean;
}

/** A row as it was found, and who brought it. */
interface FoundRow {
  readonly key: string;
  readonly text: string;
  readonly partition: number;
  readonly where: string;
  readonly transaction: string;
}

/** The records of a topic. */
export function judgeRecords(
  topic: string,
  records: readonly ArchivedRecord[],
  expected: readonly TaskOutputs[],
  shape: RecordShape,
  oracle: OracleName = 'rows',
): void {
  const found = records.map(
    ({ key, offset, partition, timestampMs, transaction, value }): FoundRow => ({
      key: String(key),
      text: `${timestampMs} ${value}`,
      partition,
      where: `${topic}/${partition} offset ${offset}`,
      transaction: String(transaction),
    }),
  );
  judgeSequences(topic, found, expected, shape, oracle);
}

/** What goes through an exchange; `writers` are its tasks by their numbers. */
export function judgeExchanged(
  to: string,
  exchanged: readonly ExchangedRecord[],
  writers: readonly TaskOutputs[],
  shape: RecordShape,
): void {
  const found = exchanged.flatMap(({ record, rows }) =>
    rows.map(
      ({ key, timestampMs, value }): FoundRow => ({
        key,
        text: textOf(timestampMs, value),
        partition: record.partition,
        where: `${record.topic}/${record.partition} offset ${record.offset}`,
        transaction: String(record.transaction),
      }),
    ),
  );
  judgeSequences(to, found, writers, shape, 'exchange');
  const byEntry = new Map<string, ExchangedRecord[]>();
  for (const one of exchanged) {
    const owner = shape.entryOf.get(String(one.record.transaction));
    const name = `${owner?.task} ${owner?.number} ${one.record.partition}`;
    const records = byEntry.get(name);
    if (records === undefined) byEntry.set(name, [one]);
    else records.push(one);
  }
  for (const [number, { story, task }] of writers.entries()) {
    for (const { entry, mayBeIdle, watermarkMs } of story.entries) {
      for (let partition = 0; partition < shape.partitionCount; partition++) {
        const own = byEntry.get(`${task} ${entry.number} ${partition}`) ?? [];
        for (const [i, one] of own.entries()) {
          const said = () =>
            `${task}: entry ${entry.number} told ${partition} the ${one.kind} watermark ${one.watermarkMs}`;
          require(one.writer === number, 'exchange', () => `${said()} as writer ${one.writer}, not ${number}`);
          const right = i === own.length - 1 ? one.watermarkMs === watermarkMs : one.watermarkMs <= watermarkMs;
          require(right, 'exchange', () => `${said()}, expected ${watermarkMs}`);
          require(one.kind !== 'idle' || mayBeIdle, 'exchange', () => `${said()} without being idle`);
        }
      }
    }
  }
}

// A key's rows come from one task where streams are keyed by what they are sent under, from several before that: so by
// task and key.
function judgeSequences(
  to: string,
  found: readonly FoundRow[],
  expected: readonly TaskOutputs[],
  shape: RecordShape,
  oracle: OracleName,
): void {
  const sequences = new Map<string, FoundRow[]>();
  for (const row of found) {
    const partition = shape.placement.of(row.key, shape.partitionCount);
    require(row.partition === partition, oracle, () => `${row.where}: ${row.key} belongs to partition ${partition}`);
    const name = `${shape.entryOf.get(row.transaction)?.task} ${row.key}`;
    const sequence = sequences.get(name);
    if (sequence === undefined) sequences.set(name, [row]);
    else sequence.push(row);
  }
  for (const { outputs, story, task } of expected) {
    const next = new Map<string, number>();
    const last = story.entries.findLast(({ entry }) => entry.kind === 'commit')?.entry;
    for (const output of outputs) {
      if (output.to !== to) continue;
      if (output.tieMs !== null)
        untie(sequences.get(`${task} ${output.key}`), next.get(`${task} ${output.key}`), output);
      const name = `${task} ${output.key}`;
      const at = next.get(name) ?? 0;
      next.set(name, at + 1);
      const row = sequences.get(name)?.[at];
      const text = textOf(Math.max(0, output.timestampMs), output.value);
      const due = `due in entry ${output.dueEntry}`;
      if (row === undefined) {
        // A full entry leaves timers to the next one, and that the last was not full is known only where it fired none.
        const age = last === undefined ? 0 : last.number - output.dueEntry;
        const isFull = last !== undefined && last.firings + last.clockFirings > 0;
        const mayWait = !output.byRecord && (age === 0 || (isFull && age <= LEFT_BEHIND_MAX));
        require(!shape.complete || mayWait, oracle, () => `${to}: '${text}' of ${name}, ${due}, is missing`);
        continue;
      }
      require(row.text === text, oracle, () => `${row.where} of ${name} is '${row.text}', expected '${text}', ${due}`);
      const number = shape.entryOf.get(row.transaction)!.number;
      const inTime = output.byRecord ? number === output.dueEntry : number >= output.dueEntry;
      require(inTime, oracle, () => `${row.where}, '${text}' of ${name}, came in entry ${number} and was ${due}`);
    }
    for (const [name, count] of next) {
      const sequence = sequences.get(name) ?? [];
      require(sequence.length <= count, oracle, () => `${sequence[count].where} of ${name} should not be there`);
      sequences.delete(name);
    }
  }
  for (const [name, [row]] of sequences) {
    require(false, oracle, () => `${row.where}, '${row.text}' of ${name}, should not be there`);
  }
}

/** Brings forward the row that is meant, of those that may be there in any order: they have one event time. */
function untie(sequence: FoundRow[] | undefined, from: number | undefined, { timestampMs, value }: ModelOutput): void {
  if (sequence === undefined) return;
  const at = from ?? 0;
  const text = textOf(timestampMs, value);
  for (let i = at; i < sequence.length && sequence[i].text.startsWith(`${timestampMs} `); i++) {
    if (sequence[i].text !== text) continue;
    sequence.splice(at, 0, ...sequence.splice(i, 1));
    return;
  }
}

function textOf(timestampMs: number, value: unknown): string {
  return `${timestampMs} ${JSON.stringify(value)}`;
}
