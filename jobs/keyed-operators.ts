// Owns making the operators of windows over records, joins and lookups, and the local part of a split aggregate.

import { record } from '#checkpoint/codecs.ts';
import { EXCHANGE_SOURCE_ID } from '#jobs/graph-check.ts';
import { type KeyedStepPlan, splitCodec } from '#jobs/keyed-plan.ts';
import { type CompiledJob, type StagePlan, stageOf } from '#jobs/plan.ts';
import { globalAggregate, LocalAggregate, type LocalAggregateOptions } from '#operators/aggregates/local-aggregate.ts';
import type { OwningCodec } from '#operators/process/contract.ts';
import { IntervalJoin } from '#operators/process/interval-join.ts';
import { TableLookup } from '#operators/process/table-lookup.ts';
import { CountWindow } from '#operators/windows/count-window.ts';
import { RecordWindow } from '#operators/windows/record-window.ts';
import type { WindowFunction } from '#operators/windows/window-function.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, KeyTable, Operator } from '#runtime/task/contract.ts';

export interface KeyedWiring {
  readonly job: CompiledJob;
  readonly keys: KeyTable;
  /** The record of a row, as functions see it. */
  readonly view: (batch: Batch, index: number) => unknown;
  readonly results: readonly BatchConsumer[];
  /** What stands behind a side output. */
  readonly side: (name: string) => readonly BatchConsumer[];
}

/** What goes through exchanges by a function, and what joins and lookups keep. */
const RECORD = record() as OwningCodec<unknown>;

export function keyedOperator(step: KeyedStepPlan, wiring: KeyedWiring): Operator {
  const { id, operator: plan } = step;
  const { job, keys, results, side, view } = wiring;
  const functions = job.functions.keyed.get(id);
  invariant(functions !== undefined, `step '${id}' has no function`);
  if (plan.type === 'interval-join' && functions.type === 'interval-join') {
    const { lowerMs, upperMs, allowedLatenessMs } = plan;
    return new IntervalJoin({
      ...{ id, keys, lowerMs, upperMs, allowedLatenessMs, results },
      kind: plan.join,
      codecs: [RECORD, RECORD],
      join: functions.join,
      late: [side('late-left'), side('late-right')],
    });
  }
  if (plan.type === 'lookup' && functions.type === 'lookup') {
    const { mode, allowedLatenessMs } = plan;
    const { join, isDeleted } = functions;
    const late = side('late');
    const kind = plan.join;
    return new TableLookup({
      id,
      keys,
      mode,
      kind,
      allowedLatenessMs,
      codecs: [RECORD, RECORD],
      isDeleted,
      join,
      results,
      late,
    });
  }
  invariant(functions.type === 'window', `step '${id}' has the functions of another`);
  if (plan.type === 'count-window') {
    const { size, slide } = plan;
    return new CountWindow({ id, keys, size, slide, function: functions.function, recordCodec: RECORD, view, results });
  }
  invariant(plan.type === 'window', `step '${id}' is a window`);
  const { windows: assigner, trigger, allowedLatenessMs, splitMs } = plan;
  const whole = splitMs === null ? functions.function : ofPartials(functions.function);
  return new RecordWindow({
    ...{ id, keys, assigner, trigger, allowedLatenessMs, view, results },
    function: whole,
    late: side('late'),
  });
}

/** The split window that reads an exchange, null when none does. */
function splitWindow(stage: StagePlan): (KeyedStepPlan & { operator: { type: 'window'; splitMs: number } }) | null {
  for (const step of stage.steps) {
    if (step.kind !== 'keyed' || step.input !== EXCHANGE_SOURCE_ID) continue;
    const { operator } = step;
    if (operator.type === 'window' && operator.splitMs !== null)
      return { ...step, operator: { ...operator, splitMs: operator.splitMs } };
  }
  return null;
}

/** How records go through the exchange to a stage. */
export function exchangeCodec(job: CompiledJob, to: string): OwningCodec<unknown> {
  const window = splitWindow(stageOf(job.plan, to));
  return window === null ? RECORD : (splitCodec(job.functions.keyed.get(window.id)) ?? RECORD);
}

/** The local part of a split aggregate before the exchange to a stage, null when there is none. */
export function localAggregate(
  job: CompiledJob,
  to: string,
  wiring: Pick<LocalAggregateOptions, 'next'>,
): LocalAggregate | null {
  const window = splitWindow(stageOf(job.plan, to));
  if (window === null) return null;
  const functions = job.functions.keyed.get(window.id);
  const { windows, splitMs } = window.operator as { windows: { offsetMs: number }; splitMs: number };
  invariant(functions?.type === 'window' && functions.function.kind === 'aggregate', 'only aggregates are split');
  const { aggregate, codec } = functions.function;
  const { offsetMs } = windows;
  return new LocalAggregate({ id: `${window.id}-local`, paneMs: splitMs, offsetMs, aggregate, codec, ...wiring });
}

function ofPartials(plan: WindowFunction): WindowFunction {
  invariant(plan.kind === 'aggregate', 'only aggregates are split');
  return { ...plan, aggregate: globalAggregate(plan.aggregate, plan.codec) };
}
