// What a task does to the outside world: before the commit, in order, again after a crash, never in replay.

import { expect, test } from 'vitest';
import { Untimed } from '#operators/records/untimed.ts';
import type { Answer, Outbox, OutsideOutput, Receiver, Refusal } from '#runtime/effect/contract.ts';
import { Delivery } from '#runtime/effect/delivery.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Batch, FiringBudget, Operator, StageProgram } from '#runtime/task/contract.ts';
import { toyStage } from '#test/harness/toy-stage.ts';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import { drawFaults } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';
import type { Inhabitant } from '#test/simulation/world/world.ts';

const FULL = 40;

class ToyOutbox extends Untimed implements Operator, Outbox {
  readonly id = 'out';
  static largest = 0;
  #items: string[] = [];
  #refused: string[] = [];

  open(): void {}

  process(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) this.#items.push(`${batch.value[i]}`);
    ToyOutbox.largest = Math.max(ToyOutbox.largest, this.#items.length);
  }

  get count(): number {
    return this.#items.length;
  }

  get full(): boolean {
    return this.#items.length >= FULL;
  }

  requestEnd(start: number): number {
    return Math.min(this.count, start + 7);
  }

  encode(start: number, end: number): Uint8Array {
    return Buffer.from(this.#items.slice(start, end).join(' '));
  }

  refuse(index: number, { message }: Refusal): void {
    this.#refused.push(`${this.#items[index]} ${message}`);
  }

  settle(output: OutsideOutput): void {
    for (const text of this.#refused) output.append('dead', 0, 0, null, Buffer.from(text), []);
    this.discard();
  }

  discard(): void {
    this.#items = [];
    this.#refused = [];
  }

  override wantsEntry(): boolean {
    return this.#items.length > 0;
  }
}

type Mood = 'take' | 'lose the answer' | 'away' | 'busy';

/** The outside world: one receiver that outlives all processes. */
class ToyReceiver {
  /** Everything that was ever taken, repetitions included. */
  readonly taken: string[] = [];
  readonly bad = new Set<string>();
  mood: (request: number) => Mood = () => 'take';
  requests = 0;

  connect({ process }: Inhabitant): Receiver {
    const answer = (status: number, message = ''): Answer => ({
      ...{ status, message, retryAfter: null },
      contentType: null,
    });
    return {
      address: 'toy',
      send: async (body) => {
        await process.after(3, 'request', () => {});
        const items = body.length === 0 ? [] : Buffer.from(body).toString().split(' ');
        const mood = this.mood(++this.requests);
        if (mood === 'away') throw new StreamError('receiver-unavailable', 'is away', 'wait');
        if (mood === 'busy') return answer(503, 'busy');
        if (items.some((item) => this.bad.has(item))) return answer(400, 'refused');
        this.taken.push(...items);
        await process.after(3, 'answer', () => {});
        if (mood === 'lose the answer') throw new StreamError('receiver-unavailable', 'connection lost', 'wait');
        return answer(204);
      },
      close() {},
    };
  }

  /** Items in the order in which they came first. */
  get seen(): string[] {
    return [...new Set(this.taken)];
  }
}

const DEAD = { outputTopic: 'out', deadLetterTopic: 'dead' };

/** Keeps what it is given for a second of event time. */
class HoldingOutbox extends ToyOutbox {
  #held: { readonly dueMs: number; readonly batch: Batch }[] = [];

  override process(batch: Batch): void {
    for (let i = 0; i < batch.count; i++) {
      this.#held.push({ dueMs: batch.timestampMs[i] + 1_000, batch: oneOf(batch, i) });
    }
  }

  override nextTimerMs(): number {
    return Math.min(...this.#held.map(({ dueMs }) => dueMs));
  }

  override fire(dueMs?: number, budget?: FiringBudget): boolean {
    for (const one of this.#held.filter((held) => held.dueMs === dueMs)) {
      if (budget?.take() === false) return false;
      this.#held = this.#held.filter((held) => held !== one);
      super.process(one.batch);
    }
    return true;
  }
}

function oneOf(batch: Batch, index: number): Batch {
  return { count: 1, value: [batch.value[index]] } as unknown as Batch;
}

function launch(toy: ToyWorld, receiver: ToyReceiver): RunningToy {
  const inhabitant = toy.world.start(`p${toy.world.processes.length}`);
  toy.owner = inhabitant.process.id;
  toy.program = (): StageProgram => {
    const outbox = new ToyOutbox();
    const effects = [new Delivery({ target: 'toy', outbox, receiver: receiver.connect(inhabitant) })];
    return { ...toyStage(DEAD), operators: [outbox], head: outbox, effects };
  };
  return toy.run(inhabitant, toy.environment(inhabitant), { commitIntervalMs: 50, checkpointIntervalMs: 700 });
}

test('what a clock makes due is sent behind the commit that makes the clock true', async () => {
  const toy = new ToyWorld();
  const receiver = new ToyReceiver();
  const inhabitant = toy.world.start('p0');
  toy.owner = inhabitant.process.id;
  toy.program = (): StageProgram => {
    const outbox = new HoldingOutbox();
    const effects = [new Delivery({ target: 'toy', outbox, receiver: receiver.connect(inhabitant) })];
    return { ...toyStage({ ...DEAD, idlenessMs: 2_000 }), operators: [outbox], head: outbox, effects };
  };
  toy.run(inhabitant, toy.environment(inhabitant), { commitIntervalMs: 50, checkpointIntervalMs: 700 });
  const idleBefore: boolean[] = [];
  receiver.mood = () => {
    const last = toy.entries().at(-1)!;
    idleBefore.push('idle' in last && Number((last['timersFired'] as { event: number }).event) === 0);
    return 'take';
  };
  feed(toy, 0, 3);
  await toy.pass(1_000);
  expect(receiver.taken, 'the watermark is five seconds behind').toEqual([]);
  await toy.pass(30_000);
  expect(receiver.taken).toEqual(numbers(0, 3));
  expect(idleBefore, 'an idle entry that fired nothing was committed before').toEqual([true]);
});

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`);

function feed(toy: ToyWorld, from: number, to: number): void {
  toy.feed(...numbers(from, to).map((n) => `${WORLD_EPOCH_MS + Number(n)} ${n}`));
}

function lastOffset(toy: ToyWorld): number {
  const inputs = toy.entries().at(-1)?.['inputs'] as { endOffset: string }[];
  return Number(inputs[0].endOffset);
}

test('what was taken is committed behind it: nothing is sent twice without a crash', async () => {
  const toy = new ToyWorld();
  const receiver = new ToyReceiver();
  launch(toy, receiver);
  feed(toy, 0, 100);
  await toy.pass(2_000);
  feed(toy, 100, 300);
  await toy.pass(2_000);
  expect(receiver.taken).toEqual(numbers(0, 300));
  expect(lastOffset(toy)).toBe(300);
});

test('while the receiver is away no input is taken and no position moves', async () => {
  const toy = new ToyWorld();
  const receiver = new ToyReceiver();
  const running = launch(toy, receiver);
  await toy.pass(1_000);
  receiver.mood = () => 'away';
  ToyOutbox.largest = 0;
  for (let n = 0; n < 1_000; n += 10) feed(toy, n, n + 10);
  await toy.pass(60_000);
  const entriesBefore = toy.entries().length;
  for (let n = 1_000; n < 2_000; n += 10) feed(toy, n, n + 10);
  await toy.pass(600_000);
  expect(toy.entries().length).toBe(entriesBefore);
  expect(lastOffset(toy)).toBe(0);
  expect(running.supervisor.status()?.waitingFor).toMatch(/target 'toy' at toy: is away; try \d+ in/);
  expect(toy.said('waiting for target').length).toBeLessThan(10);
  receiver.mood = () => 'take';
  await toy.pass(60_000);
  expect(ToyOutbox.largest).toBeGreaterThanOrEqual(FULL);
  expect(ToyOutbox.largest).toBeLessThan(FULL + 10);
  expect(receiver.taken).toEqual(numbers(0, 2_000));
  expect(running.supervisor.restarts).toBe(0);
  expect(running.supervisor.status()?.waitingFor).toBeNull();
});

test('a crash at any step sends again what was not committed, in order, and replay sends nothing', async () => {
  for (let events = 5; events < 900; events += 37) {
    const toy = new ToyWorld();
    const receiver = new ToyReceiver();
    receiver.bad.add('33').add('180');
    receiver.mood = (request) => (request % 9 === 0 ? 'lose the answer' : request % 7 === 0 ? 'busy' : 'take');
    let from = 0;
    for (let crash = 1; crash <= 3; crash++) {
      const running = launch(toy, receiver);
      feed(toy, from, from + 80);
      from += 80;
      running.inhabitant.process.killAfterEvents(events * crash);
      await toy.pass(2_000);
      running.inhabitant.process.kill();
    }
    const last = launch(toy, receiver);
    await toy.pass(20_000);
    const good = numbers(0, from).filter((n) => !receiver.bad.has(n));
    expect(receiver.seen, `after ${events} events`).toEqual(good);
    expect(last.outcome, `after ${events} events: ${toy.said('differs')[0]?.message}`).toBeNull();
    expect(toy.committed('dead'), `after ${events} events`).toEqual(['33 refused', '180 refused']);
    // At most what one entry holds is sent again by a crash or a lost answer.
    const repeated = receiver.taken.length - receiver.seen.length;
    expect(repeated).toBeLessThan(3 * 80 + 7 * receiver.requests);
  }
});

test('with faults of log and receiver, crashes and processes that live on: nothing is lost, changed or out of order', async () => {
  let [repeated, zombies] = [0, 0];
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Random(seed);
    const toy = new ToyWorld(seed, drawFaults(random));
    const receiver = new ToyReceiver();
    receiver.bad.add('60').add('61');
    receiver.mood = () => random.pick(['take', 'take', 'take', 'lose the answer', 'busy', 'away']);
    let fed = 0;
    for (let life = 0; life < 4; life++) {
      const running = launch(toy, receiver);
      for (let bit = 0; bit < 4; bit++) {
        feed(toy, fed, fed + 20);
        fed += 20;
        await toy.pass(random.int(4_000));
      }
      // One that is not killed finds out by itself that it was replaced.
      if (random.int(2) === 0) running.inhabitant.process.kill();
      else zombies++;
    }
    receiver.mood = () => 'take';
    const last = launch(toy, receiver);
    expect(await toy.until(() => lastOffset(toy) >= fed, 600_000), `seed ${seed}`).toBe(true);
    const good = numbers(0, fed).filter((n) => !receiver.bad.has(n));
    expect(receiver.seen, `seed ${seed}`).toEqual(good);
    expect(toy.committed('dead'), `seed ${seed}`).toEqual(['60 refused', '61 refused']);
    expect(last.outcome, `seed ${seed}`).toBeNull();
    repeated += receiver.taken.length - receiver.seen.length;
  }
  expect([repeated > 100, zombies > 10]).toEqual([true, true]);
}, 60_000);

test('replay sends nothing, and takes no notice of what was refused', async () => {
  const toy = new ToyWorld();
  const receiver = new ToyReceiver();
  receiver.bad.add('5');
  const first = launch(toy, receiver);
  feed(toy, 0, 30);
  await toy.pass(500);
  expect(toy.committed('dead')).toEqual(['5 refused']);
  expect(toy.entries().at(-1)).toMatchObject({ outputRecords: 0, outsideRecords: 1 });
  first.inhabitant.process.kill();
  receiver.bad.clear();
  const { requests } = receiver;
  const second = launch(toy, receiver);
  await toy.pass(5_000);
  expect(second.supervisor.status()?.replayedEntries).toBeGreaterThan(0);
  expect(receiver.requests).toBe(requests);
  feed(toy, 30, 40);
  await toy.pass(1_000);
  expect(receiver.seen).toEqual(numbers(0, 40).filter((n) => n !== '5'));
  expect(toy.committed('dead')).toEqual(['5 refused']);
});

test('a stop while the receiver is away ends within seconds, and the next start goes on where it was', async () => {
  const toy = new ToyWorld();
  const receiver = new ToyReceiver();
  const first = launch(toy, receiver);
  feed(toy, 0, 50);
  await toy.pass(2_000);
  receiver.mood = () => 'away';
  feed(toy, 50, 90);
  await toy.pass(30_000);
  first.supervisor.stop();
  expect(await toy.until(() => first.outcome !== null, 20_000)).toBe(true);
  expect(first.outcome).toEqual({ kind: 'stopped' });
  const [line] = toy.said('without a checkpoint at its last entry');
  expect(line.message).toContain("target 'toy'");
  receiver.mood = () => 'take';
  launch(toy, receiver);
  await toy.pass(5_000);
  expect(receiver.taken).toEqual(numbers(0, 90));
});

test('a stop while the receiver is slow is a clean one', async () => {
  const toy = new ToyWorld();
  const receiver = new ToyReceiver();
  const running = launch(toy, receiver);
  await toy.pass(1_000);
  receiver.mood = (request) => (request % 4 === 0 ? 'take' : 'busy');
  feed(toy, 0, 200);
  await toy.pass(100);
  running.supervisor.stop();
  expect(await toy.until(() => running.outcome !== null, 60_000)).toBe(true);
  const status = running.supervisor.status();
  expect(status?.checkpointEntry).toBe(status?.entry);
  expect(receiver.taken).toEqual(numbers(0, lastOffset(toy)));
});
