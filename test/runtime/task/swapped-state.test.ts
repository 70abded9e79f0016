// A task whose keyed state leaves memory between all of its entries: what comes out is what always came out, and a page
// that comes back damaged costs an attempt, never a wrong record.

import { expect, test } from 'vitest';
import { integer, json, list } from '#checkpoint/codecs.ts';
import type { ValueStore } from '#checkpoint/contract.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import type { Batch, Operator, OperatorContext, StageProgram } from '#runtime/task/contract.ts';
import { MemoryPages } from '#test/checkpoint/memory-pages.ts';
import { toyStage } from '#test/harness/toy-stage.ts';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const SLOTS = 300;

/** Counts records by key slot, which is their value, and says so; `tolerant`: it swallows errors of its state. */
class SlotCounts extends Untimed implements Operator {
  readonly id = 'counts';
  readonly #tolerant: boolean;
  #context: OperatorContext | null = null;
  #counts: ValueStore<number> | null = null;

  constructor(tolerant: boolean) {
    super();
    this.#tolerant = tolerant;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#counts = context.values('counts/by-slot', integer());
  }

  process(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.value[i];
      const count = this.#count(slot);
      const text = Buffer.from(`${slot} ${count}`);
      this.#context?.output.append(0, 'out', 0, batch.timestampMs[i], null, text, 0, text.length);
    }
  }

  #count(slot: number): number {
    try {
      const count = (this.#counts?.get(slot) ?? 0) + 1;
      this.#counts?.set(slot, count);
      return count;
    } catch (error) {
      if (!this.#tolerant) throw error;
      return 0;
    }
  }

  override usesKey(): boolean {
    return true;
  }
}

class SwappedToy extends ToyWorld {
  /** What lies outside memory, by attempt. */
  readonly cold: MemoryPages[] = [];
  fed = 0;

  constructor(tolerant = false) {
    super();
    this.program = (): StageProgram => {
      const counts = new SlotCounts(tolerant);
      const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
      return { ...stage, operators: [counts], head: counts };
    };
  }

  launchSwapped(): RunningToy {
    const inhabitant = this.world.start(`p${this.world.processes.length}`);
    this.owner = inhabitant.process.id;
    const store = new DirectoryStore({ root: 'checkpoints', disk: inhabitant.disk });
    const { clock } = inhabitant;
    const environment = this.environment(inhabitant, {
      checkpoints: (identity, attempt) => {
        const open = async () => this.#begin();
        const swap = new PageSwap({ memory: new StateMemory(1), open });
        return new FileTaskCheckpoints({ store, identity, attempt, clock, logger: silentLogger, swap });
      },
    });
    return this.run(inhabitant, environment, { checkpointIntervalMs: 3_000 });
  }

  #begin(): MemoryPages {
    const pages = new MemoryPages();
    this.cold.push(pages);
    return pages;
  }

  /** Feeds keys far apart, so that hardly two of them share a page, and lets time pass. */
  async work(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      const records = Array.from({ length: 8 }, () => `${WORLD_EPOCH_MS + this.fed} ${(this.fed++ * 37) % SLOTS}`);
      this.feed(...records);
      await this.pass(1_000);
    }
  }

  /** What must have come out for all that was fed. */
  expected(): string[] {
    const counts = new Map<number, number>();
    return Array.from({ length: this.fed }, (_, i) => {
      const slot = (i * 37) % SLOTS;
      counts.set(slot, (counts.get(slot) ?? 0) + 1);
      return `${slot} ${counts.get(slot)}`;
    });
  }
}

test('pages leave after every entry, come back when missed, and go with the attempt', async () => {
  const toy = new SwappedToy();
  const running = toy.launchSwapped();
  await toy.work(100);
  expect(toy.committed('out')).toEqual(toy.expected());
  const memory = running.supervisor.status()?.stateMemory;
  expect(memory?.pagesInMemory).toBe(0);
  expect(memory?.pagesSwapped).toBeGreaterThan(10);
  expect(memory?.misses).toBeGreaterThan(500);
  running.supervisor.stop();
  await toy.until(() => running.outcome !== null);
  expect(toy.cold.map(({ closed }) => closed)).toEqual([true]);
});

test('a killed process goes on from its checkpoint, whatever lay outside memory', async () => {
  const toy = new SwappedToy();
  for (let kill = 0; kill < 6; kill++) {
    const running = toy.launchSwapped();
    await toy.work(12);
    running.inhabitant.process.kill();
  }
  const last = toy.launchSwapped();
  await toy.work(20);
  expect(toy.committed('out')).toEqual(toy.expected());
  expect(last.supervisor.restarts).toBe(0);
  expect(toy.cold).toHaveLength(7);
});

for (const tolerant of [false, true]) {
  const who = tolerant ? ', also when the operator swallows the error' : '';
  test(`a damaged page ends the attempt before anything wrong is committed${who}`, async () => {
    const toy = new SwappedToy(tolerant);
    const running = toy.launchSwapped();
    await toy.work(40);
    for (const bytes of toy.cold[0].pages.values()) bytes[bytes.length - 1] ^= 1;
    await toy.work(40);
    expect(running.supervisor.restarts).toBe(1);
    expect(running.outcome).toBeNull();
    expect(toy.said(/page \d+ of state 'counts\/by-slot' is not what was written/).length).toBeGreaterThan(0);
    expect(toy.committed('out')).toEqual(toy.expected());
    expect(toy.cold.map(({ closed }) => closed)).toEqual([true, false]);
  });
}

test('a value that was changed into what no codec holds ends the attempt, instead of all its checkpoints', async () => {
  const toy = new SwappedToy();
  toy.program = (): StageProgram => {
    const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
    const counts = new SlotCounts(false);
    counts.open = (context) => {
      const lists = context.values<unknown[]>('lists', list(json()));
      counts.process = () => {
        if (lists.get(1) === undefined) lists.set(1, []);
        lists.change(1)?.push(() => 'not data');
      };
    };
    return { ...stage, operators: [counts], head: counts };
  };
  const running = toy.launch({ checkpointIntervalMs: 3_000 });
  await toy.work(10);
  expect(running.supervisor.restarts).toBeGreaterThan(0);
  expect(toy.said(/state 'lists': state cannot hold this value: \$ is a function/).length).toBeGreaterThan(0);
});

test('a checkpoint that meets a damaged page ends the attempt, instead of failing for ever', async () => {
  const toy = new SwappedToy();
  const running = toy.launchSwapped();
  await toy.work(10);
  for (const bytes of toy.cold[0].pages.values()) bytes[bytes.length - 1] ^= 1;
  await toy.pass(60_000);
  await toy.work(10);
  expect(running.supervisor.restarts).toBe(1);
  expect(toy.committed('out')).toEqual(toy.expected());
});
