// Owns driving an operator and its model through the same entries: the operator in batches as large as its boundaries
// allow, cut, stopped and restarted at random; the model record by record.

import type { OperatorRig, Row } from '../windows/operator-rig.ts';
import type { Random } from '../windows/random.ts';

/** A clock and log records; a record is atomic. */
export interface Entry {
  readonly clockMs: number;
  readonly records: readonly (readonly Row[])[];
}

export interface Model {
  readonly watermarkMs: number;
  row(row: Row): void;
  watermark(timeMs: number): void;
  clock(timeMs: number): void;
}

export function drive(
  rig: OperatorRig,
  model: Model,
  entries: readonly Entry[],
  boundMs: number,
  random: Random,
): void {
  for (const { clockMs, records } of entries) {
    if (random.chance(0.2)) rig.restart();
    rig.clockMs = clockMs;
    while (!rig.fireClock(1 + random.below(3))) if (random.chance(0.2)) rig.restart();
    model.clock(clockMs);
    let batch: Row[] = [];
    let watermarkMs = rig.watermarkMs;
    const process = () => {
      if (batch.length === 0) return;
      rig.process(batch);
      batch = [];
      rig.watermarkMs = watermarkMs;
      while (!rig.fireDue(1 + random.below(4))) if (random.chance(0.2)) rig.restart();
    };
    for (const record of records) {
      for (const row of record) model.row(row);
      for (const row of record) watermarkMs = Math.max(watermarkMs, row.timeMs - boundMs);
      model.watermark(watermarkMs);
      batch.push(...record);
      if (watermarkMs >= rig.boundaryMs() || random.chance(0.2)) process();
    }
    process();
    rig.endEntry();
  }
}
