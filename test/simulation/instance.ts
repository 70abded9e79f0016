// Owns one process of the installation: its slots and the tasks in them under the real supervisor, how it is killed,
// stopped and paused, and what it is given of the world. Decides nothing about who owns the tasks.

import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import { BufferPool } from '#runtime/std/buffer-pool.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import {
  type TaskEnvironment,
  type TaskOptions,
  type TaskPlan,
  transactionalId,
} from '#runtime/task/task-environment.ts';
import { type TaskOutcome, TaskSupervisor } from '#runtime/task/task-supervisor.ts';
import { AttemptTrace } from '#test/simulation/attempt-trace.ts';
import { codeOf, type Generation, nameOf, versionName } from '#test/simulation/generation.ts';
import type { Installation } from '#test/simulation/installation.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';
import { CHECKPOINTS, STORAGE } from '#test/simulation/scenario.ts';
import { OwnershipTrace, watchLog } from '#test/simulation/watched-log.ts';
import { WatchedCheckpoints } from '#test/simulation/watched-state.ts';
import type { Process } from '#test/simulation/world/process.ts';
import type { Inhabitant } from '#test/simulation/world/world.ts';

/** How a task may end when its disk flipped bits. */
const DAMAGE = new Set(['checkpoint-lost', 'version-mismatch']);
/** How soon a process replaces a slot that died. */
const SLOT_RESTART_MS = 100;

interface Slot {
  readonly inhabitant: Inhabitant;
  readonly supervisors: Map<string, TaskSupervisor>;
  /** Of keyed state in memory; null: no limit. */
  readonly memory: StateMemory | null;
}

/** What a process is to do. */
export interface InstanceOptions {
  /** Brings tasks to their last entry with a checkpoint, and runs them no further. @default false */
  readonly replayOnly?: boolean;
  /** @default the one that is to run */
  readonly version?: string;
  /** Tasks that it runs. @default all */
  readonly only?: ReadonlySet<string>;
  /** Its tasks may refuse what another version left without a checkpoint. @default false */
  readonly mayRefuse?: boolean;
}

/** One process of the installation. */
export class Instance {
  readonly id: number;
  readonly version: string;
  readonly generation: Generation;
  alive = true;
  stopping = false;
  readonly outcomes = new Map<string, TaskOutcome>();
  readonly #installation: Installation;
  readonly #how: InstanceOptions;
  readonly #options: TaskOptions;
  readonly #slots: (Slot | null)[] = [];
  /** Beside its slots; made when it is needed. */
  #main: Inhabitant | null = null;
  #clockOffsetMs: number;

