// Owns what one seed is about: its workload, the knobs of the engine, the faults of its world. A seed draws which kinds of
// trouble it has at all, because with everything at once nothing gets anywhere.

import type { JobSettings } from '#jobs/plan.ts';
import type { Workload } from '#test/simulation/workloads/contract.ts';
import { drawDevices } from '#test/simulation/workloads/devices.ts';
import { drawOrders } from '#test/simulation/workloads/orders.ts';
import { drawPresence } from '#test/simulation/workloads/presence.ts';
import { drawRollups } from '#test/simulation/workloads/rollups.ts';
import { drawSessions } from '#test/simulation/workloads/sessions.ts';
import { drawWriter } from '#test/simulation/workloads/writer.ts';
import { type DiskFaults, drawDiskFaults, NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import { drawFaults, type Faults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';

export const NAMESPACE = 'sim';
/** The machine that all processes run on, and where checkpoints are on it. */
export const STORAGE = 'storage';
export const CHECKPOINTS = 'checkpoints';

/** Every workload, and of how many seeds in a hundred. */
const WORKLOADS = {
  rollups: { draw: drawRollups, share: 55 },
  sessions: { draw: drawSessions, share: 10 },
  presence: { draw: drawPresence, share: 10 },
  orders: { draw: drawOrders, share: 10 },
  devices: { draw: drawDevices, share: 7 },
  writer: { draw: drawWriter, share: 8 },
} as const;

/** Workloads that have other versions, and how many of their seeds try them. */
const DEPLOYED: Partial<Record<WorkloadName, number>> = { rollups: 0.12, devices: 0.6 };

export type WorkloadName = keyof typeof WORKLOADS;

export interface Scenario {
  readonly seed: number;
  readonly workload: Workload;
  readonly slots: number;
  readonly faults: Faults;
  readonly diskFaults: DiskFaults;
  readonly clockJumps: boolean;
  /** Bytes of state that a snapshot copies at once. */
  readonly sliceBytes: number;
  /** State digests are taken at every n-th entry while tasks run; 0: only in checkpoints. */
  readonly digestEvery: number;
  /** Faults of processes and machines. */
  readonly troubles: number;
  /** In the end everything is left idle until whatever waits for time must have been put out. */
  readonly closes: boolean;
  /** Rounds in which savepoints are taken while things happen. */
  readonly savepoints: number;
  /** Times that a version or a generation takes the place of another while things happen. */
  readonly deploys: number;
  /** What befalls a topic in the end, so that the job must stop. */
  readonly upheaval: 'topic re-created' | 'partitions added' | 'retention overtakes' | null;
}

/** Which workload a seed has; cheap. */
export function workloadOf(seed: number): WorkloadName {
  const names = Object.keys(WORKLOADS) as WorkloadName[];
  let left = new Random(seed * 6_151 + 3).int(100);
  for (const name of names) {
    left -= WORKLOADS[name].share;
    if (left < 0) return name;
  }
  return names[0];
}

export function drawScenario(seed: number): Scenario {
  const random = new Random(seed * 7919 + 17);
  const rare = new Random(seed * 15_731 + 29);
  const cuts = new Random(seed * 24_593 + 41);
  const orderly = random.chance(0.4);
  const calm = random.chance(0.15);
  const clockJumps = !orderly && random.chance(0.3);
  const draw = { seed, random: random.fork(), orderly, clockJumps, settings: drawSettings(random) };
  const workload = WORKLOADS[workloadOf(seed)].draw(draw);
  const deploys = cuts.chance(DEPLOYED[workloadOf(seed)] ?? 0) ? cuts.range(1, 3) : 0;
  return {
    seed,
    workload,
    slots: random.range(1, 2),
    faults: calm ? NO_FAULTS : { ...drawLogFaults(random), recordByRecord: rare.chance(0.1) },
    diskFaults: calm ? NO_DISK_FAULTS : slowed(drawDiskFaults(random), rare),
    clockJumps,
    sliceBytes: random.pick([1, 500, 1_000_000]),
    digestEvery: random.pick([0, 0, 1, 3]),
    troubles: random.chance(0.1) ? random.range(7, 14) : random.range(2, 6),
    closes: workload.closingMs !== null && !clockJumps && random.chance(0.2),
    savepoints: cuts.chance(0.3) || deploys > 0 ? cuts.range(1, 6) : 0,
    deploys,
    upheaval:
      rare.chance(0.03) && deploys === 0
        ? rare.pick(['topic re-created', 'partitions added', 'retention overtakes'])
        : null,
  };
}

/** A disk that takes as long as one that somebody else is busy with. */
function slowed(faults: DiskFaults, random: Random): DiskFaults {
  return random.chance(0.05) ? { ...faults, latencyMs: 150 } : faults;
}

/**
 * What a producer id left open is beyond reach once its epochs have run out: not both in one world. Nor do
 * connections break where clients may not write markers: what they owe is known to one initialisation alone, and an old
 * one aborts what pays for it.
 */
function drawLogFaults(random: Random): Faults {
  const faults = drawFaults(random);
  const markersLost = faults.epochsRunOut > 0 ? 0 : random.pick([0, 0.03]);
  const markersRefused = markersLost > 0 && random.chance(0.3);
  if (!markersRefused) return { ...faults, markersLost };
  const { answerLost, closedAfter, closedBefore, requestLate, requestLost } = NO_FAULTS;
  const connections = { answerLost, closedAfter, closedBefore, requestLate, requestLost };
  return { ...faults, ...connections, markersLost, markersRefused };
}

function drawSettings(random: Random): Partial<JobSettings> {
  return {
    commitIntervalMs: random.pick([20, 200, 500]),
    quietIntervalMs: random.pick([1_000, 5_000]),
    commitBytesMax: random.pick([400, 2_000, 10_000, 1_000_000]),
    checkpointIntervalMs: random.pick([500, 2_000, 5_000]),
    snapshotBytesMax: random.pick([2_000, 1_000_000]),
  };
}
