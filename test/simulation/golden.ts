// Owns the small runs that are crashed at every point: calm worlds with little input in which everything occurs that a
// task does (entries, checkpoints, retention, rows, late samples, dead letters, a clean stop, another version).

import type { Scenario } from '#test/simulation/scenario.ts';
import { type RollupsKnobs, rollupsWorkload } from '#test/simulation/workloads/rollups.ts';
import { NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import { NO_FAULTS } from '#test/simulation/world/log-faults.ts';

export type GoldenName = 'small' | 'tiny';

const KNOBS: RollupsKnobs = {
  seed: 1,
  shape: 'exchange',
  orderly: false,
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 30_000,
  idlenessMs: 30_000,
  maxSkewMs: 600_000,
  start: 'earliest',
  keyTtl: '30s',
  sourcePartitions: 2,
  exchangePartitions: 2,
  input: {
    wallMs: 3_000,
    eventSpanMs: 400_000,
    appends: 12,
    recordsMax: 3,
    seriesCount: 4,
    crowd: 0,
    outOfOrderShare: 0.2,
    lateShare: 0.2,
    futureShare: 0,
    brokenShare: 0.1,
    notFiniteShare: 0,
    arrayShare: 0.2,
    pauseMs: 0,
    gaps: false,
    transactionShare: 0.2,
    openMs: 500,
  },
  settings: {
    commitIntervalMs: 200,
    quietIntervalMs: 1_000,
    commitBytesMax: 2_000,
    checkpointIntervalMs: 500,
    snapshotBytesMax: 1_000_000,
  },
};

const TINY: RollupsKnobs = {
  ...KNOBS,
  shape: 'series',
  sourcePartitions: 1,
  exchangePartitions: undefined,
  input: { ...KNOBS.input, wallMs: 800, appends: 3, seriesCount: 2, openMs: 200 },
};

/** The small one has four tasks and an exchange, the tiny one a single task. */
export function goldenScenario(name: GoldenName): Scenario {
  return {
    seed: 1,
    workload: rollupsWorkload(name === 'tiny' ? TINY : KNOBS),
    slots: 1,
    faults: NO_FAULTS,
    diskFaults: NO_DISK_FAULTS,
    clockJumps: false,
    sliceBytes: 500,
    digestEvery: 1,
    troubles: 0,
    closes: false,
    savepoints: 0,
    deploys: 0,
    upheaval: null,
  };
}
