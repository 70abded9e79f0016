// Owns the verdict on what does not become a row: dead letters, one for each record with bad parts, that name these parts
// and no others, and late samples; both with the headers that lead back to where they came from.

import { Differences, type OutputRecord } from './comparison.ts';
import { type Expectation, type ExpectedDeadLetter, recordId } from './rollup-oracle.ts';
import { judge, type Sample } from './sample-judge.ts';

/** So many parts are named; then an ellipsis says that there are more. */
const PARTS_NAMED_MAX = 20;

export function compareDeadLetters(expectation: Expectation, records: Iterable<OutputRecord>): Differences {
  const differences = new Differences();
  const seen = new Map<string, OutputRecord[]>();
  for (const record of records) group(seen, record, differences);
  for (const [id, expected] of expectation.deadLetters) {
    const letters = seen.get(id) ?? [];
    seen.delete(id);
    if (letters.length === 0) differences.add('missing dead letters', inWords(id, expected, letters));
    if (letters.length > 1) differences.add('dead letters too many', inWords(id, expected, letters));
    for (const letter of letters) letterFaults(id, expected, letter, differences);
  }
  for (const [id, letters] of seen)
    differences.add('dead letters of good records', `${id}: ${headersText(letters[0])}`);
  return differences;
}

function letterFaults(id: string, expected: ExpectedDeadLetter, letter: OutputRecord, differences: Differences): void {
  const { key, value } = expected.record;
  const words = () => `${id}: ${headersText(letter)} value ${letter.value?.toString().slice(0, 200) ?? 'null'}`;
  if (!sameBytes(letter.value, value) || !sameBytes(letter.key, key))
    differences.add('dead letters not as they came', words());
  if (!letter.headers.get('error-code')?.length) differences.add('dead letters without error-code', words());
  if (!letter.headers.get('error-message')?.length) differences.add('dead letters without error-message', words());
  const named = partsNamed(letter.headers.get('error-path')?.toString());
  if (named !== partsToName(expected))
    differences.add('dead letters that name other parts', `${words()}: ${named}, expected ${partsToName(expected)}`);
}

/** `$[3].value, $[7], …` names the parts 3 and 7 and more. */
function partsNamed(path: string | undefined): string {
  if (path === undefined) return 'none';
  return path
    .split(', ')
    .map((one) => /^\$\[(\d+)\]/.exec(one)?.[1] ?? one)
    .join();
}

function partsToName({ badElements }: ExpectedDeadLetter): string {
  if (badElements === null) return 'none';
  const more = badElements.length > PARTS_NAMED_MAX ? ['…'] : [];
  return [...badElements.slice(0, PARTS_NAMED_MAX), ...more].join();
}

export function compareLate(expectation: Expectation, records: Iterable<OutputRecord>): Differences {
  const differences = new Differences();
  const seen = new Map<string, OutputRecord[]>();
  for (const record of records) group(seen, record, differences);
  for (const [id, expected] of expectation.late) {
    const got = (seen.get(id) ?? []).map((record) => lateText(record, differences)).sort();
    const want = expected.samples.map(sampleText).sort();
    seen.delete(id);
    if (got.join() !== want.join())
      differences.add('wrong late samples', `${id}: ${got.join()}, expected ${want.join()}`);
  }
  for (const [id, late] of seen)
    differences.add('late samples that are not late', `${id}: ${late[0].value?.toString()}`);
  return differences;
}

function lateText(record: OutputRecord, differences: Differences): string {
  const { samples, badParts } = judge(record.value, Number.POSITIVE_INFINITY);
  const text = samples.map(sampleText).join(' and ');
  if (samples.length !== 1 || badParts > 0) differences.add('late records that are not one sample', text);
  else if (record.key?.toString() !== samples[0].series)
    differences.add('late records with another key', `${record.key} for ${text}`);
  return text;
}

function sampleText(sample: Sample): string {
  return `${sample.series} ${sample.timestampMs} ${sample.value}`;
}

function group(seen: Map<string, OutputRecord[]>, record: OutputRecord, differences: Differences): void {
  const [topic, partition, offset] = ['source-topic', 'source-partition', 'source-offset'].map((name) =>
    record.headers.get(name)?.toString(),
  );
  if (topic === undefined || partition === undefined || offset === undefined) {
    const where = recordId(record.topic, record.partition, record.offset);
    differences.add('records without the headers of their source', `${where} ${headersText(record)}`);
    return;
  }
  const id = recordId(topic, Number(partition), Number(offset));
  const records = seen.get(id);
  if (records === undefined) seen.set(id, [record]);
  else records.push(record);
}

function sameBytes(left: Uint8Array | null, right: Uint8Array | null): boolean {
  if (left === null || right === null) return left === right;
  return Buffer.compare(left, right) === 0;
}

function headersText(record: OutputRecord): string {
  return [...record.headers].map(([name, value]) => `${name}=${value.toString()}`).join(' ');
}

function inWords(id: string, expected: ExpectedDeadLetter, letters: readonly OutputRecord[]): string {
  const value = expected.record.value === null ? 'null' : Buffer.from(expected.record.value).toString().slice(0, 200);
  return `${id}: ${letters.length} for ${expected.badParts} bad parts, value ${value}`;
}
