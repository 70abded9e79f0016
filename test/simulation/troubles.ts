// Owns what befalls processes and machines in one seed: killed, stopped for a while beside a successor, restarted at
// once or after an hour, clocks that jump, the log away, the power gone. One trouble after the other, drawn as it goes.

import type { Coverage } from '#test/simulation/coverage.ts';
import type { Deploys } from '#test/simulation/deploys.ts';
import type { Installation } from '#test/simulation/installation.ts';
import type { Instance } from '#test/simulation/instance.ts';
import { STORAGE } from '#test/simulation/scenario.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { World } from '#test/simulation/world/world.ts';

const HOUR_MS = 3_600_000;
const BESIDE_OTHERS_MAX_MS = 60_000;
const STOP_PATIENCE_MS = 60_000;
const SET_BACK_SHARE = 0.15;
const QUIET_PATIENCE_MS = 40_000;
const NUMBERS_AGAIN_MS = 8_000;
const ON_THE_WAY_MS = 2_000;

type Trouble =
  | 'kill'
  | 'kill at checkpoint'
  | 'kill at commit'
  | 'kill early'
  | 'kill slot'
  | 'zombie'
  | 'zombie at commit'
  | 'zombie early'
  | 'pause'
  | 'clock'
  | 'log away'
  | 'stop'
  | 'power'
  | 'log set back';

const TROUBLES: readonly Trouble[] = [
  'kill',
  'kill',
  'kill at checkpoint',
  'kill at commit',
  'kill early',
  'kill slot',
  'zombie',
  'zombie',
  'zombie at commit',
  'zombie early',
  'pause',
  'clock',
  'log away',
  'stop',
  'power',
];

/**
 * What is known to a process and to nobody else stays known. Where clients may not write markers, an id that was
 * initialised owes what it had committed to a transaction of its own: beyond reach if its process dies in between, or if
 * that transaction times out.
 */
const UNBROKEN = new Set<Trouble>(['clock']);

export class Troubles {
  readonly #installation: Installation;
  readonly #world: World;
  readonly #coverage: Coverage;
  readonly #random: Random;
  readonly #deploys: Deploys;
  /** Told after a clean stop that nothing but the process's own work came between. */
  readonly #stopped: (instance: Instance) => void;

  constructor(installation: Installation, random: Random, deploys: Deploys, stopped: (instance: Instance) => void) {
    this.#deploys = deploys;
    this.#installation = installation;
    this.#world = installation.world;
    this.#coverage = installation.coverage;
    this.#random = random;
    this.#stopped = stopped;
  }

  async run(count: number): Promise<void> {
    this.#installation.launch(this.#clockOffsetMs());
    const setBackAt = this.#mayBeSetBack && this.#random.chance(SET_BACK_SHARE) ? this.#random.int(count) : -1;
    const { deploys } = this.#installation.scenario;
    for (let i = 0; i < count; i++) {
      // Spread among the others: they have something to find then.
      if ((i + 1) % Math.ceil(count / (deploys + 1)) === 0) await this.#deploy(deploys);
      await this.#world.pass(this.#random.pick([50, 500, 3_000, 8_000]) * this.#random.float());
      await this.#next(i === setBackAt ? 'log set back' : this.#random.pick(TROUBLES));
    }
  }

