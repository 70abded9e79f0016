// Every operator, function that ships and source stands here with the golden script that plays it: whoever adds one
// without a script is told so.

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const OPERATORS = new URL('../../../operators/', import.meta.url);
const GOLDEN = new URL('../../golden/', import.meta.url);
const FOLDERS = ['aggregates', 'process', 'sinks', 'sources', 'transforms', 'windows'];

/** By file of an operator: a script, and how its stage is named there. */
const PLAYED: Readonly<Record<string, readonly [script: string, stage: string]>> = {
  'aggregates/local-aggregate.ts': ['records/local-aggregate.txt', 'local'],
  'process/counter-increase.ts': ['records/counters.txt', 'counter'],
  'process/deduplicate.ts': ['records/deduplicate.txt', 'deduplicate'],
  'process/distinct.ts': ['records/distinct.txt', 'distinct'],
  'process/interval-join.ts': ['records/interval-join.txt', 'join'],
  'process/process-operator.ts': ['records/process.txt', 'process'],
  'process/rolling-reduce.ts': ['records/rolling.txt', 'rolling sum'],
  'process/rolling-top.ts': ['records/rolling.txt', 'rolling top'],
  'process/table-lookup.ts': ['records/table-lookup.txt', 'lookup'],
  'sinks/exchange-sink.ts': ['operators/exchange.txt', 'exchange'],
  'sinks/late-sink.ts': ['operators/late-sink.txt', 'late-sink'],
  'sinks/record-sink.ts': ['operators/record-sink.txt', 'record-sink'],
  'sinks/remote-write-sink.ts': ['operators/remote-write.txt', 'remote-write'],
  'sinks/topic-sink.ts': ['operators/topic-sink.txt', 'topic-sink'],
  'sources/exchange-source.ts': ['sources/exchange.txt', 'exchange'],
  'sources/records-source.ts': ['sources/records.txt', 'records'],
  'sources/rows-source.ts': ['sources/rows.txt', 'rows'],
  'sources/samples-source.ts': ['sources/samples.txt', 'samples'],
  'transforms/filter.ts': ['operators/filter.txt', 'filter'],
  'transforms/key-by-labels.ts': ['operators/key-by-labels.txt', 'by-labels'],
  'transforms/key-by-record.ts': ['operators/key-by-record.txt', 'by-record'],
  'transforms/key-by-series.ts': ['operators/key-by-series.txt', 'by-series'],
  'transforms/map.ts': ['operators/map.txt', 'map'],
  'transforms/record-transform.ts': ['records/transform.txt', 'transform'],
  'windows/count-window.ts': ['records/count-window.txt', 'count'],
  'windows/final-hold.ts': ['operators/final-hold.txt', 'hold'],
  'windows/merged-window.ts': ['operators/merged-windows.txt', 'windows 1m 5m'],
  'windows/record-window.ts': ['records/tumbling-window.txt', 'window tumbling'],
  'windows/tumbling-window.ts': ['operators/tumbling-window.txt', 'windows 1m lateness'],
};

/** Where the stages of scripts are made. */
const LANGUAGES = ['records', 'scripts'].flatMap((folder) => {
  const directory = new URL(`../${folder}/`, import.meta.url);
  return readdirSync(directory)
    .filter((name) => name.endsWith('-stages.ts'))
    .map((name) => readFileSync(new URL(name, directory), 'utf8'));
});

/** A class that is an operator or a source, or a function that makes one or what `process` takes. */
function isOperator(source: string): boolean {
  return (
    /\bimplements\b[^{]*\b(Operator|Source)\b/.test(source) || /\): (Operator|Source|ProcessCallbacks)\b/.test(source)
  );
}

const files = FOLDERS.flatMap((folder) =>
  readdirSync(new URL(`${folder}/`, OPERATORS), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
);

test('every operator has a golden script, and none is named that is not there', () => {
  const operators = files.filter((file) => isOperator(readFileSync(new URL(file, OPERATORS), 'utf8')));
  expect(operators.sort()).toEqual(Object.keys(PLAYED).sort());
});

test('other folders hold no operator', () => {
  const others = readdirSync(OPERATORS, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !FOLDERS.includes(name.split('/')[0]))
    .filter((name) => isOperator(readFileSync(new URL(name, OPERATORS), 'utf8')));
  expect(others).toEqual([]);
});

test.each(Object.entries(PLAYED))('%s is played', (file, [script, stage]) => {
  const text = readFileSync(new URL(script, GOLDEN), 'utf8');
  const at = `\n${text}`.indexOf(`\nstage ${stage}`);
  expect(at, `'stage ${stage}' in ${script}`).toBeGreaterThanOrEqual(0);
  const [played] = text.slice(at + 1).split('\nstage ');
  expect(played, `what '${stage}' puts out`).toMatch(/^> /m);
  expect(
    LANGUAGES.some((language) => language.includes(`'#operators/${file}'`)),
    'made by a stage',
  ).toBe(true);
});

test.each([
  ['export class A extends B implements Operator {', true],
  ['export class A implements Operator, RowEmitter {', true],
  ['export class A<T extends B<T>>\n  extends C\n  implements D, Operator\n{', true],
  ['export class A implements Source {', true],
  ['export function a(options: B): ProcessCallbacks {', true],
  ['export function a(\n  options: B,\n): Operator {', true],
  ['export class A implements PagedState {', false],
  ['export class A implements OperatorContext {', false],
  ['export interface A { readonly users: readonly Operator[] }', false],
  ['export function a(): SourceInput {', false],
])('%j is told apart', (source, is) => {
  expect(isOperator(source)).toBe(is);
});
