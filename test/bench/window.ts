// Owns the figures of the rollup operators: nanoseconds per sample folded, per row fired, per pane merged. Deterministic
// input; prints a line per figure and the sum of what was emitted, so that nothing is optimised away.

import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import { Batch, type Operator, type OperatorContext } from '#runtime/task/contract.ts';

const BATCH_ROWS = 2048;
const MINUTE_MS = 60_000;

export interface WindowBenchOptions {
  readonly keys: number;
  readonly samplesPerKey: number;
  readonly minutes: number;
  /** Minutes whose samples come mixed, as in a catch-up behind an exchange. */
  readonly openMinutes: number;
  readonly allowedLatenessMs: number;
  readonly merged: boolean;
}

export interface WindowBenchResult {
  readonly foldNs: number;
  readonly fireNs: number;
  readonly mergeNs: number;
  readonly rows: number;
  readonly checksum: number;
}

export function benchWindow(options: WindowBenchOptions): WindowBenchResult {
  const { keys, samplesPerKey, minutes, openMinutes, allowedLatenessMs } = options;
  let watermarkMs = Number.NEGATIVE_INFINITY;
  const context = {
    state: { register: () => ({ epoch: 1, touch: () => {} }) },
    watermarkMs: () => watermarkMs,
    clockMs: () => 0,
    partition: 0,
    partitionCount: () => 1,
    count: () => {},
  } as unknown as OperatorContext;
  let checksum = 0;
  let rows = 0;
  let mergeMs = 0;
  let panes = 0;
  const mergeds = [5, 60, 1440].map(
    (n) =>
      new MergedWindow<MergedStats>({
        id: `${n}m`,
        sizeMs: n * MINUTE_MS,
        paneMs: MINUTE_MS,
        allowedLatenessMs,
        makeAggregate: () => new MergedStats(),
        results: [{ process: (batch) => void (checksum += batch.stats?.sum[0] ?? 0) }],
      }),
  );
  const sink = {
    process(batch: Batch): void {
      rows += batch.count;
      checksum += batch.stats?.sum[batch.count - 1] ?? 0;
      if (!options.merged) return;
      const started = cpuMs();
      for (const merged of mergeds) merged.process(batch);
      mergeMs += cpuMs() - started;
      panes += batch.count * mergeds.length;
    },
  };
  const minute = new TumblingWindow({
    id: '1m',
    sizeMs: MINUTE_MS,
    allowedLatenessMs,
    aggregate: new Stats(),
    results: [sink],
    late: [],
  });
  const operators: Operator[] = options.merged ? [minute, ...mergeds] : [minute];
  for (const operator of operators) operator.open(context);
  const batch = new Batch(BATCH_ROWS);
  let foldMs = 0;
  let fireMs = 0;
  let folded = 0;
  let seed = 1;
  const process = (): void => {
    const started = cpuMs();
    minute.process(batch);
    foldMs += cpuMs() - started;
    folded += batch.count;
    batch.clear();
  };
  const warm = Math.ceil(minutes / 4 / openMinutes) * openMinutes;
  for (let first = 0; first < minutes; first += openMinutes) {
    if (first === warm) foldMs = fireMs = mergeMs = folded = rows = panes = 0;
    for (let round = 0; round < samplesPerKey * openMinutes; round++) {
      const m = first + (round % openMinutes);
      const at = Math.floor(round / openMinutes) / samplesPerKey;
      for (let slot = 0; slot < keys; slot++) {
        seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
        const i = batch.count++;
        batch.timestampMs[i] = Math.floor((m + at) * MINUTE_MS) + (slot % 5000);
        batch.key[i] = slot;
        batch.value[i] = 10 + (slot % 90) * (1 + (seed >>> 8) / 2 ** 26);
        if (batch.count === BATCH_ROWS) process();
      }
    }
    process();
    watermarkMs = (first + openMinutes) * MINUTE_MS;
    const started = cpuMs();
    const budget = { take: () => true };
    for (;;) {
      let due: Operator | null = null;
      for (const operator of operators)
        if (operator.nextTimerMs() < (due?.nextTimerMs() ?? watermarkMs + 1)) due = operator;
      if (due === null) break;
      due.fire(due.nextTimerMs(), budget);
    }
    fireMs += cpuMs() - started;
  }
  return {
    foldNs: (foldMs * 1e6) / folded,
    fireNs: ((fireMs - mergeMs) * 1e6) / rows,
    mergeNs: panes === 0 ? 0 : (mergeMs * 1e6) / panes,
    rows,
    checksum,
  };
}

/** CPU time of this thread: other work on the machine does not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
