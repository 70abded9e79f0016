// Owns the verdict: what a job published against what the oracle expects. Every row exactly once, nothing missing,
// nothing extra, numbers bit-identical (percentiles within 1 %). Collects differences instead of stopping at the first.

import { partitionOfKey } from './placement.ts';
import { type Expectation, type ExpectedRow, RESOLUTIONS, recordId, rowId } from './rollup-oracle.ts';

/** A record as an independent reader of the output topics saw it. */
export interface OutputRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: ReadonlyMap<string, Buffer>;
}

export interface ComparisonOptions {
  /** Partitions of the row topics; keys are checked to lie where Kafka's partitioner puts them. */
  readonly rowPartitionCount: number;
  /** With corrections: the newest revision is compared, the ones before must be there once each. @default false */
  readonly revisions?: boolean;
}

/** Differences by kind, with the first few of each in words. */
export class Differences {
  readonly #kinds = new Map<string, { count: number; readonly examples: string[] }>();

  add(kind: string, example: string): void {
    const entry = this.#kinds.get(kind) ?? { count: 0, examples: [] };
    entry.count++;
    if (entry.examples.length < 5) entry.examples.push(example);
    this.#kinds.set(kind, entry);
  }

  get total(): number {
    return [...this.#kinds.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** How many of each kind. */
  get counts(): ReadonlyMap<string, number> {
    return new Map([...this.#kinds].map(([kind, { count }]) => [kind, count]));
  }

  /** Empty when there are none. */
  toString(): string {
    return [...this.#kinds]
      .map(([kind, { count, examples }]) => [`${kind}: ${count}`, ...examples.map((text) => `    ${text}`)].join('\n'))
      .join('\n');
  }
}

type RowFields = Readonly<Record<string, unknown>>;

interface SeenRow {
  readonly fields: RowFields;
  readonly where: string;
}

const ROW_FIELDS =
  'avg,count,labels,max,metric_name,min,p50,p95,p99,resolution,revision,run,sum,window_end,window_start' as const;
const QUANTILES = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;
const RELATIVE_ERROR = 0.01;

export function compareRows(
  expectation: Expectation,
  records: Iterable<OutputRecord>,
  options: ComparisonOptions,
): Differences {
  const differences = new Differences();
  const seen = new Map<string, Map<number, SeenRow>>();
  for (const record of records) collectRow(record, options, seen, differences);
  for (const [id, expected] of expectation.rows) {
    const revisions = seen.get(id);
    seen.delete(id);
    if (revisions === undefined) {
      if (expected.required) differences.add('missing rows', `${id} count ${expected.count} sum ${expected.sum}`);
      continue;
    }
    compareRevisions(id, expected, revisions, options, differences);
  }
  for (const [id, revisions] of seen) {
    for (const { where, fields } of revisions.values())
      differences.add('extra rows', `${id} at ${where}: ${JSON.stringify(fields)}`);
  }
  return differences;
}

function collectRow(
  record: OutputRecord,
  options: ComparisonOptions,
  seen: Map<string, Map<number, SeenRow>>,
  differences: Differences,
): void {
  const where = recordId(record.topic, record.partition, record.offset);
  const key = record.key?.toString() ?? '';
  let fields: RowFields;
  try {
    fields = JSON.parse(record.value?.toString() ?? '');
  } catch {
    differences.add('rows that are not JSON', `${where} ${record.value?.toString().slice(0, 200)}`);
    return;
  }
  const wrong = (kind: string) => differences.add(kind, `${where} key ${key}: ${JSON.stringify(fields)}`);
  if (Object.keys(fields).sort().join() !== ROW_FIELDS) wrong('rows with other fields');
  if (fields['run'] !== 0) wrong('rows of another run');
  if (record.timestampMs !== Number(fields['window_end']) - 1)
    wrong('rows whose record timestamp is not window_end - 1');
  if (partitionOfKey(record.key ?? Buffer.alloc(0), options.rowPartitionCount) !== record.partition) {
    wrong('rows on a partition that Kafka would not have chosen');
  }
  if (!record.topic.endsWith(`.${fields['resolution']}`)) wrong('rows in the topic of another resolution');
  const id = rowId(key, String(fields['resolution']), Number(fields['window_start']));
  const revision = Number(fields['revision']);
  const revisions = seen.get(id) ?? new Map<number, SeenRow>();
  const twin = revisions.get(revision);
  if (twin !== undefined) differences.add('duplicate rows', `${id} revision ${revision} at ${twin.where} and ${where}`);
  else revisions.set(revision, { fields, where });
  seen.set(id, revisions);
}

function compareRevisions(
  id: string,
  expected: ExpectedRow,
  revisions: ReadonlyMap<number, SeenRow>,
  options: ComparisonOptions,
  differences: Differences,
): void {
  const numbers = [...revisions.keys()].sort((left, right) => left - right);
  if (numbers.some((revision, index) => revision !== index))
    differences.add('revisions with gaps', `${id}: ${numbers.join()}`);
  if (options.revisions !== true && numbers.length > 1) differences.add('corrections', `${id}: ${numbers.join()}`);
  for (let at = 1; at < numbers.length; at++) {
    const before = revisions.get(numbers[at - 1])!;
    const after = revisions.get(numbers[at])!;
    if (Number(before.fields['count']) >= Number(after.fields['count'])) {
      differences.add('corrections that add no sample', `${id} at ${before.where} and ${after.where}`);
    }
  }
  const newest = revisions.get(numbers[numbers.length - 1])!;
  for (const fault of rowFaults(expected, newest.fields))
    differences.add(`wrong ${fault.field}`, `${id} at ${newest.where}: ${fault.text}`);
}

function* rowFaults(expected: ExpectedRow, fields: RowFields): Generator<{ field: string; text: string }> {
  const exact: Record<string, number | string> = {
    metric_name: expected.metricName,
    resolution: expected.resolution,
    window_start: expected.windowStartMs,
    window_end: expected.windowStartMs + RESOLUTIONS[expected.resolution],
    count: expected.count,
    sum: expected.sum,
    min: expected.min,
    max: expected.max,
    avg: expected.sum / expected.count,
  };
  for (const [field, want] of Object.entries(exact)) {
    if (fields[field] !== want)
      yield { field, text: `${JSON.stringify(fields[field])}, expected ${JSON.stringify(want)}` };
  }
  const labels = labelText(Object.entries(fields['labels'] as Record<string, unknown>));
  if (labels !== labelText(expected.labels))
    yield { field: 'labels', text: `${labels}, expected ${labelText(expected.labels)}` };
  for (const [field, quantile] of Object.entries(QUANTILES)) {
    const exactQuantile = expected.sorted[Math.ceil(quantile * expected.count) - 1];
    const got = Number(fields[field]);
    const inside = got >= expected.min && got <= expected.max;
    // Not written as a negation of >: a NaN must be a fault.
    const near = Math.abs(got - exactQuantile) <= RELATIVE_ERROR * Math.abs(exactQuantile);
    if (!inside || !near) yield { field, text: `${fields[field]}, expected ${exactQuantile} within 1 %` };
  }
}

function labelText(pairs: Iterable<readonly [string, unknown]>): string {
  return JSON.stringify([...pairs].sort(([left], [right]) => (left < right ? -1 : 1)));
}
