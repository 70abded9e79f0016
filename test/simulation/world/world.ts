// Owns one simulated world: a seed, virtual time, one log, one disk per machine, and the processes that live in it.
// Everything random comes from the seed; nothing here knows what the processes do.

import type { LogClient } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Disk } from '#runtime/std/disk.ts';
import { processClock } from '#test/simulation/world/clock.ts';
import { type DiskFaults, NO_DISK_FAULTS, SimulatedDisk } from '#test/simulation/world/disk.ts';
import { LogChannel } from '#test/simulation/world/log-channel.ts';
import { simulatedLogClient } from '#test/simulation/world/log-client.ts';
import { SimulatedCluster } from '#test/simulation/world/log-cluster.ts';
import { type Faults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import type { Occurrences } from '#test/simulation/world/occurrences.ts';
import type { Operations } from '#test/simulation/world/operations.ts';
import { Process } from '#test/simulation/world/process.ts';
import { Random } from '#test/simulation/world/random.ts';
import { Scheduler } from '#test/simulation/world/scheduler.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly faults?: Faults;
  readonly diskFaults?: DiskFaults;
  /** Which faults happen of those that are drawn. @default all */
  readonly occurrences?: Occurrences;
  /** Numbers what processes do to the log and the disks. @default null */
  readonly operations?: Operations | null;
}

/** A process with what it may use of the world. */
export interface Inhabitant {
  readonly process: Process;
  readonly clock: Clock;
  readonly log: LogClient;
  readonly disk: Disk;
}

export class World {
  readonly seed: number;
  readonly random: Random;
  readonly scheduler = new Scheduler();
  readonly channel: LogChannel;
  readonly cluster: SimulatedCluster;
  readonly processes: Process[] = [];
  readonly #operations: Operations | null;
  readonly #disks = new Map<string, SimulatedDisk>();
  readonly #diskFaults: DiskFaults;
  readonly #diskRandom: Random;

  constructor(options: WorldOptions) {
    this.seed = options.seed;
    this.#operations = options.operations ?? null;
    this.random = new Random(options.seed, options.occurrences);
    this.channel = new LogChannel(this.scheduler, this.random.fork(), options.faults ?? NO_FAULTS);
    this.cluster = new SimulatedCluster(this.channel);
    this.#diskFaults = options.diskFaults ?? NO_DISK_FAULTS;
    this.#diskRandom = this.random.fork();
  }

  /** The disk of a machine; shared storage is a machine of its own. */
  disk(machine: string): SimulatedDisk {
    let disk = this.#disks.get(machine);
    if (disk === undefined) {
      disk = new SimulatedDisk(this.#diskRandom.fork(), this.#diskFaults);
      this.#disks.set(machine, disk);
    }
    return disk;
  }

  /** A new process on a machine. */
  start(name: string, machine = 'machine'): Inhabitant {
    const process = new Process(this.scheduler, this.processes.length, name);
    process.operations = this.#operations;
    this.processes.push(process);
    this.channel.started++;
    return {
      process,
      clock: processClock(process),
      log: simulatedLogClient(this.cluster, process),
      disk: this.disk(machine).mount(process),
    };
  }

  /** Lets virtual time pass. */
  async pass(ms: number): Promise<void> {
    await this.until(() => false, ms);
  }

  /** Lets time pass until `done`; false when it was not within `ms`. */
  async until(done: () => boolean, ms: number): Promise<boolean> {
    let over = false;
    const event = this.scheduler.schedule(ms, 'time is over', null, () => {
      over = true;
    });
    await this.scheduler.run(() => over || done());
    this.scheduler.cancel(event);
    return done();
  }

  /** The log does not answer for a while. */
  logAway(ms: number): void {
    this.channel.away = true;
    this.scheduler.schedule(ms, 'log back', null, () => {
      this.channel.away = false;
    });
  }
}
