// Owns the operators that golden scripts can name, with their words.

import { float64, integer, json, list, map, type StateCodec, text } from '#checkpoint/codecs.ts';
import { COUNTER_SAMPLES, counterSamples, rateOf } from '#operators/aggregates/counter-range.ts';
import { LocalAggregate } from '#operators/aggregates/local-aggregate.ts';
import { topK } from '#operators/aggregates/top-k.ts';
import type {
  AggregateFunction,
  OwningCodec,
  ProcessCallbacks,
  StateDescriptor,
  TtlPlan,
  ValueState,
} from '#operators/process/contract.ts';
import { counterIncrease } from '#operators/process/counter-increase.ts';
import { deduplicate } from '#operators/process/deduplicate.ts';
import { distinct } from '#operators/process/distinct.ts';
import { IntervalJoin, type JoinKind } from '#operators/process/interval-join.ts';
import { ProcessOperator } from '#operators/process/process-operator.ts';
import { rollingReduce } from '#operators/process/rolling-reduce.ts';
import { rollingTop } from '#operators/process/rolling-top.ts';
import { TableLookup } from '#operators/process/table-lookup.ts';
import { recordOf } from '#operators/records/record-rows.ts';
import { type RecordFunction, RecordTransform } from '#operators/transforms/record-transform.ts';
import { CountWindow } from '#operators/windows/count-window.ts';
import { RecordWindow } from '#operators/windows/record-window.ts';
import type { WindowAssigner } from '#operators/windows/window-assigner.ts';
import type { WindowFunction } from '#operators/windows/window-function.ts';
import type { TriggerPlan } from '#operators/windows/window-trigger.ts';
import { timeOf } from '#test/operators/scripts/script-time.ts';
import { Words } from '#test/operators/scripts/script-words.ts';
import type { BuildStage } from '../windows/operator-rig.ts';
import type { KeyNames } from './key-names.ts';

type StageOf = (words: readonly string[], keys: KeyNames) => BuildStage;

//   stage window tumbling SIZE | sliding SIZE slide SLIDE | session GAP | global   [offset TIME] [lateness TIME]
//       [early TIME event-time|clock] [count N] [purge] [no-end] sum|mean|list|value
const window: StageOf = (words, keys) => {
  const it = new Words(words);
  return (collect) => {
    const operator = new RecordWindow({
      id: 'w',
      keys,
      assigner: assignerOf(it),
      trigger: triggerOf(it),
      allowedLatenessMs: it.time('lateness'),
      function: functionOf(words[words.length - 1]),
      results: [collect('out')],
      late: [collect('late')],
    });
    return { head: operator, operators: [operator] };
  };
};

//   stage count SIZE [slide N] sum|mean|list|value
const count: StageOf = (words, keys) => (collect) => {
  const it = new Words(words);
  const operator = new CountWindow({
    id: 'c',
    keys,
    size: Number(words[0]),
    slide: it.has('slide') ? Number(it.after('slide')) : null,
    function: functionOf(words[words.length - 1]),
    recordCodec: json(),
    results: [collect('out')],
  });
  return { head: operator, operators: [operator] };
};

//   stage join LOWER UPPER [inner|left|right|full] [lateness TIME]       values are [side, record]
const join: StageOf = (words, keys) => (collect) => {
  const it = new Words(words);
  const operator = new IntervalJoin({
    id: 'j',
    keys,
    lowerMs: timeOf(words[0]),
    upperMs: timeOf(words[1]),
    kind: (['left', 'right', 'full'] as JoinKind[]).find((kind) => it.has(kind)) ?? 'inner',
    allowedLatenessMs: it.time('lateness'),
    codecs: [json(), json()],
    join: (left, right) => [left, right],
    results: [collect('out')],
    late: [[collect('late-left')], [collect('late-right')]],
  });
  return { head: operator, operators: [operator] };
};

//   stage lookup versioned|latest [left] [lateness TIME]      values are [0, record] or [1, row]; a null row deletes
const lookup: StageOf = (words, keys) => (collect) => {
  const it = new Words(words);
  const operator = new TableLookup({
    id: 'l',
    keys,
    mode: it.has('latest') ? 'latest' : 'versioned',
    kind: it.has('left') ? 'left' : 'inner',
    allowedLatenessMs: it.time('lateness'),
    codecs: [json(), json()],
    isDeleted: null,
    join: (record, row, { rowMs }) => [record, row, rowMs],
    results: [collect('out')],
    late: [collect('late')],
  });
  return { head: operator, operators: [operator] };
};

