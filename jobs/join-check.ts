// Owns checking joins and lookups. Every fault is collected.

import type { Fault } from '#jobs/faults.ts';
import type { PairStep } from '#jobs/graph.ts';
import type { CheckedKeyed } from '#jobs/graph-check.ts';
import { OptionReader, show } from '#jobs/option-reader.ts';
import { signedDuration } from '#jobs/record-window-check.ts';
import type { IntervalJoinOptions } from '#operators/process/interval-join.ts';
import type { TableLookupOptions } from '#operators/process/table-lookup.ts';

const DAYS_MAX = 366;

export function checkPair(step: PairStep, faults: Fault[]): CheckedKeyed {
  return step.kind === 'interval-join' ? checkIntervalJoin(step, faults) : checkLookup(step, faults);
}

function checkIntervalJoin(step: PairStep, faults: Fault[]): CheckedKeyed {
  const known = ['key', 'otherKey', 'lower', 'upper', 'kind', 'allowedLateness', 'join'];
  const options = new OptionReader(faults, `intervalJoin ${show(step.id)}`, step.spec, known);
  for (const name of ['key', 'otherKey', 'join']) checkGiven(options, name);
  const [lowerMs, upperMs] = [boundOf(options, 'lower'), boundOf(options, 'upper')];
  if (lowerMs > upperMs) options.fault('lower', 'lies above the upper bound', 'exchange them');
  const { join } = step.spec as unknown as { readonly join: IntervalJoinOptions['join'] };
  return {
    kind: 'keyed',
    id: step.id,
    input: step.input,
    operator: {
      type: 'interval-join',
      lowerMs,
      upperMs,
      join: options.oneOf('kind', ['inner', 'left', 'right', 'full'], 'inner'),
      allowedLatenessMs: options.duration('allowedLateness', 0),
    },
    sides: ['late-left', 'late-right'],
    functions: { type: 'interval-join', join },
  };
}

function checkLookup(step: PairStep, faults: Fault[]): CheckedKeyed {
  const known = ['key', 'tableKey', 'mode', 'kind', 'allowedLateness', 'isDeleted', 'join'];
  const options = new OptionReader(faults, `lookup ${show(step.id)}`, step.spec, known);
  for (const name of ['key', 'tableKey', 'join']) checkGiven(options, name);
  if (options.has('isDeleted')) checkGiven(options, 'isDeleted');
  const mode = options.oneOf('mode', ['versioned', 'latest'], 'versioned');
  if (mode === 'latest' && options.has('allowedLateness'))
    options.fault('allowedLateness', 'means nothing where nothing is late', 'leave it out');
  const functions = step.spec as unknown as Pick<TableLookupOptions, 'join'> & { readonly isDeleted?: unknown };
  const isDeleted = (functions.isDeleted ?? (() => false)) as NonNullable<TableLookupOptions['isDeleted']>;
  return {
    kind: 'keyed',
    id: step.id,
    input: step.input,
    operator: {
      type: 'lookup',
      mode,
      join: options.oneOf('kind', ['inner', 'left'], 'inner'),
      allowedLatenessMs: options.duration('allowedLateness', 0),
    },
    sides: mode === 'latest' ? [] : ['late'],
    functions: { type: 'lookup', join: functions.join, isDeleted },
  };
}

function checkGiven(options: OptionReader, name: string): void {
  if (typeof options.raw(name) === 'function') return;
  options.fault(name, `${show(options.raw(name))} is no function`, `give ${name}: (…) => …`);
}

function boundOf(options: OptionReader, name: string): number {
  const ms = signedDuration(options.raw(name));
  if (ms === null) options.fault(name, `${show(options.raw(name))} is no duration`, "write it as '5m' or '-5m'");
  else if (Math.abs(ms) > DAYS_MAX * 86_400_000)
    options.fault(name, `${show(options.raw(name))} is out of range`, `choose at most ${DAYS_MAX}d`);
  return ms ?? 0;
}
