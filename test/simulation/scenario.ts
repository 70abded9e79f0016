// Owns what one seed is about: the job and its knobs, the shape of its input, the faults of its world. A seed draws
// which kinds of trouble it has at all, because with everything at once nothing gets anywhere.

import { compileJob } from '#jobs/compile.ts';
import type { CompiledJob, JobSettings } from '#jobs/plan.ts';
import rollups from '#jobs/rollups.ts';
import type { TaskOptions } from '#runtime/task/task-environment.ts';
import { type DiskFaults, drawDiskFaults, NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import { drawFaults, type Faults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';

export const NAMESPACE = 'sim';
export const SOURCE = 'samples';

/** Without exchange the source says that a series stays on its partition. */
export type Shape = 'exchange' | 'producer' | 'series';

export interface Scenario {
  readonly seed: number;
  readonly shape: Shape;
  readonly sourcePartitions: number;
  readonly exchangePartitions: number;
  /** Every sample is within its bound, no source pauses, no clock jumps ahead: nothing may be late. */
  readonly orderly: boolean;
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
  readonly idlenessMs: number;
  readonly maxSkewMs: number;
  readonly job: CompiledJob;
  readonly slots: number;
  readonly faults: Faults;
  readonly diskFaults: DiskFaults;
  readonly clockJumps: boolean;
  /** Bytes of state that a snapshot copies at once. */
  readonly sliceBytes: number;
  /** State digests are taken at every n-th entry while tasks run; 0: only in checkpoints. */
  readonly digestEvery: number;
  readonly input: InputShape;
  /** Faults of processes and machines. */
  readonly troubles: number;
  /** In the end everything is left idle until every minute must have fired. */
  readonly closes: boolean;
}

export interface InputShape {
  readonly wallMs: number;
  readonly eventSpanMs: number;
  readonly appends: number;
  readonly recordsMax: number;
  readonly seriesCount: number;
  /** Series that come together in one record, now and then: their windows fire in several parts. */
  readonly crowd: number;
  readonly outOfOrderShare: number;
  readonly lateShare: number;
  readonly futureShare: number;
  readonly brokenShare: number;
  readonly notFiniteShare: number;
  readonly arrayShare: number;
  /** Longest silence of a partition, milliseconds; 0: none. */
  readonly pauseMs: number;
  readonly gaps: boolean;
  /** Share of appends by transactional producers, and for how long they stay open at most. */
  readonly transactionShare: number;
  readonly openMs: number;
}

export function drawScenario(seed: number): Scenario {
  const random = new Random(seed * 7919 + 17);
  const shape = random.pick(['exchange', 'exchange', 'producer', 'series'] as const);
  const orderly = random.chance(0.4);
  const outOfOrdernessMs = random.pick([0, 2_000, 5_000]);
  const allowedLatenessMs = random.pick([0, 0, 30_000, 120_000, 600_000]);
  const idlenessMs = orderly ? 30_000 : random.pick([1_000, 2_000, 30_000]);
  const maxSkewMs = random.pick([600_000, 10_800_000]);
  const calm = random.chance(0.15);
  const clockJumps = !orderly && random.chance(0.3);
  return {
    seed,
    shape,
    sourcePartitions: 2,
    exchangePartitions: random.range(2, 3),
    orderly,
    outOfOrdernessMs,
    allowedLatenessMs,
    idlenessMs,
    maxSkewMs,
    job: compileJob(
      rollups({
        topic: SOURCE,
        start: orderly ? 'earliest' : random.pick(['earliest', 'earliest', 'latest']),
        ...(shape === 'exchange' ? {} : { partitionedBy: shape }),
        outOfOrderness: `${outOfOrdernessMs}ms`,
        allowedLateness: `${allowedLatenessMs}ms`,
        idleness: `${idlenessMs}ms`,
        maxSkew: `${maxSkewMs}ms`,
        keyTtl: random.pick(['30s', '5m', '1h']),
        exchangePartitions: shape === 'exchange' ? random.range(2, 3) : undefined,
      }),
      drawSettings(random),
    ),
    slots: random.range(1, 2),
    faults: calm ? NO_FAULTS : drawLogFaults(random),
    diskFaults: calm ? NO_DISK_FAULTS : drawDiskFaults(random),
    clockJumps,
    sliceBytes: random.pick([1, 500, 1_000_000]),
    digestEvery: random.pick([0, 0, 1, 3]),
    input: drawInput(random, orderly),
    troubles: random.chance(0.1) ? random.range(7, 14) : random.range(2, 6),
    closes: idlenessMs < 30_000 && !clockJumps && random.chance(0.2),
  };
}

/** What a producer id left open is beyond reach once its epochs have run out: not both in one world. */
function drawLogFaults(random: Random): Faults {
  const faults = drawFaults(random);
  const markersLost = faults.epochsRunOut > 0 ? 0 : random.pick([0, 0.03]);
  return { ...faults, markersLost, markersRefused: markersLost > 0 && random.chance(0.3) };
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

export function taskOptions(scenario: Scenario): TaskOptions {
  return scenario.job.settings;
}

function drawInput(random: Random, orderly: boolean): InputShape {
  return {
    wallMs: random.range(4_000, 20_000),
    eventSpanMs: random.pick([180_000, 1_200_000, 5_400_000]),
    appends: random.range(20, 80),
    recordsMax: random.pick([1, 4, 8]),
    seriesCount: random.range(3, 8),
    crowd: random.chance(0.06) ? random.range(300, 700) : 0,
    outOfOrderShare: random.pick([0, 0.2, 0.6]),
    lateShare: orderly ? 0 : random.pick([0, 0.05, 0.2]),
    futureShare: orderly ? 0 : random.pick([0, 0, 0.02]),
    brokenShare: random.pick([0, 0.03, 0.1]),
    notFiniteShare: random.pick([0, 0.03]),
    arrayShare: random.pick([0, 0.1, 0.4]),
    pauseMs: orderly ? 0 : random.pick([0, 8_000]),
    gaps: random.chance(0.3),
    transactionShare: random.pick([0, 0, 0.2]),
    openMs: orderly ? 2_000 : 8_000,
  };
}