function valueList(element: StateCodec<never>): StateDescriptor {
  const codec = list(element) as unknown as OwningCodec<unknown[]>;
  return { kind: 'list', codec, element: element as unknown as OwningCodec<unknown>, ttl: null };
}

const TIMES_OF_TEXTS: StateDescriptor = {
  kind: 'map',
  codec: map(text(), integer()) as unknown as OwningCodec<Map<unknown, unknown>>,
  key: text() as unknown as OwningCodec<unknown>,
  value: integer() as unknown as OwningCodec<unknown>,
  ttl: null,
};

function functionStage(
  keys: KeyNames,
  callbacks: ProcessCallbacks,
  states: Record<string, StateDescriptor>,
  sides: readonly string[] = [],
): BuildStage {
  return (collect) => {
    const operator = new ProcessOperator({
      id: 'f',
      keys,
      states: new Map(Object.entries(states)),
      callbacks,
      view: recordOf,
      next: [collect('out')],
      sides: new Map(sides.map((name) => [name, [collect(name)]])),
    });
    return { head: operator, operators: [operator] };
  };
}

//   stage deduplicate TIME [lateness TIME]
const deduplicateStage: StageOf = (words, keys) => {
  const options = { withinMs: timeOf(words[0]), allowedLatenessMs: new Words(words).time('lateness') };
  return functionStage(keys, deduplicate(options), { passed: valueList(integer() as StateCodec<never>) }, ['late']);
};

//   stage distinct [forget TIME]          values are texts
const distinctStage: StageOf = (words, keys) => {
  const it = new Words(words);
  const forgetMs = it.has('forget') ? it.time('forget') : null;
  return functionStage(keys, distinct({ by: (record) => record, forgetMs }), { seen: TIMES_OF_TEXTS }, ['late']);
};

const RANKING = {
  by: (record: unknown) => (record as [string, number])[1],
  id: (record: unknown) => (record as [string, number])[0],
};

//   stage rolling sum · stage rolling top K [ids]      values of top are [name, score]
const rolling: StageOf = (words, keys) => {
  if (words[0] === 'sum') {
    const sum = rollingReduce((a, b) => (a as number) + (b as number));
    return functionStage(keys, sum, { value: valueList(json() as StateCodec<never>) });
  }
  const top = rollingTop({ ...RANKING, k: Number(words[1]), id: words[2] === 'ids' ? RANKING.id : null });
  return functionStage(keys, top, { top: valueList(json() as StateCodec<never>) });
};

//   stage counter gap TIME
const counter: StageOf = (words, keys) => {
  const callbacks = counterIncrease({ value: (record) => record, gapMs: new Words(words).time('gap') });
  return functionStage(keys, callbacks, { last: valueList(float64() as StateCodec<never>) }, ['out-of-order']);
};

//   stage local PANE [offset TIME] [held N]
const local: StageOf = (words) => (collect) => {
  const it = new Words(words);
  const operator = new LocalAggregate({
    id: 'l',
    paneMs: timeOf(words[0]),
    offsetMs: it.time('offset'),
    aggregate: MEAN,
    codec: json(),
    ...(it.has('held') ? { heldMax: Number(it.after('held')) } : {}),
    next: [collect('out')],
  });
  return { head: operator, operators: [operator] };
};

const TRANSFORMS: Readonly<Record<string, RecordFunction>> = {
  map: { kind: 'map', apply: (record) => [record, (record as number) * 2] },
  filter: { kind: 'filter', apply: (record) => (record as number) % 2 === 0 },
  'flat-map': { kind: 'flatMap', apply: (record) => Array.from({ length: record as number }, (_, at) => at) },
};

//   stage transform map|filter|flat-map       values are numbers
const transform: StageOf = (words) => (collect) => {
  const operator = new RecordTransform({
    id: 't',
    function: TRANSFORMS[words[0]],
    view: recordOf,
    next: [collect('out')],
  });
  return { head: operator, operators: [operator] };
};

