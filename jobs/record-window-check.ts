// Owns checking windows over records: sizes, triggers, functions. Every fault is collected.

import { record, type StateCodec } from '#checkpoint/codecs.ts';
import type { Fault } from '#jobs/faults.ts';
import type { WindowStep } from '#jobs/graph.ts';
import type { CheckedKeyed, CheckedStep } from '#jobs/graph-check.ts';
import type { KeyedOperatorPlan } from '#jobs/keyed-plan.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import type { Carried } from '#jobs/record-check.ts';
import type { AggregateFunction, OwningCodec } from '#operators/process/contract.ts';
import type { WindowAssigner } from '#operators/windows/window-assigner.ts';
import { type ResultFunction, type WindowFunction, windowRecord } from '#operators/windows/window-function.ts';
import type { TriggerPlan } from '#operators/windows/window-trigger.ts';
import { parseDuration } from '#runtime/std/duration.ts';

const WINDOW_MS_MAX = 366 * 86_400_000;
const WINDOWS_OF_RECORD_MAX = 10_000;
const SIZE_WORDS = "use tumbling('1m'), sliding('10m', '1m'), session('5m'), globalWindow({ … }) or countWindow(100)";

const KEEPS_LESS = 'choose purge: true, or reduce or aggregate, which keep one value of each key';

type CheckedFunction = { readonly function: WindowFunction; readonly codec: OwningCodec<unknown> };

/** Whether a window is one over records: stats windows are checked elsewhere. */
export function isRecordWindow(step: WindowStep): boolean {
  const kind = step.aggregates[0]?.kind;
  return kind !== undefined && kind !== 'stats' && kind !== 'mergedStats';
}

export function checkRecordWindow(
  step: WindowStep,
  input: CheckedStep | null,
  carried: Carried,
  faults: Fault[],
): CheckedKeyed {
  const { id } = step;
  const path = `window ${show(id)}`;
  const fault = (field: string, message: string, remedy: string) =>
    faults.push({ path: path + field, message, remedy });
  if (carried !== 'keyed samples' && carried !== 'keyed records') fault('', 'has no key', 'put keyBy before it');
  if (step.aggregates.length > 1) fault('', 'is aggregated twice', 'open a second window with its own id');
  const description: unknown = step.aggregates[0];
  const { codec, function: windowFunction } = checkFunction(description, fault);
  const plan = {
    function: windowFunction.kind,
    ownResult: windowFunction.kind !== 'process' && windowFunction.result !== null,
    codec: codec.name,
    schemaVersion: codec.schemaVersion,
  };
  const operator =
    isPlainObject(step.window) && step.window['kind'] === 'count'
      ? { type: 'count-window' as const, ...checkCount(step, faults), ...plan }
      : { type: 'window' as const, ...checkWindows(step, faults, fault), splitMs: null, ...plan };
  checkFits(operator, windowFunction, description, fault);
  const isGlobal = isPlainObject(step.window) && step.window['kind'] === 'global';
  if (isGlobal && windowFunction.kind === 'process' && operator.type === 'window' && !operator.trigger.purge)
    fault('.trigger.purge', 'is missing: all records of every key would be kept for ever', KEEPS_LESS);
  const splitMs = checkSplit(operator, windowFunction, description, input, fault);
  return {
    kind: 'keyed',
    id,
    input: step.input,
    operator: operator.type === 'window' ? { ...operator, splitMs } : operator,
    sides: operator.type === 'window' ? ['late'] : [],
    functions: { type: 'window', function: windowFunction },
  };
}

type FieldFault = (field: string, message: string, remedy: string) => void;

function checkWindows(step: WindowStep, faults: Fault[], fault: FieldFault) {
  const given = step.window;
  const kind = isPlainObject(given) ? given.kind : undefined;
  const known = kind === 'global' ? ['trigger'] : ['allowedLateness', 'trigger', 'offset'];
  const options = new OptionReader(faults, `window ${show(step.id)}`, given?.options, known);
  const trigger = checkTrigger(options, faults, kind === 'global');
  const allowedLatenessMs = options.duration('allowedLateness', 0);
  return { windows: checkAssigner(given, options, fault), trigger, allowedLatenessMs };
}

