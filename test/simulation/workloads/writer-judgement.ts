// Owns the verdict on what a time-series database was given: nothing lost, each series in its order, what came again bit by
// bit the same and only where nobody knew that it was taken, dead letters only of what was refused.

import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { interpretRecords } from '#test/simulation/oracle/record-story.ts';
import type { WrittenSample } from '#test/simulation/oracle/remote-write.ts';
import type { BadRecord, LateSample } from '#test/simulation/oracle/task-model.ts';
import { judgeDeadLetters, judgeLate } from '#test/simulation/oracle/verdict.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import {
  ROW_NUMBERS,
  type RowText,
  rowSeries,
  type SampleText,
  seriesOf,
  type WriterItem,
  type WriterModel,
  type WriterRules,
} from '#test/simulation/oracle/writer-model.ts';
import type { Evidence } from '#test/simulation/workloads/contract.ts';
import type { Taken } from '#test/simulation/world/database.ts';

export interface WriterJob {
  readonly topic: string;
  readonly rules: WriterRules;
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
  readonly skewByEntryBefore: true;
  /** What the database never takes. @default nothing */
  readonly refuses?: (series: string) => boolean;
}

/** One attempt's connection. */
export interface Connection {
  /** By partition, the last entry that the log showed when it was made; empty when that says nothing. */
  readonly committed: readonly number[];
}

export interface WriterEvidence {
  /** One for each task. */
  readonly models: readonly WriterModel[];
  readonly taken: readonly Taken[];
  /** What somebody before the database refused, who refused everything then. */
  readonly turnedAway: readonly WrittenSample[];
  readonly connections: readonly Connection[];
}

/** What must have become of the samples of one series. */
interface SeriesItems {
  readonly items: readonly WriterItem[];
  readonly task: string;
  readonly partition: number;
}

export function judgeWriter(
  evidence: Evidence,
  job: WriterJob,
  { connections, models, taken, turnedAway }: WriterEvidence,
): void {
  const { coverage, entryOf, tasks } = evidence;
  const { rules, topic } = job;
  const bad: BadRecord[] = [];
  const late: LateSample[] = [];
  const refused: (readonly [task: string, item: WriterItem, code: string])[] = [];
  const expected = new Map<string, SeriesItems>();
  const letters = evidence.output(`${topic}.dead-letter`);
  const isRefusal = ({ headers }: ArchivedRecord) =>
    ['receiver-refused', 'name-invalid'].includes(String(headers.get('error-code')));
  // Who takes some and refuses others is believed: also where somebody stepped before the database in between.
  const away = new Set(turnedAway.map(nameOf));
  const lettered = new Map(
    letters.filter(isRefusal).map((one) => [originOf(one), one.headers.get('error-path')?.toString() ?? null]),
  );
  for (const [at, { chain, input, name, plan }] of tasks.entries()) {
    const model = models[at];
    const eventMs = (value: unknown) =>
      rules.rows ? (value as RowText).window_end - 1 : (value as SampleText).timestamp;
    bad.push(...interpretRecords(chain, input, { ...job, eventMs }, model).bad);
    late.push(
      ...model.late.map(([entry, { originOffset, originPartition, timestampMs, value }]): LateSample => {
        const sample = value as SampleText;
        return { series: seriesOf(sample), timestampMs, value: sample.value, originPartition, originOffset, entry };
      }),
    );
    const bySeries = new Map<string, WriterItem[]>();
    const isCondemned = (item: WriterItem) => {
      const path = lettered.get(`${item.source.originPartition}@${item.source.originOffset}`);
      const isMeant = path === null || path?.split(', ').includes(item.series.split('{')[0]);
      return isMeant === true && away.has(nameOf(item));
    };
    for (const item of model.items) {
      if (rules.hold !== null && item.series.includes('bad-name')) refused.push([name, item, 'name-invalid']);
      else if (job.refuses?.(item.series) || isCondemned(item)) refused.push([name, item, 'receiver-refused']);
      else bySeries.set(item.series, [...(bySeries.get(item.series) ?? []), item]);
    }
    for (const [series, items] of bySeries)
      expected.set(series, { items, task: name, partition: plan.input.partition });
    coverage.add('samples due', model.items.length);
    coverage.add('rows', model.items.length);
  }
  // One attempt may have given what the next found refused.
  const condemned = new Set(refused.map(([, item]) => nameOf(item)).filter((name) => away.has(name)));
  const judged = taken.filter((one) => !condemned.has(nameOf(one)));
  judgeTaken(expected, judged, connections, away, evidence);
  judgeDeadLetters(
    letters.filter((letter) => !isRefusal(letter)),
    bad,
    entryOf,
  );
  judgeRefused(letters.filter(isRefusal), refused, evidence, rules);
  if (!rules.rows && rules.hold !== null) judgeLate(evidence.output(`${topic}.late.db`), late, entryOf);
  coverage.add('samples refused', refused.length);
  coverage.add('late samples', late.length);
}

function nameOf({ series, timestampMs, value }: WrittenSample): string {
  return `${series} ${timestampMs} ${value}`;
}

