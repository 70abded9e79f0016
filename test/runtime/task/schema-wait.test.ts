// A task whose next record waits for a schema commits what it has, sleeps as when nothing comes, stops cleanly, and goes
// on at once when the answer is there.

import { expect, test } from 'vitest';
import type { Source, StageProgram } from '#runtime/task/contract.ts';
import { DEFAULT_TASK_OPTIONS } from '#runtime/task/task-environment.ts';
import { toyStage } from '#test/harness/toy-stage.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** The toy stage behind a gate: until it is opened, the next record waits. */
class Gate {
  isOpen = true;
  #waits = false;
  #opened = Promise.withResolvers<void>();

  close(): void {
    this.isOpen = false;
    this.#opened = Promise.withResolvers();
  }

  open(): void {
    this.isOpen = true;
    this.#opened.resolve();
  }

  program(): StageProgram {
    const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
    const { source } = stage;
    let consumedDelta = 0;
    const gated: Source = {
      id: source.id,
      control: null,
      open: (context) => source.open(context),
      get consumedDelta() {
        return consumedDelta;
      },
      decode: (input, walker, limits, batch) => {
        this.#waits = !this.isOpen;
        consumedDelta = limits.skipBelowDelta;
        if (this.#waits) return;
        source.decode(input, walker, limits, batch);
        consumedDelta = source.consumedDelta;
      },
    };
    const waitsFor = () => (this.#waits ? 'schema 7' : null);
    const schemas = {
      begin: () => {},
      misses: [],
      get waitsFor() {
        return waitsFor();
      },
      settled: () => this.#opened.promise,
      close: () => {},
    };
    return { ...stage, source: gated, schemas };
  }
}

function started() {
  const toy = new ToyWorld();
  const gate = new Gate();
  toy.program = () => gate.program();
  const inhabitant = toy.world.start('p0');
  toy.owner = inhabitant.process.id;
  const { clock } = inhabitant;
  let sleeps = 0;
  const counting = {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms: number, signal?: AbortSignal) => {
      sleeps++;
      return clock.sleep(ms, signal);
    },
  };
  const running = toy.run(inhabitant, toy.environment(inhabitant, { clock: counting }));
  const minute = (number: number) => `${WORLD_EPOCH_MS + number * 60_000} ${number + 1}`;
  const slept = async (ms: number) => {
    const before = sleeps;
    await toy.pass(ms);
    return sleeps - before;
  };
  return { toy, gate, running, minute, slept };
}

test('a record that waits costs no more wakes than silence, and passes when its answer is there', async () => {
  const { toy, gate, running, minute, slept } = started();
  toy.feed(minute(0), minute(1));
  await toy.pass(10_000);
  const whenSilent = await slept(60_000);
  gate.close();
  toy.feed(minute(2), minute(3));
  await toy.pass(5_000);
  expect(running.supervisor.status()?.waitingFor).toBe('schema 7');
  const whenWaiting = await slept(60_000);
  expect(whenWaiting).toBeLessThanOrEqual(whenSilent + 60_000 / DEFAULT_TASK_OPTIONS.idleTickMs);
  const { length } = toy.committed('out');
  gate.open();
  await toy.pass(1_000);
  expect(toy.committed('out').length).toBeGreaterThan(length);
  expect(running.supervisor.status()?.waitingFor).toBe(null);
});

test('a task that waits stops cleanly, and the next one goes on with the record', async () => {
  const { toy, gate, running, minute } = started();
  toy.feed(minute(0));
  await toy.pass(2_000);
  gate.close();
  toy.feed(minute(1), minute(5));
  await toy.pass(20_000);
  expect(toy.entries().at(-1)).toMatchObject({ inputs: [{ endOffset: '1' }] });
  running.supervisor.stop();
  expect(await toy.until(() => running.outcome !== null)).toBe(true);
  expect(running.outcome).toMatchObject({ kind: 'stopped' });
  gate.open();
  toy.launch();
  await toy.pass(5_000);
  expect(toy.entries().at(-1)).toMatchObject({ inputs: [{ endOffset: '3' }] });
});
