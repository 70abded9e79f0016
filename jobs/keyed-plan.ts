// Owns what a plan says of operators behind keyBy that are no functions of their own: windows over records, joins,
// lookups. Plain JSON; their functions stand beside the plan.

import type { OwningCodec } from '#operators/process/contract.ts';
import type { IntervalJoinOptions, JoinKind } from '#operators/process/interval-join.ts';
import type { TableLookupOptions } from '#operators/process/table-lookup.ts';
import type { WindowAssigner } from '#operators/windows/window-assigner.ts';
import type { WindowFunction } from '#operators/windows/window-function.ts';
import type { TriggerPlan } from '#operators/windows/window-trigger.ts';

export interface KeyedStepPlan {
  readonly kind: 'keyed';
  readonly id: string;
  readonly input: string;
  readonly operator: KeyedOperatorPlan;
  /** Names of its side outputs. */
  readonly sides: readonly string[];
}

export type KeyedOperatorPlan = RecordWindowPlan | CountWindowPlan | IntervalJoinPlan | LookupPlan;

interface FunctionPlan {
  readonly function: WindowFunction['kind'];
  /** Whether a function of the job makes the records of results. */
  readonly ownResult: boolean;
  /** Of what is kept. */
  readonly codec: string;
  readonly schemaVersion: number;
}

export interface RecordWindowPlan extends FunctionPlan {
  readonly type: 'window';
  readonly windows: WindowAssigner;
  readonly trigger: TriggerPlan;
  readonly allowedLatenessMs: number;
  /** Whether records are folded before the exchange: in panes of so many milliseconds; null: not. */
  readonly splitMs: number | null;
}

export interface CountWindowPlan extends FunctionPlan {
  readonly type: 'count-window';
  readonly size: number;
  readonly slide: number | null;
}

export interface IntervalJoinPlan {
  readonly type: 'interval-join';
  readonly lowerMs: number;
  readonly upperMs: number;
  readonly join: JoinKind;
  readonly allowedLatenessMs: number;
}

export interface LookupPlan {
  readonly type: 'lookup';
  readonly mode: 'versioned' | 'latest';
  readonly join: 'inner' | 'left';
  readonly allowedLatenessMs: number;
}

/** The functions of such a step. */
export type KeyedFunctions =
  | { readonly type: 'window'; readonly function: WindowFunction }
  | { readonly type: 'interval-join'; readonly join: IntervalJoinOptions['join'] }
  | {
      readonly type: 'lookup';
      readonly join: TableLookupOptions['join'];
      readonly isDeleted: TableLookupOptions['isDeleted'];
    };

/** What an aggregate keeps when it is split: goes through the exchange in place of records. */
export function splitCodec(functions: KeyedFunctions | undefined): OwningCodec<unknown> | null {
  return functions?.type === 'window' && functions.function.kind === 'aggregate' ? functions.function.codec : null;
}
