// Owns the figures of the operators over records: nanoseconds per record, in memory, behind keyBy. Deterministic input;
// the sum of what came out is printed, so that nothing is optimised away.

import { json } from '#checkpoint/codecs.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { LocalAggregate } from '#operators/aggregates/local-aggregate.ts';
import type { AggregateFunction, OwningCodec } from '#operators/process/contract.ts';
import { IntervalJoin } from '#operators/process/interval-join.ts';
import { TableLookup } from '#operators/process/table-lookup.ts';
import { CountWindow } from '#operators/windows/count-window.ts';
import { RecordWindow, type RecordWindowOptions } from '#operators/windows/record-window.ts';
import { AT_END } from '#operators/windows/window-trigger.ts';
import {
  Batch,
  type BatchConsumer,
  type KeyTable,
  type Operator,
  type OperatorContext,
} from '#runtime/task/contract.ts';

const BATCH_ROWS = 2048;
const KEY = Buffer.from('some-user');

export interface RecordFigure {
  readonly name: string;
  readonly nsPerRecord: number;
  readonly results: number;
}

const KEYS: KeyTable = {
  slotCount: 1,
  canonicalBytes: () => KEY,
  hash: () => 0,
  jsonBytes: () => KEY,
  metricName: () => '',
  labels: () => [],
};

const CODEC = json() as OwningCodec<unknown>;
const MEAN: AggregateFunction<unknown, unknown, unknown> = {
  create: () => ({ sum: 0, count: 0 }),
  add(held, record) {
    const mean = held as { sum: number; count: number };
    mean.sum += (record as { value: number }).value;
    mean.count++;
    return mean;
  },
  result: (held) => (held as { sum: number; count: number }).sum,
  merge: (a, b) => {
    const [left, right] = [a as { sum: number; count: number }, b as { sum: number; count: number }];
    return { sum: left.sum + right.sum, count: left.count + right.count };
  },
};

type Make = (results: readonly BatchConsumer[]) => Operator;

const window =
  (assigner: RecordWindowOptions['assigner'], plan: Partial<RecordWindowOptions> = {}): Make =>
  (results) =>
    new RecordWindow({
      id: 'w',
      keys: KEYS,
      assigner,
      trigger: AT_END,
      allowedLatenessMs: 0,
      function: { kind: 'aggregate', codec: CODEC, aggregate: MEAN, result: null },
      results,
      late: [],
      ...plan,
    });

const reduce = { kind: 'reduce', codec: CODEC, reduce: (_: unknown, b: unknown) => b, result: null } as const;

const OPERATORS: Readonly<Record<string, Make>> = {
  'tumbling 1m, aggregate': window({ kind: 'tumbling', sizeMs: 60_000, offsetMs: 0 }),
  'tumbling 1m, reduce': window({ kind: 'tumbling', sizeMs: 60_000, offsetMs: 0 }, { function: reduce }),
  'sliding 5m every 1m, aggregate': window({ kind: 'sliding', sizeMs: 300_000, slideMs: 60_000, offsetMs: 0 }),
  'session 30s, aggregate': window({ kind: 'session', gapMs: 30_000 }),
  'count 10, aggregate': (results) =>
    new CountWindow({
      ...{ id: 'c', keys: KEYS, size: 10, slide: null, recordCodec: CODEC, results },
      function: { kind: 'aggregate', codec: CODEC, aggregate: MEAN, result: null },
    }),
  'interval join ±5s': (results) =>
    new IntervalJoin({
      ...{ id: 'j', keys: KEYS, lowerMs: -5_000, upperMs: 5_000, kind: 'inner', allowedLatenessMs: 0, results },
      codecs: [CODEC, CODEC],
      join: (left, right) => [left, right],
      late: [[], []],
    }),
  'lookup, versioned': (results) =>
    new TableLookup({
      ...{ id: 'l', keys: KEYS, mode: 'versioned', kind: 'inner', allowedLatenessMs: 0, results, late: [] },
      codecs: [CODEC, CODEC],
      isDeleted: null,
      join: (record, row) => [record, row],
    }),
  'local part of a split aggregate': (next) =>
    new LocalAggregate({ id: 'p', paneMs: 60_000, offsetMs: 0, aggregate: MEAN, codec: CODEC, next }),
};

/** `records` of 1,000 keys, one each millisecond of event time, two seconds out of order. */
export function recordFigures(records: number): RecordFigure[] {
  return Object.entries(OPERATORS).map(([name, make]) => {
    measure(make, records / 4, name);
    return measure(make, records, name);
  });
}

function measure(make: Make, records: number, name: string): RecordFigure {
  let results = 0;
  const operator = make([{ process: (batch) => void (results += batch.count) }]);
  let watermarkMs = Number.NEGATIVE_INFINITY;
  const state = { register: () => ({ epoch: 1, touch: () => {} }) };
  const context = {
    state,
    values(id: string, codec: OwningCodec<NonNullable<unknown> | null>) {
      const values = new KeyedValues(id, codec);
      values.open(state);
      return values;
    },
    watermarkMs: () => watermarkMs,
    clockMs: () => 0,
    count: () => {},
  } as unknown as OperatorContext;
  operator.open(context);
  const tagged = name.startsWith('interval') || name.startsWith('lookup');
  const batch = new Batch(BATCH_ROWS);
  let spentMs = 0;
  for (let at = 0; at < records; ) {
    batch.clear();
    batch.records = [];
    const boundaryMs = operator.nextBoundaryMs(watermarkMs);
    for (; batch.count < BATCH_ROWS && at < records; at++) {
      const row = batch.count++;
      const timeMs = 1_000_000 + at - ((at * 7919) % 2_000);
      batch.timestampMs[row] = timeMs;
      batch.key[row] = (at * 31) % 1_000;
      const record = { value: at % 100, user: 'somebody', page: '/somewhere' };
      batch.records[row] = tagged ? [Math.floor(at / 1_000) % 2, record] : record;
      if (timeMs > batch.maxTimestampMs) batch.maxTimestampMs = timeMs;
      if (batch.maxTimestampMs - 2_000 >= boundaryMs) {
        at++;
        break;
      }
    }
    const started = cpuMs();
    operator.process(batch);
    watermarkMs = Math.max(watermarkMs, batch.maxTimestampMs - 2_000);
    while (operator.nextTimerMs() <= watermarkMs) operator.fire(operator.nextTimerMs(), { take: () => true });
    spentMs += cpuMs() - started;
  }
  const started = cpuMs();
  operator.endEntry({ watermarkMs, clockMs: 0, idle: false });
  spentMs += cpuMs() - started;
  return { name, nsPerRecord: (spentMs * 1e6) / records, results };
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