  constructor(installation: Installation, id: number, clockOffsetMs: number, how: InstanceOptions) {
    this.#installation = installation;
    this.id = id;
    this.generation = installation.generation;
    this.#how = how;
    this.version = how.version ?? versionName(installation.version, installation.code);
    this.#options = {
      ...installation.jobOf(this.version).settings,
      allowDroppedState: installation.allowDroppedState,
      replayOnly: how.replayOnly === true,
    };
    this.#clockOffsetMs = clockOffsetMs;
  }

  start(): void {
    for (let at = 0; at < this.#installation.scenario.slots; at++) this.#startSlot(at);
  }

  get processes(): Process[] {
    const inhabitants = [...this.#slots.map((slot) => slot?.inhabitant), this.#main];
    return inhabitants.flatMap((one) => (one?.process.alive ? [one.process] : []));
  }

  /** Its main thread, which runs no task. */
  get main(): Inhabitant {
    if (this.#main === null) {
      this.#main = this.#installation.world.start(`process ${this.id}`, STORAGE);
      this.#main.process.clockOffsetMs = this.#clockOffsetMs;
      for (const { pausedUntilMs } of this.processes) {
        this.#main.process.pausedUntilMs = Math.max(this.#main.process.pausedUntilMs, pausedUntilMs);
      }
    }
    return this.#main;
  }

  get isOwner(): boolean {
    return this.#installation.owner === this;
  }

  /** Every task came to an end of its own. */
  get ended(): boolean {
    return this.outcomes.size === (this.#how.only ?? this.generation.tasks).size;
  }

  get paused(): boolean {
    const { nowMs } = this.#installation.world.scheduler;
    return this.processes.some((process) => process.pausedUntilMs > nowMs);
  }

  /** kill -9. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#installation.tell(`process ${this.id} is killed`);
    this.#noteDeath(this.#slots);
    for (const process of this.processes) process.kill();
  }

  /** kill -9 in place of one of its events; how many more happen before. */
  killAfterEvents(count: number): void {
    this.processes[0]?.afterEvents(count, () => this.kill());
  }

  /** SIGSTOP for so long, at one of its events. */
  pauseAfterEvents(count: number, ms: number): void {
    this.processes[0]?.afterEvents(count, () => this.pause(ms));
  }

  /** One of its threads dies in place of one of its events. */
  killSlotAfterEvents(at: number, count: number): void {
    const slot = this.#slots[at];
    if (slot === null || slot === undefined) return;
    const { process } = slot.inhabitant;
    process.afterEvents(count, () => {
      process.kill();
      this.#noteDeath([slot]);
      this.#slots[at] = null;
      this.#installation.coverage.add('slot died');
      const { scheduler } = this.#installation.world;
      scheduler.schedule(SLOT_RESTART_MS, 'slot restart', null, () => {
        if (this.alive && !this.stopping) this.#startSlot(at);
      });
    });
  }

  /** What was to kill it does not. */
  spare(): void {
    for (const process of this.processes) process.killAfterEvents(Number.POSITIVE_INFINITY);
  }

  /** SIGSTOP for so long. */
  pause(ms: number): void {
    this.#installation.coverage.add('paused for a minute', ms >= 60_000 ? 1 : 0);
    for (const process of this.processes) process.pause(ms);
  }

  jumpClock(ms: number): void {
    this.#clockOffsetMs += ms;
    for (const process of this.processes) process.clockOffsetMs += ms;
  }

  /** SIGTERM. */
  stop(): void {
    this.stopping = true;
    for (const slot of this.#slots) for (const supervisor of slot?.supervisors.values() ?? []) supervisor.stop();
  }

  supervisors(): TaskSupervisor[] {
    return this.#slots.flatMap((slot) => [...(slot?.supervisors.values() ?? [])]);
  }

  #startSlot(at: number): void {
    const { world, scenario } = this.#installation;
    this.#installation.tell(`process ${this.id} starts slot ${at}`);
    const inhabitant = world.start(`process ${this.id} slot ${at}`, STORAGE);
    inhabitant.process.clockOffsetMs = this.#clockOffsetMs;
    const { memoryBytes } = scenario.workload;
    const memory = memoryBytes === null ? null : new StateMemory(memoryBytes);
    const slot: Slot = { inhabitant, supervisors: new Map(), memory };
    this.#slots[at] = slot;
    const environment = this.#environment(slot);
    const connection = this.#installation.connectionOf(inhabitant, this);
    const plans = this.#installation.plans(this.version, connection, this.generation);
    for (const [index, plan] of plans.entries()) {
      const name = nameOf(plan.identity);
      if (index % scenario.slots !== at || this.outcomes.has(name) || this.#how.only?.has(name) === false) continue;
      const supervisor = new TaskSupervisor(plan, this.#options, environment);
      slot.supervisors.set(name, supervisor);
      supervisor.run().then((outcome) => this.#ended(plan, outcome));
    }
  }

  #ended(plan: TaskPlan, outcome: TaskOutcome): void {
    if (!this.alive) return;
    const name = nameOf(plan.identity);
    this.outcomes.set(name, outcome);
    if (outcome.kind === 'stopped') return;
    const { code, message, stack } = outcome.failure;
    const { coverage, world } = this.#installation;
    coverage.add(`ended: ${code}${this.isOwner ? '' : ' (not the owner)'}`);
    this.#installation.tell(`process ${this.id}: ${name} ended: ${message}`);
    if (code === 'superseded' && !this.isOwner) {
      this.kill();
      return;
    }
    const mayRefuse = this.#how.mayRefuse === true || this.#installation.halfDone;
    if (mayRefuse && code === 'version-mismatch') return;
    const { bitsFlipped } = world.disk(STORAGE).counts;
    const damaged = bitsFlipped > 0 && DAMAGE.has(code);
    // Set back to before its first entry, or before files went that were needed then: it says so and stops.
    const setBack = this.#installation.setBack && (DAMAGE.has(code) || code === 'commit-log-lost');
    if (this.isOwner && (damaged || setBack)) {
      this.#installation.damaged = true;
      return;
    }
    if (this.isOwner && this.#installation.mayEnd.has(code)) return;
    if (this.isOwner || code === 'invariant' || code === 'replay-diverged') {
      this.#installation.violated(new Violation('task-failed', `${name} of process ${this.id}: ${message}\n${stack}`));
    }
  }

  #environment({ inhabitant, memory }: Slot): TaskEnvironment {
    const { world, coverage, scenario } = this.#installation;
    const { tasks } = this.generation;
    const { process, clock, disk } = inhabitant;
    const logger = watchedLogger(this.#installation, process.name);
    const current = new Map<string, AttemptTrace>();
    const ownership = new OwnershipTrace(coverage, (violation) => this.#installation.violated(violation));
    const log = watchLog(inhabitant.log, {
      coverage,
      ownership,
      traceOf: (id) => current.get(id) ?? null,
      transacts: () => {
        if (this.isOwner) this.#installation.happened('transaction');
      },
    });
    const store = new DirectoryStore({ root: CHECKPOINTS, disk });
    const lookMs = () => world.random.between(0.5, 20);
    return {
      clock,
      logger,
      log,
      reader: log.reader(),
      ownership: {
        owns: async (identity) => {
          const answer = await process.after(lookMs(), 'look who owns', () => this.isOwner);
          await process.after(lookMs(), 'know who owns', () => {});
          ownership.heard(transactionalId(identity), answer);
          return answer;
        },
      },
      checkpoints: (identity, attempt) => {
        const trace = new AttemptTrace(attempt, this.id, scenario.digestEvery);
        const record = tasks.get(nameOf(identity))!;
        record.traces.push(trace);
        current.set(transactionalId(identity), trace);
        const swap = memory === null ? null : this.#installation.swap(memory, process, nameOf(identity));
        return new WatchedCheckpoints({ store, identity, attempt, clock, logger, swap }, trace, {
          coverage,
          code: codeOf(this.version),
          sliceBytes: scenario.sliceBytes,
          restores: () => this.#installation.restores(identity, attempt),
          listedDeleted: (files) => this.#installation.listedDeleted(identity, files),
          published: (state) => {
            record.published.push(state);
            if (this.isOwner) this.#installation.happened('checkpoint');
            this.#installation.tell(`${process.name}: ${nameOf(identity)} checkpoint at ${state.entry} by ${attempt}`);
          },
          violated: (violation) => this.#installation.violated(violation),
        });
      },
      // Every buffer is used again at once: one that was given back too early would be seen.
      buffers: new BufferPool(1 << 20, 1),
      attemptId: () => ulid(clock.nowMs(), world.random.bytes(10)),
      breathe: () => process.after(0, 'breathe', () => {}),
    };
  }

  // What the tasks were at when they died.
  #noteDeath(slots: readonly (Slot | null)[]): void {
    for (const slot of slots) {
      for (const supervisor of slot?.supervisors.values() ?? []) {
        this.#installation.coverage.add(`killed while ${supervisor.status()?.phase ?? 'not running'}`);
      }
    }
  }
}

/** Counts what the product says, by the sentence without its particulars, and tells it on. */
function watchedLogger(installation: Installation, process: string): Logger {
  const say = (fields: object, message: string) => {
    const { code } = fields as { readonly code?: string };
    installation.coverage.add(
      `said: ${message.split(/[:;]/)[0].replaceAll(/\d\w*/g, 'n')}${code === undefined ? '' : ` (${code})`}`,
    );
    installation.tell(`${process}: ${message} ${JSON.stringify(fields)}`);
  };
  const logger: Logger = { debug() {}, info: say, warn: say, error: say, child: () => logger };
  return logger;
}
