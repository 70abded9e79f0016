// What keyed state promises, whatever keeps it: the model is a map of plain data, and the digest of a checkpoint is that
// of a state built anew from the model. A backend says how large memory is, and may let pages leave it.

import { afterEach, describe, expect, it } from 'vitest';
import type { PendingCheckpoint, ValueCodec } from '#checkpoint/contract.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import type { PageSwap } from '#checkpoint/page-swap.ts';
import type { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, confirmedAt, momentAt, storeOn } from '#test/checkpoint/world.ts';

export interface KeyedStateBackend {
  /** A place outside memory that begins empty, for a budget in bytes; null: all state stays in memory. */
  swap(budgetBytes: number): PageSwap | null;
}

interface Basket {
  owner: string;
  items: string[];
}

const basketCodec: ValueCodec<Basket> = {
  schemaVersion: 1,
  write(value, out) {
    out.text(value.owner);
    out.uvarint(value.items.length);
    for (const item of value.items) out.text(item);
  },
  read(input) {
    const owner = input.text();
    const items = new Array<string>(input.uvarint());
    for (let i = 0; i < items.length; i++) items[i] = input.text();
    return { owner, items };
  },
};

type Model = Map<number, string>;

const SLOTS = 2_000;
/** About five pages. */
const FEW_PAGES = 4_000;

/** Two states of one task: their pages compete. */
class World {
  readonly checkpoints: FileTaskCheckpoints;
  readonly states: readonly KeyedValues<Basket>[];
  readonly models: readonly Model[];

  private constructor(checkpoints: FileTaskCheckpoints, models: readonly Model[]) {
    this.checkpoints = checkpoints;
    this.models = models;
    this.states = ['baskets/a', 'baskets/b'].map((id) => new KeyedValues(id, basketCodec));
    for (const state of this.states) state.open(checkpoints);
  }

  static async on(disk: PowerDisk, swap: PageSwap | null, models: readonly Model[] = [new Map(), new Map()]) {
    const options = { swap, segmentBytesMax: 2_000, restoreBytesMax: 3_000 };
    const world = new World(checkpointsOn(storeOn(disk), options), models);
    opened.push(world.checkpoints);
    await world.checkpoints.restore(acceptAll);
    return world;
  }

  step(random: Seeded): void {
    const which = random.below(2);
    const state = this.states[which];
    const model = this.models[which];
    // Some pages are hot, most are cold.
    const slot = random.chance(40) ? random.below(64) : random.below(SLOTS);
    const dice = random.below(10);
    if (dice < 3) {
      const basket = { owner: `owner ${slot}`, items: Array.from({ length: random.below(6) }, (_, i) => `i${i}`) };
      state.set(slot, basket);
      model.set(slot, JSON.stringify(basket));
    } else if (dice < 5) {
      expect(state.delete(slot)).toBe(model.delete(slot));
    } else if (dice < 8) {
      const basket = state.change(slot);
      expect(text(basket)).toBe(model.get(slot));
      if (basket === undefined) return;
      basket.items.push(`x${random.below(9)}`.repeat(random.below(60)));
      model.set(slot, JSON.stringify(basket));
    } else if (dice < 9) {
      expect(text(state.get(slot))).toBe(model.get(slot));
    } else {
      expect(state.has(slot)).toBe(model.has(slot));
    }
  }

  expectModel(label: string): void {
    for (const [i, state] of this.states.entries()) {
      const sorted = [...this.models[i]].sort(([a], [b]) => a - b);
      expect(state.size, label).toBe(sorted.length);
      expect([...state.slots()], label).toEqual(sorted.map(([slot]) => slot));
      expect(
        [...state.entries()].map(([slot, value]) => [slot, text(value)]),
        label,
      ).toEqual(sorted);
      for (const [slot, value] of sorted) expect(text(state.get(slot)), label).toBe(value);
    }
  }
}

const opened: FileTaskCheckpoints[] = [];