function originOf({ headers }: Pick<ArchivedRecord, 'headers'>): string {
  return `${headers.get('source-partition')}@${headers.get('source-offset')}`;
}

function judgeTaken(
  expected: ReadonlyMap<string, SeriesItems>,
  taken: readonly Taken[],
  connections: readonly Connection[],
  away: ReadonlySet<string>,
  { complete, coverage }: Evidence,
): void {
  /** By series: how many of its items were taken. */
  const done = new Map<string, number>();
  // What one attempt found refused, and never committed, the next may give: behind what came after it then.
  const early = new Set<string>();
  const mayFollow = (item: WrittenSample) => away.has(nameOf(item)) || early.has(nameOf(item));
  let again = 0;
  for (const { byOwner, connection, series, timestampMs, value } of taken) {
    const what = () => `${series} ${value} at ${timestampMs}`;
    const of = expected.get(series);
    const at = of?.items.findIndex((item) => Object.is(item.value, value) && item.timestampMs === timestampMs) ?? -1;
    // What an entry brought that was never committed comes again, unless the run was ended before. What one who was replaced
    // took for final, because nothing came to him, need not be what those after him do.
    if (at < 0 && (!complete || !byOwner)) continue;
    require(of !== undefined && at >= 0, 'receiver', () => `${what()} was given and is none that should be`);
    if (of === undefined) continue;
    const next = done.get(series) ?? 0;
    const inTurn = at <= next || of.items.slice(next, at).every((item) => mayFollow({ ...item, series }));
    require(inTurn, 'receiver-order', () => `${what()} was given before ${JSON.stringify(of.items[next].value)}`);
    if (at === next) done.set(series, at + 1);
    else if (at > next) early.add(nameOf({ series, timestampMs, value }));
    else again++;
    const { byRecord, dueEntry } = of.items[at];
    const known = connections[connection].committed[of.partition] ?? -1;
    const text = () => `${what()} of entry ${dueEntry} was given by an attempt that began behind entry ${known}`;
    require(!byRecord || dueEntry > known, 'receiver', text);
  }
  coverage.add('samples given again', again);
  for (const [series, { items, task }] of expected) {
    const missing = items[done.get(series) ?? 0];
    if (missing === undefined || (!missing.byRecord && !complete)) continue;
    const { dueEntry, timestampMs, value } = missing;
    const text = () => `${series} ${value} at ${timestampMs} was never given, due in entry ${dueEntry} of ${task}`;
    require(false, 'receiver', text);
  }
}

/** A dead letter for each sample, or row, of which something was refused; its headers say what. */
function judgeRefused(
  letters: readonly ArchivedRecord[],
  refused: readonly (readonly [task: string, item: WriterItem, code: string])[],
  { complete, entryOf }: Evidence,
  { rows }: WriterRules,
): void {
  const wanted = new Map<string, { readonly item: WriterItem; readonly paths: string[]; readonly code: string }>();
  for (const [, item, code] of refused) {
    const { originOffset, originPartition } = item.source;
    const name = `${originPartition}@${originOffset}`;
    const known = wanted.get(name);
    if (known === undefined) wanted.set(name, { item, paths: [item.series], code });
    else known.paths.push(item.series);
  }
  for (const { headers, transaction, value } of letters) {
    const header = (name: string) => String(headers.get(name));
    const name = originOf({ headers });
    const found = wanted.get(name);
    const where = () => `the dead letter of ${name}`;
    require(found !== undefined, 'dead-letters', () => `${where()} is of nothing that was refused, or came twice`);
    if (found === undefined) continue;
    wanted.delete(name);
    const { code, item, paths } = found;
    require(header('error-code') === code && header('target') === 'db', 'dead-letters', () =>
      `${where()}: wrong reason`);
    const number = entryOf.get(String(transaction))?.number ?? -1;
    const inTime = item.byRecord ? number === item.dueEntry : number >= item.dueEntry;
    require(inTime, 'dead-letters', () => `${where()} came in entry ${number}, due in ${item.dueEntry}`);
    const text = item.source.value as SampleText & RowText;
    const given = JSON.parse(String(value)) as SampleText & RowText;
    const fields = rows ? ROW_NUMBERS : (['value', 'timestamp'] as const);
    const isSame = seriesOf(given) === seriesOf(text) && fields.every((field) => given[field] === text[field]);
    require(isSame, 'dead-letters', () => `${where()} is ${value}, expected ${JSON.stringify(text)}`);
    if (!rows) continue;
    const all = ROW_NUMBERS.filter((one) => text[one] !== null).map((one) => rowSeries(text, one));
    const isPart = headers.has('error-path');
    require(isPart === paths.length < all.length, 'dead-letters', () => `${where()} tells the wrong part of its row`);
  }
  for (const [name, { item }] of wanted) {
    const text = () => `${item.series} of ${name} was refused and is in no dead letter, due in entry ${item.dueEntry}`;
    require(!item.byRecord && !complete, 'dead-letters', text);
  }
}