  /** What lies outside of the log, or is long under way, cannot be set back with it. */
  get #mayBeSetBack(): boolean {
    const { deploys, faults, savepoints, upheaval, workload } = this.#installation.scenario;
    if (savepoints > 0 || deploys > 0) return false;
    return upheaval === null && workload.name === 'rollups' && faults.requestLate === 0 && faults.markersLost === 0;
  }

  async #deploy(deploys: number): Promise<void> {
    if (deploys === 0 || this.#installation.scenario.faults.markersRefused) return;
    if (this.#random.occurrences.happens('deploy')) await this.#deploys.one(this.#owner());
  }

  async #next(trouble: Trouble): Promise<void> {
    const random = this.#random;
    if (this.#installation.scenario.faults.markersRefused && !UNBROKEN.has(trouble)) return;
    if (!random.occurrences.happens(trouble.replaceAll(' ', '-'))) return;
    const instance = this.#owner();
    this.#coverage.add(`trouble: ${trouble}`);
    this.#installation.tell(`trouble: ${trouble}`);
    switch (trouble) {
      case 'kill':
        instance.killAfterEvents(random.int(400));
        return await this.#death(instance);
      case 'kill at checkpoint':
        this.#installation.next.checkpoint = () => instance.killAfterEvents(random.int(6));
        return await this.#death(instance);
      case 'kill at commit':
        this.#installation.next.transaction = () => instance.killAfterEvents(random.int(20));
        return await this.#death(instance);
      case 'kill early':
        return await this.#killEarly(instance);
      case 'kill slot':
        return instance.killSlotAfterEvents(random.int(this.#installation.scenario.slots), random.int(300));
      case 'zombie':
        instance.pause(random.between(20_000, 90_000));
        return await this.#replace(instance, 10_000);
      case 'zombie at commit':
        this.#installation.next.transaction = () => {
          instance.pauseAfterEvents(random.int(20), random.between(2_000, 60_000));
        };
        return await this.#replace(instance, 3_000);
      case 'zombie early':
        return await this.#zombieEarly(instance);
      case 'pause':
        return instance.pause(random.between(1_000, 40_000));
      case 'clock':
        return this.#jumpClock(instance);
      case 'log away':
        return this.#world.logAway(random.between(500, 30_000));
      case 'stop':
        return await this.#stop(instance);
      case 'log set back':
        return await this.#setBack(instance);
      case 'power':
        for (const one of this.#installation.instances) one.kill();
        this.#world.disk(STORAGE).powerFailure();
        await this.#world.pass(random.int(5_000));
        this.#installation.launch(this.#clockOffsetMs());
    }
  }

  #jumpClock(instance: Instance): void {
    if (!this.#installation.scenario.clockJumps) return;
    const ms = this.#random.pick([-HOUR_MS, HOUR_MS, 5_000]);
    this.#coverage.add(`clock jumped by ${ms / 1000} s`);
    instance.jumpClock(ms);
  }

  /** It dies, at the latest now; then the next starts, sooner or later. */
  async #death(instance: Instance): Promise<void> {
    await this.#world.until(() => !instance.alive, 10_000);
    instance.kill();
    const { next } = this.#installation;
    next.checkpoint = null;
    next.transaction = null;
    const random = this.#random;
    const drawnMs = random.chance(0.15) ? HOUR_MS : random.pick([0, 100, random.int(5_000)]);
    // One that was replaced and goes on makes as many entries in an hour as a hundred other runs.
    const alone = this.#installation.instances.every((one) => !one.alive);
    const downMs = alone ? drawnMs : Math.min(drawnMs, BESIDE_OTHERS_MAX_MS);
    if (downMs === HOUR_MS) this.#coverage.add('down for an hour');
    await this.#world.pass(downMs);
    this.#installation.launch(this.#clockOffsetMs());
  }

  /** Again and again while it comes up. */
  async #killEarly(instance: Instance): Promise<void> {
    instance.kill();
    for (let times = this.#random.range(1, 3); times > 0; times--) {
      const next = this.#installation.launch(this.#clockOffsetMs());
      next.killAfterEvents(this.#random.int(80));
      await this.#world.until(() => !next.alive, 5_000);
      next.kill();
    }
    this.#installation.launch(this.#clockOffsetMs());
  }

  /** Stopped while it takes over, and replaced in the meantime. */
  async #zombieEarly(instance: Instance): Promise<void> {
    instance.kill();
    const random = this.#random;
    const next = this.#installation.launch(this.#clockOffsetMs());
    next.pauseAfterEvents(random.int(40), random.between(2_000, 60_000));
    await this.#replace(next, 3_000);
  }

  /** By a new process, soon after it is stopped, whether it is or not. */
  async #replace(instance: Instance, withinMs: number): Promise<void> {
    await this.#world.until(() => instance.paused || !instance.alive, 5_000);
    await this.#world.pass(this.#random.int(withinMs));
    this.#installation.next.transaction = null;
    this.#installation.launch(this.#clockOffsetMs());
  }

  /** A cluster that lost its end, acknowledged or not, in all partitions at once; the checkpoints know nothing of it. */
  async #setBack(instance: Instance): Promise<void> {
    instance.stop();
    await this.#world.until(() => instance.ended || !instance.alive, STOP_PATIENCE_MS);
    for (const one of this.#installation.instances) one.kill();
    const { cluster } = this.#world;
    if (!(await this.#world.until(() => cluster.quiet, QUIET_PATIENCE_MS))) return;
    const goBack = this.#installation.mark();
    const undone = this.#installation.launch();
    await this.#world.pass(this.#random.between(500, 6_000));
    undone.kill();
    // What is under way arrives.
    await this.#world.pass(ON_THE_WAY_MS);
    const checkpoints = goBack();
    this.#coverage.add('log set back');
    const next = this.#installation.launch();
    // There the numbers of entries that were undone come again, and the checkpoints of those are still there.
    const again = () => [...checkpoints].some(([task, entry]) => this.#installation.lastEntryOf(task) >= entry);
    if (!(await this.#world.until(again, NUMBERS_AGAIN_MS))) return;
    this.#coverage.add('killed where an undone checkpoint has its number');
    next.kill();
    this.#installation.launch();
  }

  async #stop(instance: Instance): Promise<void> {
    instance.stop();
    await this.#world.until(() => instance.ended || !instance.alive, STOP_PATIENCE_MS);
    if (instance.ended) this.#stopped(instance);
    else this.#coverage.add('clean stop not finished in time');
    instance.kill();
    this.#installation.launch(this.#clockOffsetMs());
  }

  /** The process that owns the tasks; a new one when it is gone. */
  #owner(): Instance {
    const { owner } = this.#installation;
    if (owner?.alive && !owner.stopping) return owner;
    return this.#installation.launch(this.#clockOffsetMs());
  }

  #clockOffsetMs(): number {
    if (!this.#installation.scenario.clockJumps || this.#random.chance(0.5)) return 0;
    const offsetMs = this.#random.pick([-HOUR_MS, HOUR_MS, -2_000]);
    return this.#random.occurrences.happens('clock-offset') ? offsetMs : 0;
  }
}
