// Owns which faults happen, in which order and to whom: drawn from a seed before anything runs, so that the seed repeats
// it. Pure. Invariant: no slot of one life of a process dies more often than its job survives.

import { Random } from '#test/integration/oracle/random.ts';

/** Those that kill; the rest of a schedule disturbs. */
export const KILLS = ['worker-kill', 'slot-death', 'broker-kill'] as const;
export const DISTURBANCES = ['pause', 'rolling-restart', 'leader-moves', 'disk-full', 'clock'] as const;
export const FAULT_KINDS = [...KILLS, ...DISTURBANCES] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

interface Planned {
  readonly number: number;
  /** All is well for so long before it; or, with `during`, the fault before lasts for so long. */
  readonly calmMs: number;
  /** It happens while the fault before lasts, and neither is measured. */
  readonly during: boolean;
}

export type PlannedFault = Planned &
  (
    | { readonly kind: 'worker-kill'; readonly worker: number; readonly awayMs: number }
    | { readonly kind: 'slot-death'; readonly worker: number; readonly slot: number }
    | { readonly kind: 'broker-kill'; readonly broker: number; readonly awayMs: number }
    | { readonly kind: 'pause'; readonly worker: number; readonly forMs: number }
    | { readonly kind: 'rolling-restart' }
    | { readonly kind: 'leader-moves'; readonly seed: number; readonly share: number }
    | { readonly kind: 'disk-full'; readonly forMs: number }
    /** The clock of one process is off from here on, until its end or the next jump. */
    | { readonly kind: 'clock'; readonly worker: number; readonly shiftMs: number; readonly forMs: number }
  );

export interface ScheduleOptions {
  readonly seed: number;
  readonly kills: number;
  readonly workers: number;
  readonly slots: number;
  readonly brokers: number;
  /** Of the deaths of workers and slots after a fault that lasts: so many come while it does. */
  readonly overlapShare: number;
  /** Only these; all without it. */
  readonly kinds?: readonly FaultKind[] | undefined;
}

/** Of every kill; brokers take long to come back. */
const WEIGHTS: Readonly<Record<(typeof KILLS)[number], number>> = {
  'worker-kill': 4,
  'slot-death': 4,
  'broker-kill': 1,
};
/** One disturbance of each kind for so many kills, and one at least. */
const KILLS_PER_DISTURBANCE = 20;
/** A job fails with the fifth death of a slot that is its own (within ten minutes). */
const DEATHS_OF_SLOT_MAX = 3;
const HOUR_MS = 3_600_000;
const LASTING: readonly FaultKind[] = ['broker-kill', 'pause', 'rolling-restart', 'leader-moves', 'disk-full'];

export function drawSchedule(options: ScheduleOptions): PlannedFault[] {
  const random = new Random(options.seed);
  const wanted = (kind: FaultKind) => options.kinds?.includes(kind) ?? true;
  const kills = KILLS.filter(wanted);
  const drawn: FaultKind[] = kills.slice(0, options.kills);
  while (drawn.length < options.kills && kills.length > 0) drawn.push(weighted(kills, random));
  for (const kind of DISTURBANCES.filter(wanted)) {
    const count = Math.max(1, Math.round(options.kills / KILLS_PER_DISTURBANCE));
    for (let left = count; left > 0; left--) drawn.push(kind);
  }
  const deaths = new Map<string, number>();
  const planned = random.shuffled(drawn).map((kind, at) => detail(kind, at + 1, options, random, deaths));
  return overlapped(planned, options.overlapShare, random);
}

/** At most two at a time. A process does not start on a full disk, so none is killed then. */
function overlapped(planned: readonly PlannedFault[], share: number, random: Random): PlannedFault[] {
  const faults: PlannedFault[] = [];
  for (const fault of planned) {
    const before = faults.at(-1);
    const lasts = before !== undefined && !before.during && LASTING.includes(before.kind);
    const fits = fault.kind === 'slot-death' || (fault.kind === 'worker-kill' && before?.kind !== 'disk-full');
    faults.push(lasts && fits && random.chance(share) ? { ...fault, during: true } : fault);
  }
  return faults;
}

function weighted(kills: readonly (typeof KILLS)[number][], random: Random): FaultKind {
  return random.pick(kills.flatMap((kind) => Array.from({ length: WEIGHTS[kind] }, () => kind)));
}

function detail(
  kind: FaultKind,
  number: number,
  options: ScheduleOptions,
  random: Random,
  deaths: Map<string, number>,
): PlannedFault {
  const { brokers, slots, workers } = options;
  const planned = { number, calmMs: 500 + random.integer(1500), during: false };
  const worker = random.integer(workers);
  switch (kind) {
    case 'slot-death': {
      const slot = random.integer(slots);
      const died = deaths.get(`${worker}/${slot}`) ?? 0;
      if (died === DEATHS_OF_SLOT_MAX) return detail('worker-kill', number, options, random, deaths);
      deaths.set(`${worker}/${slot}`, died + 1);
      return { ...planned, kind, worker, slot };
    }
    case 'worker-kill':
      for (let slot = 0; slot < slots; slot++) deaths.delete(`${worker}/${slot}`);
      return { ...planned, kind, worker, awayMs: random.integer(3000) };
    case 'broker-kill':
      return { ...planned, kind, broker: random.integer(brokers), awayMs: 1000 + random.integer(5000) };
    case 'pause':
      return { ...planned, kind, worker, forMs: 11_000 + random.integer(6000) };
    case 'rolling-restart':
      return { ...planned, kind };
    case 'leader-moves':
      return { ...planned, kind, seed: random.integer(2 ** 31), share: 0.3 + random.next() * 0.7 };
    case 'disk-full':
      return { ...planned, kind, forMs: 3000 + random.integer(3000) };
    case 'clock':
      return {
        ...planned,
        kind,
        worker,
        shiftMs: random.pick([-HOUR_MS, HOUR_MS]),
        forMs: 2000 + random.integer(2000),
      };
  }
}