/** Counts the records of a key; says what it knows 10 s after the last one by event time, and 1 min after the first by the clock. */
const WATCH: ProcessCallbacks = {
  process(record, { clockMs, emit, side, state, timers, timestampMs }) {
    const { count, last } = state as { count: ValueState<number>; last: ValueState<number> };
    const before = count.get();
    if (before === null) {
      side('new', record);
      timers.onClock(clockMs + 60_000);
    }
    const lastMs = last.get();
    if (lastMs !== null) timers.deleteEventTime(lastMs + 10_000);
    timers.onEventTime(Math.max(lastMs ?? timestampMs, timestampMs) + 10_000);
    last.set(Math.max(lastMs ?? timestampMs, timestampMs));
    count.set((before ?? 0) + 1);
    emit([record, count.get()]);
  },
  onTimer({ kind }, { emit, state }) {
    emit([kind, (state['count'] as ValueState<number>).get()]);
  },
};

//   stage process ttl TIME         the function above; its count lives so long after the last write
const process: StageOf = (words, keys) => {
  const value = (ttl: TtlPlan | null): StateDescriptor => {
    return { kind: 'value', codec: integer() as unknown as OwningCodec<unknown>, ttl };
  };
  const ms = new Words(words).time('ttl');
  return functionStage(keys, WATCH, { count: value({ ms, update: 'write' }), last: value(null) }, ['new']);
};

function assignerOf(it: Words): WindowAssigner {
  const offsetMs = it.time('offset');
  if (it.has('tumbling')) return { kind: 'tumbling', sizeMs: it.time('tumbling'), offsetMs };
  if (it.has('sliding')) return { kind: 'sliding', sizeMs: it.time('sliding'), slideMs: it.time('slide'), offsetMs };
  if (it.has('session')) return { kind: 'session', gapMs: it.time('session') };
  return { kind: 'global' };
}

function triggerOf(it: Words): TriggerPlan {
  const by = it.after('early', 2) === 'clock' ? 'clock' : 'event-time';
  return {
    atEnd: !it.has('no-end') && !it.has('global'),
    early: it.has('early') ? { everyMs: it.time('early'), by } : null,
    count: it.has('count') ? Number(it.after('count')) : null,
    purge: it.has('purge'),
  };
}

const MEAN = {
  create: () => ({ sum: 0, count: 0 }),
  add(accumulator: unknown, value: unknown) {
    const mean = accumulator as { sum: number; count: number };
    mean.sum += value as number;
    mean.count++;
    return mean;
  },
  // Hands its accumulator out as it is: nobody may see it change afterwards.
  result: (accumulator: unknown) => accumulator,
  merge(a: unknown, b: unknown) {
    const [left, right] = [a as { sum: number; count: number }, b as { sum: number; count: number }];
    return { sum: left.sum + right.sum, count: left.count + right.count };
  },
};

export function functionOf(name: string): WindowFunction {
  const codec = json();
  const reduce = (a: unknown, b: unknown) => (a as number) + (b as number);
  switch (name) {
    case 'sum':
      return { kind: 'reduce', codec, reduce, result: null };
    case 'value':
      return { kind: 'reduce', codec, reduce, result: (value) => value };
    case 'mean':
      return { kind: 'aggregate', codec, aggregate: MEAN, result: null };
    case 'list':
      return { kind: 'process', codec, process: (elements, { startMs, endMs }) => [[startMs, endMs, ...elements]] };
    case 'top-2':
      return { kind: 'aggregate', codec, aggregate: loose(topK({ ...RANKING, k: 2 })), result: null };
    case 'rate':
      return {
        kind: 'aggregate',
        codec: COUNTER_SAMPLES as unknown as OwningCodec<unknown>,
        aggregate: loose(counterSamples(timeAndValue)),
        flat: true,
        result(value, { startMs, endMs }) {
          const rate = rateOf(value as Parameters<typeof rateOf>[0], startMs, endMs);
          return rate === null ? [] : [rate];
        },
      };
    default:
      throw new Error(`no function '${name}'`);
  }
}

export const STAGES: Readonly<Record<string, StageOf>> = {
  count,
  counter,
  deduplicate: deduplicateStage,
  distinct: distinctStage,
  join,
  local,
  lookup,
  process,
  rolling,
  transform,
  window,
};

/** Values of rate are [milliseconds, value]. */
function timeAndValue(record: unknown): { timeMs: unknown; value: unknown } {
  const [timeMs, value] = record as [unknown, unknown];
  return { timeMs, value: value ?? Number.NaN };
}

function loose<Acc, Out>(
  aggregate: AggregateFunction<unknown, Acc, Out>,
): AggregateFunction<unknown, unknown, unknown> {
  return aggregate as unknown as AggregateFunction<unknown, unknown, unknown>;
}
