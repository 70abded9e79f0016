// Owns how each kind of fault is done to a world: what happens, whom it hits, and from when to when its silence counts.
// Waits for no recovery; heals what it broke.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fillDisk } from '#test/harness/small-disk.ts';
import { moveLeaders } from './leader-moves.ts';
import type { FaultKind, PlannedFault } from './schedule.ts';
import type { RunTask } from './workers.ts';
import { type FaultWorld, JOB } from './world.ts';

export interface Hit {
  readonly atMs: number;
  /** The silence that it makes begins before this. */
  readonly feltMs: number;
  /** Counts from the fault, not from the last commit before the silence. */
  readonly fromFault: boolean;
  /** Null: perhaps all. */
  readonly tasks: readonly RunTask[] | null;
}

type Planned<Kind extends FaultKind> = Extract<PlannedFault, { readonly kind: Kind }>;

/** What was on its way may still be committed. */
const UNDER_WAY_MS = 500;
const WHOLE_MS = 120_000;
/** So long everybody is asked, before a fault, who runs what. */
const ASKED_MS = 8_000;
const ASK_AGAIN_MS = 100;

export function strike(fault: PlannedFault, world: FaultWorld): Promise<Hit> {
  switch (fault.kind) {
    case 'worker-kill':
      return killWorker(fault, world);
    case 'slot-death':
      return killSlot(fault, world);
    case 'broker-kill':
      return killBroker(fault, world);
    case 'pause':
      return pause(fault, world);
    case 'rolling-restart':
      return restartBrokers(world);
    case 'leader-moves':
      return meanwhile(() => moveLeaders(world.view, fault));
    case 'disk-full':
      return meanwhile(() => fill(fault, world));
    case 'clock':
      return meanwhile(async () => {
        await world.workers.shiftClock(fault.worker, fault.shiftMs);
        await sleep(fault.forMs);
      });
  }
}

/** Tasks that run where `matches`; perhaps all when nobody says where they run. */
async function hitTasks(world: FaultWorld, matches: (task: RunTask) => boolean): Promise<readonly RunTask[] | null> {
  const deadlineMs = performance.now() + ASKED_MS;
  let tasks: readonly RunTask[] = [];
  while (tasks.length < world.tasks.length && performance.now() < deadlineMs) {
    tasks = await world.workers.tasks(JOB);
    if (tasks.length < world.tasks.length) await sleep(ASK_AGAIN_MS);
  }
  return tasks.length < world.tasks.length ? null : tasks.filter(matches);
}

async function killWorker({ awayMs, worker }: Planned<'worker-kill'>, world: FaultWorld): Promise<Hit> {
  const tasks = await hitTasks(world, (task) => task.worker === worker);
  const atMs = performance.now();
  await world.workers.kill(worker);
  await sleep(awayMs);
  await world.workers.start(worker);
  return { atMs, feltMs: atMs + UNDER_WAY_MS, fromFault: true, tasks };
}

async function killSlot({ slot, worker }: Planned<'slot-death'>, world: FaultWorld): Promise<Hit> {
  const tasks = await hitTasks(world, (task) => task.worker === worker && task.slot === slot);
  const atMs = await world.workers.killSlot(worker, slot);
  return { atMs, feltMs: atMs + UNDER_WAY_MS, fromFault: true, tasks };
}

async function killBroker({ awayMs, broker }: Planned<'broker-kill'>, world: FaultWorld): Promise<Hit> {
  const atMs = performance.now();
  await world.kafka.killBroker(broker);
  await sleep(awayMs);
  await world.kafka.startBroker(broker);
  await world.view.whole(WHOLE_MS);
  return { atMs, feltMs: atMs + 2000, fromFault: true, tasks: null };
}

/** Where others are, they take over meanwhile; a process that is alone goes on when it wakes up. */
async function pause({ forMs, worker }: Planned<'pause'>, world: FaultWorld): Promise<Hit> {
  const tasks = await hitTasks(world, (task) => task.worker === worker);
  const stoppedMs = performance.now();
  world.workers.signal(worker, 'SIGSTOP');
  await sleep(forMs);
  const atMs = world.workers.count === 1 ? performance.now() : stoppedMs;
  world.workers.signal(worker, 'SIGCONT');
  return { atMs, feltMs: atMs + UNDER_WAY_MS, fromFault: true, tasks };
}

function restartBrokers(world: FaultWorld): Promise<Hit> {
  return meanwhile(async () => {
    for (let broker = 0; broker < world.kafka.brokers.length; broker++) {
      await world.kafka.restartBroker(broker);
      await world.view.whole(WHOLE_MS);
    }
  });
}

async function fill({ forMs }: Planned<'disk-full'>, world: FaultWorld): Promise<void> {
  const ballast = join(world.checkpointsDirectory, 'ballast');
  const endMs = performance.now() + forMs;
  try {
    // What the product removes itself makes room again.
    for (let left = forMs; left > 0; left = endMs - performance.now()) {
      fillDisk(ballast);
      await sleep(Math.min(left, 200));
    }
  } finally {
    rmSync(ballast, { force: true });
  }
}

/** A disturbance that nobody need notice: what counts is the longest silence while it lasted. */
async function meanwhile(disturb: () => Promise<void>): Promise<Hit> {
  const atMs = performance.now();
  await disturb();
  return { atMs, feltMs: performance.now(), fromFault: false, tasks: null };
}