function text(value: Basket | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

function copies(models: readonly Model[]): Model[] {
  return models.map((model) => new Map(model));
}

/** The digest of a state that was built from the model alone, in memory, in another order. */
function digestOf(models: readonly Model[]): string {
  const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
  for (const [i, model] of models.entries()) {
    const state = new KeyedValues(`baskets/${'ab'[i]}`, basketCodec);
    state.open(checkpoints);
    for (const [slot, value] of [...model].reverse()) state.set(slot, JSON.parse(value));
  }
  return checkpoints.digest();
}

async function takeWhileChanging(world: World, pending: PendingCheckpoint, random: Seeded): Promise<void> {
  for (;;) {
    if (random.chance(60)) for (let i = random.below(6); i > 0; i--) world.step(random);
    if (random.chance(40)) await world.checkpoints.relieve();
    const done = pending.advance(random.below(700));
    if (random.chance(30)) await pending.writeSegments();
    if (done) break;
  }
  await pending.writeSegments();
}

/** Runs the suite over one backend. */
export function keyedStateSuite(name: string, backend: KeyedStateBackend): void {
  describe(`keyed state ${name}`, () => {
    afterEach(async () => {
      for (const checkpoints of opened.splice(0)) await checkpoints.close();
    });

    it('holds what a map holds, through changes, captures, restores and pages that leave, at random moments', async () => {
      for (let seed = 1; seed <= 12; seed++) {
        const random = new Seeded(seed);
        const disk = new PowerDisk();
        const budget = random.chance(50) ? 1 : FEW_PAGES * (1 + random.below(20));
        let world = await World.on(disk, backend.swap(budget));
        let durable = copies(world.models);
        for (let entry = 1; entry <= 10; entry++) {
          const label = `seed ${seed} entry ${entry}`;
          for (let i = random.below(entry === 1 ? 500 : 60); i > 0; i--) {
            world.step(random);
            if (random.chance(15)) await world.checkpoints.relieve();
          }
          const captured = copies(world.models);
          const pending = world.checkpoints.capture(momentAt(entry));
          await takeWhileChanging(world, pending, random);
          if (random.chance(20)) pending.abandon();
          else {
            const reference = await pending.publish(BigInt(entry));
            world.checkpoints.confirm(reference);
            expect(reference.digest, label).toBe(digestOf(captured));
            durable = captured;
          }
          if (random.chance(40)) world.expectModel(label);
          expect(world.checkpoints.digest(), label).toBe(digestOf(world.models));
          if (!random.chance(40)) continue;
          await world.checkpoints.close();
          world = await World.on(disk, backend.swap(budget), copies(durable));
          world.expectModel(`${label} restored`);
        }
      }
    });

    it('gives the same bytes whichever moment pages leave at', async () => {
      const steps = 60;
      for (let moment = 0; moment <= steps; moment++) {
        const random = new Seeded(99);
        const world = await World.on(new PowerDisk(), backend.swap(1));
        for (let i = 0; i < 120; i++) world.step(random);
        await confirmedAt(world.checkpoints, 1);
        const captured = copies(world.models);
        const pending = world.checkpoints.capture(momentAt(2));
        for (let step = 0; step < steps; step++) {
          if (step === moment) await world.checkpoints.relieve();
          world.step(random);
          if (step === 40) pending.advance(500);
        }
        if (moment === steps) await world.checkpoints.relieve();
        expect(pending.advance(Number.POSITIVE_INFINITY)).toBe(true);
        await pending.writeSegments();
        expect((await pending.publish(2n)).digest, `moment ${moment}`).toBe(digestOf(captured));
        expect(world.checkpoints.digest(), `moment ${moment}`).toBe(digestOf(world.models));
        world.expectModel(`moment ${moment}`);
        await world.checkpoints.close();
      }
    });

    it('rewrites segments from pages wherever they lie', async () => {
      const random = new Seeded(5);
      const disk = new PowerDisk();
      const world = await World.on(disk, backend.swap(FEW_PAGES));
      for (let entry = 1; entry <= 30; entry++) {
        for (let i = 0; i < 40; i++) world.step(random);
        await world.checkpoints.relieve();
        const reference = await confirmedAt(world.checkpoints, entry);
        expect(reference.digest).toBe(digestOf(world.models));
        await world.checkpoints.relieve();
        await world.checkpoints.deleteListed(world.checkpoints.dead());
      }
      const restored = await World.on(disk, backend.swap(FEW_PAGES), copies(world.models));
      restored.expectModel('restored');
      expect(restored.checkpoints.digest()).toBe(world.checkpoints.digest());
    });

    it('is right when it is many times larger than its memory, and says what it takes', async () => {
      const disk = new PowerDisk();
      const budget = 200_000;
      const world = await World.on(disk, backend.swap(budget));
      const random = new Seeded(3);
      for (let slot = 0; slot < 12_000; slot++) {
        const basket = { owner: `owner ${slot}`, items: ['a'.repeat(random.below(200))] };
        world.states[0].set(slot, basket);
        world.models[0].set(slot, JSON.stringify(basket));
        if (slot % 500 === 0) await world.checkpoints.relieve();
      }
      await world.checkpoints.relieve();
      for (let i = 0; i < 2_000; i++) {
        world.step(random);
        if (i % 100 !== 0) continue;
        await world.checkpoints.relieve();
        expectWithin(world.checkpoints, budget);
      }
      await world.checkpoints.relieve();
      expect((await confirmedAt(world.checkpoints, 1)).digest).toBe(digestOf(world.models));
      const restored = await World.on(disk, backend.swap(budget), copies(world.models));
      await restored.checkpoints.relieve();
      expectWithin(restored.checkpoints, budget);
      restored.expectModel('restored');
      expectOutside(restored.checkpoints);
    });
  });
}

function expectWithin(checkpoints: FileTaskCheckpoints, budget: number): void {
  const memory = checkpoints.memory();
  if (memory !== null) expect(memory.bytesInMemory).toBeLessThanOrEqual(budget);
}

/** A state that always fits would show nothing. */
function expectOutside(checkpoints: FileTaskCheckpoints): void {
  const memory = checkpoints.memory();
  if (memory === null) return;
  expect(memory.bytesSwapped).toBeGreaterThan(memory.budgetBytes);
  expect(memory.misses).toBeGreaterThan(0);
}
