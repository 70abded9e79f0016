// Owns how a run is told: figures by kind of fault beside their targets, as plain data and as a table. A target that is
// missed is a note, never a failure: machines are busy.

import { quantile } from './commit-times.ts';
import type { RunResult } from './fault-run.ts';
import { FAULT_KINDS, type FaultKind } from './schedule.ts';

const TARGETS_MS: Partial<Record<FaultKind, number>> = { 'slot-death': 2_000, 'worker-kill': 15_000 };

export interface KindFigures {
  readonly kind: FaultKind;
  readonly faults: number;
  /** Tasks hit, over all of them. */
  readonly tasks: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  readonly restores: number;
  readonly targetMs: number | null;
  /** The worst recovery is within the target; null: there is none. */
  readonly met: boolean | null;
}

export function figuresOf({ faults }: RunResult): readonly KindFigures[] {
  return FAULT_KINDS.flatMap((kind) => {
    const ofKind = faults.filter(({ plan }) => plan.kind === kind);
    if (ofKind.length === 0) return [];
    const recoveriesMs = ofKind.flatMap((fault) => fault.recoveriesMs);
    const whole = (value: number | null) => (value === null ? null : Math.round(value));
    const maxMs = whole(quantile(recoveriesMs, 1));
    const targetMs = TARGETS_MS[kind] ?? null;
    return {
      kind,
      faults: ofKind.length,
      tasks: recoveriesMs.length,
      p50Ms: whole(quantile(recoveriesMs, 0.5)),
      p99Ms: whole(quantile(recoveriesMs, 0.99)),
      maxMs,
      restores: ofKind.reduce((sum, { overlapped, restores }) => sum + (overlapped ? 0 : restores), 0),
      targetMs,
      met: targetMs === null || maxMs === null ? null : maxMs <= targetMs,
    };
  });
}

/** What must not be, in words; empty when the run is good. */
export function failuresOf(result: RunResult): string[] {
  const failures: string[] = [];
  if (result.lost > 0) failures.push(`${result.lost} lost`);
  if (result.doubled > 0) failures.push(`${result.doubled} doubled`);
  for (const [kind, count] of Object.entries(result.other)) failures.push(`${kind}: ${count}`);
  for (const { overlapped, plan, restores } of result.faults) {
    if (plan.kind === 'rolling-restart' && !overlapped && restores > 0)
      failures.push(`${restores} tasks restored while brokers were restarted one after the other`);
  }
  return failures;
}

export function jsonOf(result: RunResult): string {
  const { faults, differences, ...rest } = result;
  const each = faults.map(({ plan, ...measured }) => ({ ...plan, ...measured }));
  return JSON.stringify({ ...rest, kinds: figuresOf(result), failures: failuresOf(result), differences, faults: each });
}

export function tableOf(result: RunResult): string {
  const { doubled, longestGapMs, lost, machine, options, restores, rows, samples } = result;
  const overlaps = result.faults.filter(({ overlapped }) => overlapped).length;
  const head = ['fault', 'times', 'tasks', 'p50', 'p99', 'max', 'restored', 'target', ''];
  const lines = figuresOf(result).map(({ kind, met, ...figures }) => [
    kind,
    `${figures.faults}`,
    `${figures.tasks}`,
    inSeconds(figures.p50Ms),
    inSeconds(figures.p99Ms),
    inSeconds(figures.maxMs),
    `${figures.restores}`,
    figures.targetMs === null ? '' : `≤ ${inSeconds(figures.targetMs)}`,
    met === null ? '' : met ? 'met' : 'missed',
  ]);
  const failures = failuresOf(result);
  return [
    ...aligned([head, ...lines]),
    '',
    `lost ${lost}, doubled ${doubled}; ${samples} samples, ${rows} rows, ${result.faults.length} faults (${overlaps} of them two at a time, not measured) in ${result.seconds.toFixed(0)} s`,
    `longest gap in output ${inSeconds(longestGapMs.anywhere)}, of one partition ${inSeconds(longestGapMs.partition)}; tasks restored ${restores}`,
    `machine: ${machine.cores} cores, load average ${machine.load.map((load) => load.toFixed(1)).join(' → ')}`,
    `${options.workers} workers with ${options.slots} slots; again: --seed ${options.seed} --kills ${options.kills} --workers ${options.workers}`,
    ...result.leftOut.map((kind) => `left out: ${kind}, which this machine does not let its user do`),
    ...(failures.length === 0 ? [] : ['', 'FAILED:', ...failures, result.differences]),
  ].join('\n');
}

function aligned(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((cells) => cells[column].length)));
  return lines.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

function inSeconds(ms: number | null): string {
  return ms === null ? '' : `${(ms / 1000).toFixed(2)} s`;
}