function checkAssigner(given: WindowStep['window'], options: OptionReader, fault: FieldFault): WindowAssigner {
  const span = (field: string, value: unknown): number => {
    const ms = typeof value === 'string' ? parseDuration(value) : null;
    if (ms === null) fault(field, `${show(value)} is no duration`, SIZE_WORDS);
    else if (ms < 1 || ms > WINDOW_MS_MAX) fault(field, `${show(value)} is out of range`, 'choose from 1ms to 366d');
    return Math.max(1, ms ?? 1);
  };
  switch (given?.kind) {
    case 'tumbling': {
      const sizeMs = span('.size', given.size);
      return { kind: 'tumbling', sizeMs, offsetMs: offsetOf(options, sizeMs) };
    }
    case 'sliding': {
      const [sizeMs, slideMs] = [span('.size', given.size), span('.slide', given.slide)];
      const windows = Math.ceil(sizeMs / slideMs);
      if (windows > WINDOWS_OF_RECORD_MAX)
        fault('.slide', `puts each record into ${windows} windows`, `choose at most ${WINDOWS_OF_RECORD_MAX}`);
      return { kind: 'sliding', sizeMs, slideMs, offsetMs: offsetOf(options, slideMs) };
    }
    case 'session':
      if (options.has('offset')) options.fault('offset', 'is not of sessions', 'leave it out');
      return { kind: 'session', gapMs: span('.gap', given.gap) };
    case 'global':
      return { kind: 'global' };
    default:
      fault('', `${show(given)} is no window`, SIZE_WORDS);
      return { kind: 'global' };
  }
}

/** Borders are the same with an offset more or less by a slide. */
function offsetOf(options: OptionReader, slideMs: number): number {
  const given = options.raw('offset');
  if (given === undefined) return 0;
  const ms = signedDuration(given);
  if (ms === null) options.fault('offset', `${show(given)} is no duration`, "write it as '15m' or '-8h'");
  return (((ms ?? 0) % slideMs) + slideMs) % slideMs;
}

/** Milliseconds of '5m' or '-5m', null for anything else. */
export function signedDuration(given: unknown): number | null {
  if (typeof given !== 'string') return null;
  const ms = parseDuration(given.replace(/^-/, ''));
  return ms === null || !given.startsWith('-') ? ms : 0 - ms;
}

function checkTrigger(options: OptionReader, faults: Fault[], isGlobal: boolean): TriggerPlan {
  const path = options.pathOf('trigger');
  const given = new OptionReader(faults, path, options.raw('trigger'), ['atEnd', 'early', 'count', 'purge']);
  const flag = (name: string, fallback: boolean): boolean => {
    const value = given.raw(name);
    if (value !== undefined && typeof value !== 'boolean')
      given.fault(name, `${show(value)} is not possible`, 'choose true or false');
    return value === undefined ? fallback : value === true;
  };
  const atEnd = flag('atEnd', !isGlobal);
  const early = given.has('early') ? checkEarly(given, faults) : null;
  const count = given.integer('count', null, { min: 1, max: 1_000_000_000 });
  if (isGlobal && atEnd) given.fault('atEnd', 'a global window has no end', 'leave it out');
  if (!atEnd && early === null && count === null) {
    given.fault('', 'never fires', 'give count or early');
  } else if (!isGlobal && !atEnd && early?.by === 'event-time') {
    given.fault('early', 'by event time fires at the end as well', "leave atEnd out, or choose by: 'clock'");
  }
  return { atEnd: atEnd && !isGlobal, early, count, purge: flag('purge', false) };
}

function checkEarly(trigger: OptionReader, faults: Fault[]): TriggerPlan['early'] {
  const options = new OptionReader(faults, trigger.pathOf('early'), trigger.raw('early'), ['every', 'by']);
  options.required('every', "say how often: early: { every: '10s' }");
  const everyMs = options.duration('every', 1_000, { min: 1, max: WINDOW_MS_MAX });
  return { everyMs, by: options.oneOf('by', ['event-time', 'clock'], 'event-time') };
}

function checkCount(step: WindowStep, faults: Fault[]): { size: number; slide: number | null } {
  const given = step.window.kind === 'count' ? step.window : null;
  const bounds = { min: 1, max: 1_000_000 };
  const options = new OptionReader(faults, `window ${show(step.id)}`, given?.options, ['slide']);
  const slide = options.integer('slide', null, bounds);
  const size = new OptionReader(faults, `window ${show(step.id)}`, { size: given?.size }, ['size']);
  return { size: size.integer('size', 1, bounds), slide };
}

function checkFunction(description: unknown, fault: FieldFault): CheckedFunction {
  const given = description as { readonly kind: string; readonly [name: string]: unknown };
  const { kind } = given;
  if (kind === 'aggregate') return checkAggregate(given['aggregate'], given['result'], fault);
  const apply = given[kind];
  if (typeof apply !== 'function') fault(`.${kind}`, `${show(apply)} is no function`, `give ${kind}(function)`);
  const codec = record() as OwningCodec<unknown>;
  const call = apply as (a: unknown, b: unknown) => unknown;
  if (kind === 'process') {
    return { codec, function: { kind, codec, process: call as unknown as ProcessFunction } };
  }
  return { codec, function: { kind: 'reduce', codec, reduce: call, result: resultOf(given['result'], fault) } };
}

type ProcessFunction = Extract<WindowFunction, { kind: 'process' }>['process'];

function checkAggregate(given: unknown, result: unknown, fault: FieldFault): CheckedFunction {
  const parts = isPlainObject(given) ? given : {};
  for (const name of ['create', 'add', 'result', 'merge', 'inWindow']) {
    const isMissing = parts[name] === undefined && ['merge', 'inWindow'].includes(name);
    if (typeof parts[name] === 'function' || isMissing) continue;
    fault(`.aggregate.${name}`, `${show(parts[name])} is no function`, 'give { create, add, result, merge? }');
  }
  const codec = (parts['codec'] ?? record()) as StateCodec<unknown>;
  const isCodec = [codec?.write, codec?.read, codec?.own].every((one) => typeof one === 'function');
  if (!isCodec || !Number.isInteger(codec.schemaVersion)) {
    fault('.aggregate.codec', `${show(codec)} is no codec`, 'use record(), float64(), … for the accumulator');
  }
  const aggregate = parts as unknown as AggregateFunction<unknown, unknown, unknown>;
  const own = resultOf(result, fault);
  const inWindow = parts['inWindow'] as ResultFunction | undefined;
  if (inWindow === undefined) return { codec, function: { kind: 'aggregate', codec, aggregate, result: own } };
  const flat: ResultFunction = (value, window) => {
    const measured = inWindow(value, window);
    return measured === null ? [] : [(own ?? windowRecord)(measured, window)];
  };
  return { codec, function: { kind: 'aggregate', codec, aggregate, result: flat, flat: true } };
}

function resultOf(given: unknown, fault: FieldFault): ResultFunction | null {
  if (given === undefined) return null;
  if (typeof given !== 'function') fault('.result', `${show(given)} is no function`, 'give (value, window) => record');
  return given as ResultFunction;
}

function checkFits(plan: KeyedOperatorPlan, given: WindowFunction, description: unknown, fault: FieldFault): void {
  const hasSpan = plan.type === 'window' && plan.windows.kind !== 'global';
  const { aggregate } = description as { readonly aggregate?: { readonly inWindow?: unknown } };
  if (!hasSpan && aggregate?.inWindow !== undefined)
    fault('.aggregate', 'needs windows of time', "use tumbling('5m') or sliding('5m', '1m')");
  if (plan.type !== 'window' || plan.windows.kind !== 'session') return;
  if (given.kind === 'aggregate' && given.aggregate.merge === undefined)
    fault('.aggregate', 'has no merge, and sessions merge', 'give merge(a, b)');
}

function checkSplit(
  plan: KeyedOperatorPlan,
  given: WindowFunction,
  description: unknown,
  input: CheckedStep | null,
  fault: FieldFault,
): number | null {
  const { options } = description as { readonly options?: unknown };
  const faults: Fault[] = [];
  const reader = new OptionReader(faults, '', options, ['split']);
  for (const { path, message, remedy } of faults) fault(`.${path}`, message, remedy);
  const split = reader.raw('split');
  if (split === undefined || split === false) return null;
  const remedy = 'leave split out';
  if (split !== true) fault('.split', `${show(split)} is not possible`, 'choose true or false');
  const isAligned = plan.type === 'window' && (plan.windows.kind === 'tumbling' || plan.windows.kind === 'sliding');
  if (!isAligned) fault('.split', 'needs tumbling or sliding windows', remedy);
  if (given.kind === 'aggregate' && given.aggregate.merge === undefined)
    fault('.split', 'needs an aggregate with merge', 'give merge(a, b)');
  const isByFunction = input?.kind === 'keyBy' && input.key !== 'series' && 'function' in input.key;
  if (!isByFunction) fault('.split', 'needs keyBy with a function', "use keyBy('id', (record) => key)");
  if (plan.type !== 'window' || plan.windows.kind === 'session' || plan.windows.kind === 'global') return null;
  const { windows } = plan;
  return windows.kind === 'tumbling' ? windows.sizeMs : divisor(windows.sizeMs, windows.slideMs);
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** The exchange before a split window carries accumulators, so nothing else may read it. */
export function checkSplits(steps: readonly CheckedStep[], faults: Fault[]): void {
  for (const step of steps) {
    if (step.kind !== 'keyed' || step.operator.type !== 'window' || step.operator.splitMs === null) continue;
    const other = steps.find((one) => one !== step && one.input === step.input);
    if (other === undefined) continue;
    const message = `its keyBy feeds '${other.id}' as well, which takes records`;
    faults.push({ path: `window ${show(step.id)}.split`, message, remedy: 'give the split window a keyBy of its own' });
  }
}
